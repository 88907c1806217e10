"""Scores are exact sums of per-layer cosines; damaged artifacts are not loaded."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mess_core.errors import SearchError, StoreError
from mess_core.probing.aspects import Aspect
from mess_core.search.artifact import latest_manifest, load_artifact, save_artifact
from mess_core.search.aspect_weights import layer_weights, opposed_aspects, parse_aspects
from mess_core.search.index import TrackIndex
from mess_core.store import Layout


def _vectors(seed=0, tracks=30, layers=4, dim=8):
    return np.random.default_rng(seed).standard_normal((tracks, layers, dim)).astype(np.float32)


def _cosine(a, b):
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.one_of(st.just(0.0), st.floats(-2, 2)), min_size=4, max_size=4),
    st.integers(0, 100),
    st.integers(1, 40),
    st.floats(0, 1),
)
def test_scores_are_weighted_sums_of_cosines_to_1e_6(weights, seed, k, share):
    rng = np.random.default_rng(seed)
    centre = rng.standard_normal((1, 4, 8)).astype(np.float32)
    vectors = 0.3 * _vectors(seed) + centre  # similar to each other, like real embeddings
    vectors[7] = vectors[3]
    index = TrackIndex.build(vectors, [0, 3, 6, 12])
    allowed = rng.random(30) <= share
    scores, rows = index.search(
        index.vector(5), dict(zip(index.layers, weights, strict=True)), k, allowed=allowed
    )
    wide = vectors.astype(np.float64)
    expected = np.array(
        [
            sum(w * _cosine(wide[5, layer], wide[row, layer]) for layer, w in enumerate(weights))
            for row in range(30)
        ]
    )
    np.testing.assert_allclose(scores, expected[rows], atol=1e-6)
    # No other allowed row scores higher than a hit.
    others = np.setdiff1d(np.flatnonzero(allowed), rows)
    assert len(rows) == min(k, allowed.sum())
    assert allowed[rows].all()
    if len(others) and len(rows):
        assert expected[others].max() <= expected[rows].min() + 1e-6
    assert (np.diff(scores) <= 0).all()


def test_ties_have_a_stable_order():
    vectors = np.repeat(_vectors(tracks=1), 20, axis=0)
    index = TrackIndex.build(vectors, [0, 1, 2, 3])
    _, rows = index.search(index.vector(0), {0: 1.0}, 7)
    assert rows.tolist() == list(range(7))


@pytest.mark.parametrize("scale", [1e300, 1e-300])
def test_ranking_does_not_depend_on_the_scale_of_weights(scale):
    index = TrackIndex.build(_vectors(), [0, 1, 2, 3])
    plain = index.search(index.vector(0), {0: 1.0, 2: -0.5}, 10)
    scaled = index.search(index.vector(0), {0: scale, 2: -0.5 * scale}, 10)
    assert scaled[1].tolist() == plain[1].tolist()
    np.testing.assert_allclose(scaled[0], plain[0] * scale, rtol=1e-12)


def test_zero_vectors_do_not_become_nan():
    vectors = _vectors()
    vectors[3] = 0
    index = TrackIndex.build(vectors, [0, 1, 2, 3])
    scores, _ = index.search(index.vector(3), {0: 1.0}, 30)
    assert np.isfinite(scores).all()


ASPECTS = {
    "one": Aspect("one", {0: 1.0}, "low", 0.1, 0.1, ""),
    "same": Aspect("same", {0: 1.0}, "low", 0.1, 0.1, ""),
    "two": Aspect("two", {1: 0.5, 2: 0.5}, "low", 0.1, 0.1, ""),
}


def test_opposite_weights_on_one_layer_are_reported():
    notes = opposed_aspects({"one": 1.0, "same": -0.4, "two": -1.0}, ASPECTS)
    assert len(notes) == 1
    assert notes[0].startswith("one and same are both read from layer 0")


def test_aspect_weights_become_layer_weights():
    assert layer_weights({"one": 0.7, "two": -0.4}, ASPECTS, [0, 1, 2]) == {
        0: 0.7,
        1: -0.2,
        2: -0.2,
    }
    assert layer_weights(None, ASPECTS, [0, 1]) == {0: 0.5, 1: 0.5}


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"three": 1.0}, "no aspect 'three'"),
        ({"one": 0.0}, "all aspect weights are zero"),
        ({}, "all aspect weights are zero"),
        ({"one": float("nan")}, "not a finite number"),
        ({"two": 1.0}, "no layer 2"),
        ({"one": 0.7, "same": -0.7}, "cancel"),
    ],
)
def test_invalid_weights_raise(wanted, message):
    with pytest.raises(SearchError, match=message):
        layer_weights(wanted, ASPECTS, [0, 1])


@pytest.mark.parametrize("text", ["a=b", "a=1,a=2"])
def test_malformed_aspects_raise(text):
    with pytest.raises(SearchError):
        parse_aspects(text)


@pytest.fixture
def saved(tmp_path):
    layout = Layout(tmp_path, "untrained-tiny")
    index = TrackIndex.build(_vectors(), [0, 1, 2, 3])
    rows = pd.DataFrame({"track_id": [f"t{i}" for i in range(30)]})
    return layout, index, rows, save_artifact(layout.indices, "track", index.index, rows, {})


def test_artifacts_round_trip_and_equal_content_has_one_version(saved):
    layout, index, rows, manifest = saved
    again = save_artifact(layout.indices, "track", index.index, rows, {})
    assert again["version"] == manifest["version"]
    loaded, table, _ = load_artifact(layout.indices, "track")
    assert loaded.ntotal == 30
    pd.testing.assert_frame_equal(table, rows, check_dtype=False)


@pytest.mark.parametrize("file", ["index.faiss", "rows.parquet"])
def test_damaged_artifacts_are_never_loaded(saved, file):
    layout, _, _, manifest = saved
    path = layout.indices / "track" / manifest["version"] / file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(StoreError, match="checksum"):
        load_artifact(layout.indices, "track")
    path.unlink()
    with pytest.raises(StoreError, match="is missing"):
        load_artifact(layout.indices, "track")


@pytest.mark.parametrize("file", ["index.faiss", "rows.parquet", "manifest.json"])
def test_rebuilding_repairs_a_damaged_version(saved, file):
    layout, index, rows, manifest = saved
    path = layout.indices / "track" / manifest["version"] / file
    path.write_bytes(path.read_bytes()[:-7])
    save_artifact(layout.indices, "track", index.index, rows, {})
    assert load_artifact(layout.indices, "track")[0].ntotal == 30


def test_an_interrupted_build_leaves_the_old_version(saved, monkeypatch):
    import mess_core.store.versions as module

    layout, _, rows, manifest = saved
    other = TrackIndex.build(_vectors(9), [0, 1, 2, 3])
    monkeypatch.setattr(module, "write_json", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        save_artifact(layout.indices, "track", other.index, rows, {})
    assert load_artifact(layout.indices, "track")[2]["version"] == manifest["version"]


def test_missing_and_malformed_pointers_raise(tmp_path, saved):
    assert latest_manifest(Layout(tmp_path / "empty", "untrained-tiny").indices, "track") is None
    with pytest.raises(StoreError, match="there is no track index"):
        load_artifact(Layout(tmp_path / "empty", "untrained-tiny").indices, "track")
    layout = saved[0]
    (layout.indices / "track" / "latest").write_bytes(b"../../etc")
    with pytest.raises(StoreError, match="does not name a version"):
        load_artifact(layout.indices, "track")
