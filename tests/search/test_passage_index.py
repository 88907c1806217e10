"""Passage search with every index type: measured recall, and filters that find rare rows."""

import numpy as np
import pandas as pd
import pytest

from mess_core.errors import SearchError
from mess_core.search import passage_index
from mess_core.search.artifact import save_artifact
from mess_core.search.passage_index import KINDS, PassageIndex, choose_kind
from mess_core.search.passages import load_passages, passage_hits
from mess_core.store import Layout

DIM = 16


def _tracks(count=60, segments=30, seed=0):
    """Return segments that are near their track, with tracks near their work."""
    rng = np.random.default_rng(seed)
    works = rng.standard_normal((count // 4, DIM))
    return [
        (
            works[track % len(works)]
            + 0.5 * rng.standard_normal(DIM)
            + 0.4 * rng.standard_normal((segments, DIM))
        ).astype(np.float16)
        for track in range(count)
    ]


def _unit(vectors):
    wide = np.concatenate(vectors).astype(np.float64)
    return wide / np.linalg.norm(wide, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def tracks():
    return _tracks()


@pytest.fixture(scope="module", params=[kind.name for kind in KINDS])
def index(request, tracks):
    return PassageIndex.build(lambda: tracks, 3, kind=request.param)


def test_every_kind_reaches_its_reported_recall(index, tracks):
    unit = _unit(tracks)
    assert index.measured["recall_at_10"] >= 0.99
    assert index.measured["fell_back"] is None
    hit = 0
    queries = range(0, len(unit), 30)
    for query in queries:
        _, rows = index.search(unit[query].astype(np.float32), 10)
        hit += len(np.intersect1d(rows, np.argsort(-(unit @ unit[query]))[:10]))
    assert hit / (10 * len(queries)) >= 0.95


def test_every_kind_ranks_by_cosine(index, tracks):
    unit = _unit(tracks)
    scores, rows = index.search(unit[100].astype(np.float32), 25)
    assert rows[0] == 100
    assert (np.diff(scores) <= 0).all()
    np.testing.assert_allclose(scores, unit[rows] @ unit[100], atol=2e-3)
    np.testing.assert_allclose(index.vector(100), unit[100], atol=2e-3)


def test_filters_find_a_single_rare_track(index, tracks):
    unit = _unit(tracks)
    for track in (0, 31, 59):
        allowed = np.zeros(len(unit), dtype=bool)
        allowed[30 * track : 30 * (track + 1)] = True
        far = int(np.argmin(unit @ unit[30 * track]))
        _, rows = index.search(unit[far].astype(np.float32), 50, allowed=allowed)
        assert sorted(rows.tolist()) == np.flatnonzero(allowed).tolist()


def test_every_kind_round_trips_through_files(index, tracks, tmp_path):
    layout = Layout(tmp_path, "untrained-tiny")
    starts = np.tile(np.arange(30) * 2.5, len(tracks))
    rows = pd.DataFrame(
        {
            "track_id": np.repeat([f"t{number}" for number in range(len(tracks))], 30),
            "start_s": starts,
            "end_s": starts + 5.0,
        }
    )
    made_from = {"layer": 3}
    save_artifact(layout.indices, "passage", index.index, rows, made_from, index.measured)
    opened, table = load_passages(layout.indices)
    assert opened.probes == index.probes
    assert opened.measured == index.measured
    query = index.vector(77)
    np.testing.assert_array_equal(opened.search(query, 20)[1], index.search(query, 20)[1])
    hits = passage_hits(opened, table, query, 5, tracks=set(table.tracks), taken=("t2", 42.5, 47.5))
    assert len(hits) == 5
    near = hits[hits["track_id"] == "t2"]
    assert ((near["start_s"] >= 47.5) | (near["end_s"] <= 42.5)).all()


def test_a_missed_recall_is_recorded_and_falls_back(tracks, monkeypatch):
    original = passage_index._Nearest.shares

    def poor(self, index, part):
        shares = original(self, index, part)
        return shares / 2 if passage_index._lists_of(index.index) else shares

    monkeypatch.setattr(passage_index._Nearest, "shares", poor)
    built = PassageIndex.build(lambda: tracks, 0, kind="ivfpq")
    assert built.measured["kind"] == "fp16"
    assert "ivfpq reached recall@10 0." in built.measured["fell_back"]
    assert "ivf reached" in built.measured["fell_back"]
    assert built.measured["recall_at_10"] >= 0.99


def test_recall_is_measured_on_passages_of_other_tracks(tracks):
    nearest = passage_index._nearest(lambda: tracks, [30] * 60, 0)
    unit = _unit(tracks)
    for query, (first, last), rows in zip(
        nearest.queries, nearest.spans, nearest.rows, strict=True
    ):
        scores = unit @ query
        scores[first:last] = -2
        assert sorted(rows) == sorted(np.argsort(-scores)[:10])
        assert np.isclose(unit[first:last] @ query, 1, atol=1e-3).any()


def test_the_kind_depends_on_the_size():
    sizes = [100, *(kind.largest for kind in KINDS), 10**9]
    positions = [[one.name for one in KINDS].index(choose_kind(size, 768).name) for size in sizes]
    assert positions == sorted(positions)
    assert choose_kind(100, 768).name == "flat"
    # The kind depends on the amount of data, not on the number of rows.
    assert choose_kind(4 * KINDS[0].largest, 192) == choose_kind(KINDS[0].largest, 768)


def test_empty_input_and_unknown_kinds_raise(tracks):
    with pytest.raises(SearchError, match="no segments"):
        PassageIndex.build(list, 0)
    with pytest.raises(SearchError, match="no index 'tree'"):
        PassageIndex.build(lambda: tracks, 0, kind="tree")


@pytest.mark.parametrize("segments", [1, 3, 11])
@pytest.mark.parametrize("kind", [kind.name for kind in KINDS])
def test_every_kind_supports_tiny_libraries(segments, kind):
    few = [_tracks(4, segments)[0][:segments]]
    built = PassageIndex.build(lambda: few, 0, kind=kind)
    _, rows = built.search(built.vector(0), 50)
    assert rows[0] == 0
    assert len(rows) == segments


def test_clustering_runs_on_gpus_if_faiss_has_them(tracks, monkeypatch):
    import faiss

    used = []

    def to_gpus(index):
        used.append(index.d)
        return index

    monkeypatch.setattr(faiss, "index_cpu_to_all_gpus", to_gpus, raising=False)
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 1, raising=False)
    built = PassageIndex.build(lambda: tracks, 0, kind="ivf")
    assert used == [DIM]
    assert built.measured["recall_at_10"] >= 0.99
