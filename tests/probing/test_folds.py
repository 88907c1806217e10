"""Checks fail on manipulated data: leaking folds, dropped scores and unusual levels."""

import pandas as pd
import pytest

from mess_core.probing.folds import check_folds, check_splits, shared
from mess_core.probing.pipeline import PREVIOUS, check_r2_drop
from mess_core.store.embeddings import check_embeddings
from mess_core.store.tables import read_json, read_table, write_json, write_table
from mess_core.targets.proxy_table import check_loudness


@pytest.fixture
def library(workbench):
    return workbench.layout


def _rows(**columns):
    return pd.DataFrame(columns)


def test_works_and_audio_on_both_sides_are_reported():
    tracks = _rows(
        track_id=["a", "b", "c", "d", "e"],
        work_id=["chopin:op25", "chopin:op25-11", "x", "y", "z"],
        audio_sha256=["1", "2", "3", "3", None],
    )
    found = shared(tracks, ["train", "test", "train", "test", "test"])
    assert found == {"works": ["chopin:op25"], "audio": ["c", "d"]}
    assert shared(tracks, ["train"] * 5) == {"works": [], "audio": []}


def test_a_leaking_split_of_a_data_set_fails(library):
    assert check_splits(library).passed
    tracks = read_table(library.tracks)
    sides = ["test" if name.endswith("steady") else "train" for name in tracks["track_id"]]
    write_table(library.tracks, tracks.assign(split=pd.array(sides, dtype="string")))
    finding = check_splits(library)
    assert not finding.passed
    assert len(finding.facts["works of demo"]) == 5
    assert check_folds(library).passed


def test_folds_keep_a_recording_listed_under_two_works_on_one_side(library):
    tracks = read_table(library.tracks)
    assert tracks.loc[0, "work_id"] != tracks.loc[11, "work_id"]
    tracks.loc[11, "audio_sha256"] = tracks.loc[0, "audio_sha256"]
    write_table(library.tracks, tracks)
    assert check_folds(library).passed


def test_leaking_folds_fail(library, monkeypatch):
    from mess_core.probing import folds

    monkeypatch.setattr(folds, "grouping", lambda _layout, rows, _by: rows["track_id"].tolist())
    finding = check_folds(library)
    assert not finding.passed
    assert finding.facts["works_on_both_sides"]


def test_a_dropped_score_is_reported_but_other_encoders_are_not_compared(library):
    (library.probing / PREVIOUS).unlink(missing_ok=True)
    assert check_r2_drop(library).facts["compared"] == "nothing: this is the first run"
    summary = read_table(library.probing / "summary.parquet")
    encoder = read_json(library.probing / "results.json")["made_from"]["encoder"]
    better = summary.assign(encoder=encoder)
    better.loc[3, ["chosen_r2", "chosen_r2_low"]] = [0.99, 0.95]
    write_table(library.probing / PREVIOUS, better)
    finding = check_r2_drop(library)
    assert not finding.passed
    assert list(finding.facts["fallen"]) == [summary.loc[3, "target"]]
    write_table(library.probing / PREVIOUS, better.assign(encoder="another"))
    assert check_r2_drop(library).passed


def test_a_track_with_an_unusual_level_is_reported(library):
    assert check_loudness(library).passed
    path = library.track_targets("demo", "demo_02_steady")
    record = read_json(path)
    assert -60 < record["level_db"] < 0
    write_json(path, {**record, "level_db": record["level_db"] - 30})
    assert list(check_loudness(library).facts["outliers"]) == ["demo_02_steady"]


def test_embeddings_of_another_encoder_or_version_are_stale(library, encoder):
    assert check_embeddings(library, encoder.identity).passed
    finding = check_embeddings(library, {**encoder.identity, "version": "0"})
    assert not finding.passed
    assert "other version: '1', not '0'" in finding.facts["stale"][0]
