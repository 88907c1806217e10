"""Learned heads: saved and loaded, refused for other encoders, and used by search."""

import numpy as np
import pandas as pd
import pytest

from mess_core.errors import SearchError, StoreError
from mess_core.paths import locate
from mess_core.search import Library
from mess_core.search.served_heads import Head, list_heads, load_head, save_head, served_heads
from mess_core.store.matrix import load_matrix
from mess_core.store.tables import read_json, write_json, write_table
from tests.fixtures.heads import save_layer_head

IDENTITY = {
    "encoder": "e@1", "window_s": 5.0, "normalise": "window", "pooling": "mean", "layers": [0, 1],
}  # fmt: skip


@pytest.fixture
def head():
    rng = np.random.default_rng(0)
    arrays = {
        "mean": rng.normal(size=(2, 8)),
        "scale": np.ones((2, 8)),
        "layer": np.array([0.4, 0.6]),
        "first": rng.normal(size=(4, 8)),
    }
    arrays = {name: array.astype(np.float32) for name, array in arrays.items()}
    return Head("linear", arrays, {"identity": IDENTITY})


def test_a_saved_head_loads_unchanged(tmp_path, head):
    heads = locate(tmp_path)
    manifest = save_head(heads, "expression", head)
    again = load_head(heads, "expression", identity=IDENTITY)
    vectors = np.random.default_rng(1).normal(size=(5, 2, 8)).astype(np.float32)
    np.testing.assert_array_equal(again(vectors), head(vectors))
    assert list_heads(heads) == ["expression"]
    assert save_head(heads, "expression", head)["version"] == manifest["version"]


def test_invalid_heads_and_names_are_refused(tmp_path, head):
    heads = locate(tmp_path)
    save_head(heads, "mine", head)
    with pytest.raises(SearchError, match="another encoder"):
        load_head(heads, "mine", identity={**IDENTITY, "encoder": "f@2"})
    with pytest.raises(SearchError, match="Use one of mine"):
        load_head(heads, "yours")
    with pytest.raises(SearchError, match="do not fit a head"):
        head(np.zeros((3, 2, 9), dtype=np.float32))
    for name in ("../mine", "a/b", "", "Ä", ".."):
        with pytest.raises(SearchError, match="cannot be a head's name"):
            load_head(heads, name)
    broken = Head("linear", {**head.arrays, "first": np.full((4, 8), np.nan)}, {})
    with pytest.raises(SearchError, match="not finite"):
        save_head(heads, "broken", broken)
    assert list_heads(heads) == ["mine"]


def test_damaged_weights_raise(tmp_path, head):
    heads = locate(tmp_path)
    version = save_head(heads, "mine", head)["version"]
    path = tmp_path / "mine" / version / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(StoreError, match="damaged"):
        load_head(heads, "mine")


def test_search_ranks_by_a_head(workbench):
    matrix, rows, _ = load_matrix(workbench.layout)
    save_layer_head(workbench.layout, 3, "third")
    library = Library.open(workbench.root)
    query = str(rows["track_id"].iloc[0])
    hits = library.similar(query, head="third", k=5)
    unit = matrix[:, 3] / np.linalg.norm(matrix[:, 3], axis=1, keepdims=True)
    order = [row for row in np.argsort(-(unit @ unit[0]), kind="stable") if row != 0][:5]
    assert hits["track_id"].tolist() == rows["track_id"].iloc[order].tolist()
    assert np.all(np.diff(hits["score"]) <= 0)
    with pytest.raises(SearchError, match="no aspects"):
        library.similar(query, {"tempo": 1.0}, head="third")
    with pytest.raises(SearchError, match="there is no head"):
        library.similar(query, head="fourth")


def test_a_recording_is_ranked_like_its_track(workbench, encoder, corpus):
    save_layer_head(workbench.layout, 3, "third")
    library = Library.open(workbench.root)
    first = str(library.tracks["track_id"].iloc[0])
    path = corpus / f"{first}.flac"
    found = library.query_audio(path, head="third", k=5, encoder=encoder)
    assert found["track_id"][0] == first
    assert found["score"][0] == pytest.approx(1, abs=1e-5)
    stored = library.similar(first, head="third", k=4)
    assert found["track_id"].tolist()[1:] == stored["track_id"].tolist()
    np.testing.assert_allclose(found["score"][1:], stored["score"], atol=1e-5)
    for wrong, message in (
        ({"aspects": {"tempo": 1.0}}, "no aspects"),
        ({"start_s": 0.0}, "whole"),
    ):
        with pytest.raises(SearchError, match=message):
            library.query_audio(path, head="third", encoder=encoder, **wrong)


def test_served_heads_have_a_verdict_or_a_reason(workbench):
    layout = workbench.layout
    save_layer_head(layout, 3, "third", objective="content", model="MLP")
    save_layer_head(layout, 2, "foreign", identity={"encoder": "f@2"})
    save_layer_head(layout, 2, "old")
    (manifest,) = (layout.heads / "old").glob("*/manifest.json")
    write_json(manifest, {**read_json(manifest), "sha256": "of an earlier format"})
    model = {"model": "content: MLP", "verdict": "not helping", "p": 0.8123, "clusters": 13}
    layout.leaderboard.mkdir(parents=True)
    write_table(layout.leaderboard / "models.parquet", pd.DataFrame([model]))
    identity = Library.open(workbench.root).identity
    found = {one["name"]: one for one in served_heads(layout, identity)}
    assert found["third"] == {
        "name": "third",
        "available": True,
        "reason": None,
        "verdict": "not helping (p = 0.81, 13 works)",
    }
    assert "another encoder" in found["foreign"]["reason"]
    assert "another version of MESS. Train the head again" in found["old"]["reason"]
    layout.matrix_manifest.unlink()
    assert not any(one["available"] for one in served_heads(layout, identity))
