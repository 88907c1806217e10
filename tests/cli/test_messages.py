"""What commands say: MESS's own message, what was skipped, and nothing that cannot be shown."""

import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from mess_assets.commands import run
from mess_core.cli import cli
from mess_core.datasets.demo import write_demo_corpus


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A data root with one short data set, MIDI only, so that a run takes seconds."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MESS_DEVICE", "cpu")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "off")
    monkeypatch.delenv("MESS_DATASETS", raising=False)
    folder = tmp_path / "root" / "datasets" / "demo"
    write_demo_corpus(folder, works=1, players=2, bars=2)
    for path in folder.glob("*.flac"):
        path.unlink()
    return tmp_path / "root"


def invoke(root, *options):
    return CliRunner().invoke(run, ["--data", str(root), *options])


def test_skipped_files_are_counted_at_the_end_and_listed(root):
    takes = root / "datasets" / "demo"
    (takes / "take.m4a").write_bytes(b"anything")
    (takes / "notes.txt").touch()
    done = invoke(root)
    assert done.exit_code == 0, done.output
    assert "2 entries were skipped" in done.output.splitlines()[-1]
    assert "mess tracks --skipped" in done.output
    listed = CliRunner().invoke(cli, ["tracks", "--data", str(root)])
    assert "2 entries were skipped" in listed.output
    listed = CliRunner().invoke(cli, ["tracks", "--skipped", "--json", "--data", str(root)])
    assert "ffmpeg -i take.m4a take.flac" in listed.stdout


def test_a_missing_data_set_is_named_and_does_not_stop_the_other(root, tmp_path):
    sources = f"demo={root}/datasets/demo,gone={tmp_path}/gone"
    done = invoke(root, "--datasets", sources)
    assert done.exit_code == 1
    assert "data set 'gone' cannot be read" in done.output
    assert "a data set could not be read" in done.output
    assert "mess tracks --failed" not in done.output
    assert (root / "proxy_targets" / "proxy_targets.parquet").exists()


def test_an_error_of_mess_is_shown_with_file_and_remedy(root):
    for path in (root / "datasets" / "demo").iterdir():
        path.unlink()
    done = invoke(root)
    assert done.exit_code == 1
    assert f"{root}/datasets/demo" in done.output
    assert "holds no recordings" in done.output
    assert "Mount its disk" in done.output
    assert "DatasetError" not in done.output


def test_failed_tracks_are_counted(root):
    (root / "datasets" / "demo" / "demo_01_free.mid").write_bytes(b"MThd damaged")
    done = invoke(root)
    assert done.exit_code == 1
    assert "1 tracks failed: mess tracks --failed" in done.output


@pytest.mark.parametrize(
    ("command", "encoding"),
    [(["doctor"], "cp1252"), (["tracks"], "ascii")],
)
def test_a_terminal_without_unicode_is_no_error(root, encoding, command):
    takes = root / "datasets" / "demo"
    (takes / "demo_01_free.mid").rename(takes / "Dvořák 東京.mid")
    assert invoke(root).exit_code == 0
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run(
        [sys.executable, "-m", "mess_core.cli", *command, "--data", str(root)],
        capture_output=True, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode(encoding)
    done.stdout.decode(encoding)


def test_every_run_is_signed_with_its_process(root):
    import dagster as dg

    from mess_assets.workers import WORKER_TAG

    assert invoke(root).exit_code == 0
    with dg.DagsterInstance.get() as instance:
        runs = instance.get_runs()
    assert len(runs) >= 3
    assert all(f'"pid": {os.getpid()}' in one.tags[WORKER_TAG] for one in runs)


def test_a_query_that_is_no_file_is_named_as_one(built):
    for query in ("absent.wav", "folder/absent"):
        done = CliRunner().invoke(cli, ["search", query, "--data", str(built.root)])
        assert done.exit_code == 1
        assert f"{query}: does not exist" in done.output
