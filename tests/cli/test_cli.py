"""The command line: help, output and error messages."""

import json
import shutil
import sys

import pytest
from click.testing import CliRunner

from mess_core.cli import cli


def _run(*arguments):
    return CliRunner().invoke(cli, list(arguments))


def test_help_describes_every_command():
    result = _run("--help")
    assert result.exit_code == 0
    commands = ("demo", "run", "tracks", "search", "passages", "aspects", "targets", "validate")
    for command in (*commands, "doctor"):
        assert command in result.output
        own = _run(command, "--help")
        assert own.exit_code == 0
        assert len(own.output.splitlines()) > 4


def test_an_empty_data_root_is_reported_with_a_remedy(tmp_path):
    for arguments in (["tracks"], ["search", "x"], ["passages", "x"], ["aspects"]):
        result = _run(*arguments, "--data", str(tmp_path))
        assert result.exit_code == 1
        assert "Traceback" not in result.output
        assert "aterialise" in result.output
    result = _run("doctor", "--data", str(tmp_path))
    assert result.exit_code == 0
    assert "mess demo" in result.output


def test_doctor_names_the_data_sets_and_the_encoder_that_are_configured(tmp_path, monkeypatch):
    recordings = tmp_path / "recordings"
    recordings.mkdir()
    monkeypatch.setenv("MESS_DATASETS", f"mine={recordings}")
    monkeypatch.setenv("MESS_ENCODER", "mess-piano")
    found = {
        one["subject"]: one
        for one in json.loads(_run("doctor", "--json", "--data", str(tmp_path)).stdout)
    }
    assert f"mine: {recordings}" in found["tracks"]["fact"]
    assert found["MESS_ENCODER"]["fact"].startswith("mess-piano@")
    monkeypatch.setenv("MESS_ENCODER", "no-such-encoder")
    found = {
        one["subject"]: one
        for one in json.loads(_run("doctor", "--json", "--data", str(tmp_path)).stdout)
    }
    assert found["MESS_ENCODER"]["state"] == "missing"
    assert "no-such-encoder" in found["MESS_ENCODER"]["fact"]


def test_doctor_reports_a_torchaudio_that_cannot_be_loaded(tmp_path, monkeypatch):
    broken = tmp_path / "packages" / "torchaudio"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise OSError('Could not load this library')")
    monkeypatch.syspath_prepend(str(broken.parent))
    monkeypatch.delitem(sys.modules, "torchaudio", raising=False)
    result = _run("doctor", "--json", "--data", str(tmp_path))
    assert result.exit_code == 0, result.output
    findings = json.loads(result.stdout)
    found = {one["subject"]: one for one in findings}["torchaudio"]
    assert found["state"] == "missing"
    assert "Could not load this library" in found["fact"]
    assert "pip uninstall torchaudio" in found["remedy"]


@pytest.fixture
def data(built):
    return ["--data", str(built.root)]


def test_search_ranks_and_explains(data):
    result = _run(
        "search", "demo_01_steady", "--aspects", "brightness=0.7,tempo=-0.2", "-k", "3", *data
    )
    assert result.exit_code == 0, result.output
    assert "untrained" in result.output
    hits = json.loads(
        _run("search", "demo_01_steady", "--aspects", "brightness", "--json", *data).stdout
    )
    assert [hit["rank"] for hit in hits] == list(range(1, len(hits) + 1))
    assert hits == sorted(hits, key=lambda hit: -hit["score"])
    assert all(hit["brightness"] == pytest.approx(hit["score"]) for hit in hits)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["search", "demo_01_player"], "Did you mean demo_0"),
        (["search", "demo_01_steady", "--aspects", "loudness"], "no aspect 'loudness'"),
        (["search", "demo_01_steady", "--aspects", "tempo=0"], "weights are zero"),
        (["search", "demo_01_steady", "-k", "0"], "k must be at least 1"),
        (["passages", "demo_01_steady", "--start", "900"], "outside"),
    ],
)
def test_invalid_queries_print_one_line(data, arguments, message):
    result = _run(*arguments, *data)
    assert result.exit_code == 1
    assert message in result.output
    assert len(result.output.strip().splitlines()) == 1


def test_audio_files_filters_and_explanations(data, corpus):
    path = str(corpus / "demo_01_steady.flac")
    hits = json.loads(_run("search", path, "-k", "2", "--json", *data).stdout)
    assert hits[0]["track_id"] == "demo_01_steady"
    options = ["--where", "performer=free", "--start", "2.5"]
    hits = json.loads(_run("passages", path, *options, "--json", *data).stdout)
    assert {hit["track_id"].split("_")[-1] for hit in hits} == {"free"}
    for command, option in (("search", "--same-work"), ("passages", "--own")):
        refused = _run(command, path, option, *data)
        assert refused.exit_code == 2
        assert f"{option}: only for tracks of the library" in refused.output
    assert "there is no head" in _run("search", path, "--head", "none", *data).output
    explained = _run("explain", "demo_01_steady", "demo_02_steady", "--json", *data)
    assert {row["aspect"] for row in json.loads(explained.stdout)} > {"tempo", "rubato"}
    invalid = _run("passages", "demo_01_steady", "--where", "composer", *data)
    assert "COLUMN=VALUE" in invalid.output


def test_tracks_passages_aspects_and_doctor(data):
    listed = json.loads(_run("tracks", "--json", "--limit", "0", *data).stdout)
    assert len(listed) == 12
    assert len(json.loads(_run("tracks", "--match", "WALTZ", "--json", *data).stdout)) == 2
    assert json.loads(_run("tracks", "--failed", "--json", *data).stdout) == []
    hits = json.loads(_run("passages", "demo_01_steady", "--start", "3", "--json", *data).stdout)
    assert all(hit["end_s"] > hit["start_s"] for hit in hits)
    assert "demo_01_steady" not in {hit["track_id"] for hit in hits}
    assert len(json.loads(_run("aspects", "--json", *data).stdout)) == 13
    found = json.loads(_run("doctor", "--json", *data).stdout)
    assert {"torch", "device", "track index", "failures"} <= {one["subject"] for one in found}
    time = next(one["fact"] for one in found if one["subject"] == "speed of untrained:tiny")
    hours = sum(track["duration_s"] for track in listed) / 3600
    assert f"{hours:.3g} h of audio in this library take" in time
    cheaper = {one["remedy"]: one["fact"] for one in found if one["subject"] == "or with"}
    assert set(cheaper) == {
        "MESS_ENCODER=untrained:tiny,hop_s=5",
        "MESS_DTYPE=bfloat16",
        "MESS_ENCODER=untrained:tiny,hop_s=5 MESS_DTYPE=bfloat16",
    }
    assert all("this library take" in fact and "differ by" in fact for fact in cheaper.values())


def test_doctor_downloads_nothing_and_still_reports_the_library(data, monkeypatch):
    monkeypatch.setenv("MESS_ENCODER", "mert-v1-95m")
    monkeypatch.setenv("HF_HUB_CACHE", "/nowhere")
    found = {one["subject"]: one for one in json.loads(_run("doctor", "--json", *data).stdout)}
    assert found["tracks"]["fact"].startswith("12 ")
    assert "not measured" in found["speed of mert-v1-95m"]["fact"]


def test_targets_are_listed_with_their_definitions():
    listed = json.loads(_run("targets", "--json").stdout)
    assert len([row for row in listed if row["dimension"] not in ("extra", "curve")]) == 22
    assert len([row for row in listed if row["dimension"] == "curve"]) == 8
    assert all(row["definition"] and row["unit"] for row in listed)


def test_validate_writes_a_report(data, tmp_path):
    out = tmp_path / "report"
    result = _run("validate", "--no-sweeps", "--no-library", "--out", str(out), *data)
    assert result.stdout.strip().endswith("report.md")
    assert (out / "report.md").read_text().startswith("# Validation of the targets, version")


def test_probe_prints_the_summary(built, tmp_path):
    shutil.copytree(built.root, tmp_path / "data")
    options = ["--group-by", "as first published", "--permutations", "0"]
    result = _run("probe", *options, "--json", "--data", str(tmp_path / "data"))
    rows = json.loads(result.stdout)
    assert {"target", "layer", "chosen_r2", "evidence"} <= set(rows[0])
    assert "WARNING: folds may put one work on both sides" in result.stderr
    assert "as-first-published" in result.stderr
