"""Heads as files: read back as written, refused where they do not belong, served by search."""

import numpy as np
import pytest

from mess_core.errors import SearchError, StoreError
from mess_core.places import locate
from mess_core.search import Library
from mess_core.search.heads import Head, list_heads, load_head, save_head
from mess_core.store.matrix import load_matrix

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


def test_a_head_is_read_back_as_written(tmp_path, head):
    heads = locate(tmp_path)
    manifest = save_head(heads, "expression", head)
    again = load_head(heads, "expression", identity=IDENTITY)
    vectors = np.random.default_rng(1).normal(size=(5, 2, 8)).astype(np.float32)
    np.testing.assert_array_equal(again(vectors), head(vectors))
    assert list_heads(heads) == ["expression"]
    assert save_head(heads, "expression", head)["version"] == manifest["version"]


def test_what_does_not_belong_is_refused(tmp_path, head):
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


def test_damaged_weights_are_named(tmp_path, head):
    heads = locate(tmp_path)
    version = save_head(heads, "mine", head)["version"]
    place = tmp_path / "mine" / version / "weights.safetensors"
    place.write_bytes(place.read_bytes()[:-3])
    with pytest.raises(StoreError, match="damaged"):
        load_head(heads, "mine")


def test_search_ranks_by_a_head(workbench):
    matrix, rows, manifest = load_matrix(workbench.layout)
    layers, dim = matrix.shape[1:]
    only = np.zeros(layers, dtype=np.float32)
    only[3] = 1.0  # a head that takes one layer as it is: the cosine of that layer
    arrays = {
        "mean": np.zeros((layers, dim), np.float32),
        "scale": np.ones((layers, dim), np.float32),
        "layer": only,
        "first": np.eye(dim, dtype=np.float32),
    }
    save_head(
        workbench.layout.heads, "third", Head("linear", arrays, {"identity": manifest["identity"]})
    )
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
