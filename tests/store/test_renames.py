"""Renamed files reuse their embeddings and targets; uncertain cases are computed again."""

import numpy as np
import pandas as pd
import pytest

from mess_core.datasets import parse_sources
from mess_core.encoders import embed_tracks
from mess_core.store import EmbeddingStore, Layout
from mess_core.store.renames import find_renames
from mess_core.store.track_table import pending_tracks, refresh_tracks
from mess_core.targets import TARGETS_VERSION, compute_track_targets


def _table(dataset="d", **audio):
    table = pd.DataFrame({"track_id": list(audio), "audio_sha256": list(audio.values())})
    return table.assign(dataset=dataset)


def test_only_certain_pairs_are_renames():
    before = _table(same="1", moved="2", copy_a="3", copy_b="3", silent=None, one="4")
    after = _table(same="1", now="2", copy_c="3", silent_b=None, first="4", second="4")
    assert find_renames(before, after) == [(("d", "moved"), ("d", "now"))]


def test_reassigned_or_swapped_names_are_renames():
    pairs = find_renames(_table(a="1", b="2", c="3"), _table(b="1", a="2", d="3"))
    assert [(old[1], new[1]) for old, new in pairs] == [("a", "b"), ("b", "a"), ("c", "d")]
    assert find_renames(_table("d", a="1"), _table("e", a="1")) == [(("d", "a"), ("e", "a"))]


@pytest.fixture
def library(tmp_path, corpus, encoder):
    folder = tmp_path / "takes"
    folder.mkdir()
    for path in corpus.glob("demo_0[12]_steady.*"):
        (folder / path.name).write_bytes(path.read_bytes())
    layout = Layout(tmp_path / "root", "untrained-tiny")
    tracks, _ = refresh_tracks(layout, parse_sources(f"takes={folder}"))
    assert {one.status for one in embed_tracks(tracks, encoder, layout)} == {"done"}
    assert {one.status for one in compute_track_targets(tracks, layout)} == {"done"}
    return layout, folder


def test_nothing_is_computed_again_after_a_rename(library, encoder):
    layout, folder = library
    store = EmbeddingStore(layout)
    before = np.array(store.read("segments", "takes", "demo_02_steady"))
    for path in folder.glob("demo_02_steady.*"):
        path.rename(folder / f"Für Elise...{path.suffix}")
    tracks, report = refresh_tracks(layout, parse_sources(f"takes={folder}"))
    assert report["renamed"] == [["demo_02_steady", "Für Elise..."]]
    assert (report["added"], report["removed"]) == ([], [])
    identity = encoder.identity
    assert pending_tracks(layout, wanted=identity, targets_version=TARGETS_VERSION) == {}
    assert {one.status for one in embed_tracks(tracks, encoder, layout)} == {"fresh"}
    assert {one.status for one in compute_track_targets(tracks, layout)} == {"fresh"}
    np.testing.assert_array_equal(store.read("segments", "takes", "Für Elise..."), before)
    assert store.sidecar("takes", "Für Elise...")["track_id"] == "Für Elise..."
    left = [path.name for path in layout.root.rglob("*demo_02_steady*")]
    assert left == []


def test_swapped_names_are_not_computed_again(library, encoder):
    layout, folder = library
    store = EmbeddingStore(layout)
    first, second = "demo_01_steady", "demo_02_steady"
    before = np.array(store.read("aggregated", "takes", first))
    for suffix in (".flac", ".mid"):
        (folder / f"{first}{suffix}").rename(folder / f"x{suffix}")
        (folder / f"{second}{suffix}").rename(folder / f"{first}{suffix}")
        (folder / f"x{suffix}").rename(folder / f"{second}{suffix}")
    tracks, report = refresh_tracks(layout, parse_sources(f"takes={folder}"))
    assert len(report["renamed"]) == 2
    assert report["changed"] == []
    assert {one.status for one in embed_tracks(tracks, encoder, layout)} == {"fresh"}
    assert {one.status for one in compute_track_targets(tracks, layout)} == {"fresh"}
    np.testing.assert_array_equal(store.read("aggregated", "takes", second), before)
    assert not list(layout.root.rglob("*renaming*"))


def test_renamed_data_sets_are_followed(library, encoder):
    layout, folder = library
    moved = folder.rename(folder.with_name("other"))
    for path in list(moved.iterdir()):
        path.rename(moved / f"new_{path.name}")
    tracks, report = refresh_tracks(layout, parse_sources(f"other={moved}"))
    assert len(report["renamed"]) == 2
    assert {one.status for one in embed_tracks(tracks, encoder, layout)} == {"fresh"}
