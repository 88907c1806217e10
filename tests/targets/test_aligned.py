"""Aligned targets are computed per work, and again only when its files change."""

import shutil

import numpy as np
import pytest
from scipy.stats import spearmanr

from mess_core.datasets import parse_sources
from mess_core.datasets.demo import Expression, demo_score, perform, write_midi
from mess_core.store import Layout
from mess_core.store.track_table import refresh_tracks
from mess_core.targets import compute_aligned_targets, compute_track_targets, proxy_target_table
from mess_core.targets.aligned import check_aligned_targets

RUBATO = [0.02, 0.05, 0.08, 0.11, 0.14]


@pytest.fixture
def library(tmp_path):
    folder = tmp_path / "takes"
    folder.mkdir()
    for index, value in enumerate(RUBATO):
        notes = perform(demo_score(2, bars=16), Expression(rubato=value), seed=index)
        write_midi(notes, folder / f"piece__player{index}.mid")
    write_midi(perform(demo_score(3), Expression(), seed=0), folder / "alone.mid")
    return Layout(tmp_path / "root", "untrained-tiny"), folder


def _scan(library):
    return refresh_tracks(library[0], parse_sources(f"takes={library[1]}"))[0]


def test_aligned_targets_extend_the_table_of_score_free_targets(library):
    layout, _ = library
    tracks = _scan(library)
    list(compute_track_targets(tracks, layout))
    works = list(compute_aligned_targets(tracks, layout))
    assert [(work.work_id, work.performances, work.problem) for work in works] == [
        ("takes:piece", 5, None)
    ]
    table = proxy_target_table(tracks, layout).set_index("track_id")
    assert np.isnan(table.loc["alone", "rubato_aligned"])
    assert np.isfinite(table.loc["alone", "rubato"])
    players = table.drop("alone")
    for column in ("rubato", "rubato_aligned"):
        assert spearmanr(players[column], RUBATO).statistic >= 0.9
    assert check_aligned_targets(layout).passed


def test_a_work_is_aligned_again_only_when_it_changes(library):
    layout, folder = library
    assert [work.computed for work in compute_aligned_targets(_scan(library), layout)] == [True]
    assert [work.computed for work in compute_aligned_targets(_scan(library), layout)] == [False]
    (folder / "piece__player3.mid").unlink()
    assert [work.computed for work in compute_aligned_targets(_scan(library), layout)] == [True]
    shutil.copy(folder / "alone.mid", folder / "alone__again.mid")
    _scan(library)
    assert not check_aligned_targets(layout).passed


def test_unusable_file_excludes_only_itself(library):
    layout, folder = library
    (folder / "piece__player0.mid").write_bytes(b"MThd")
    tracks = _scan(library)
    list(compute_aligned_targets(tracks, layout))
    list(compute_track_targets(tracks, layout))
    table = proxy_target_table(tracks, layout).set_index("track_id")
    assert table["rubato_aligned"].notna().sum() == 4
    for index in (1, 2, 3):
        (folder / f"piece__player{index}.mid").write_bytes(b"MThd")
    works = list(compute_aligned_targets(_scan(library), layout))
    assert "alone" in works[0].problem


def test_a_new_target_is_one_decorated_function(library, monkeypatch):
    from mess_core.cli import cli
    from mess_core.targets import registry, targets

    monkeypatch.setattr(registry, "_TARGETS", dict(registry._TARGETS))

    @registry.target("notes", dimension="rhythm", unit="1", source="midi")
    def notes(performance):
        """Number of notes."""
        return float(len(performance))

    assert "notes" in [one.name for one in targets("midi")]
    layout, _ = library
    tracks = _scan(library)
    list(compute_track_targets(tracks, layout))
    table = proxy_target_table(tracks, layout)
    assert (table["notes"] > 10).all()
    from click.testing import CliRunner

    assert "Number of notes." in CliRunner().invoke(cli, ["targets", "--json"]).stdout
