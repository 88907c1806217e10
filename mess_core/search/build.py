"""Build and save the indices of a data root, and check them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mess_core.errors import StoreError
from mess_core.probing.aspects import Aspect
from mess_core.probing.results import load_aspects
from mess_core.search.artifact import load_artifact, save_artifact
from mess_core.search.index import TrackIndex
from mess_core.search.passage_index import PassageIndex
from mess_core.store.embeddings import EmbeddingStore
from mess_core.store.findings import Finding
from mess_core.store.layout import Layout
from mess_core.store.matrix import load_matrix
from mess_core.store.tables import read_json
from mess_core.store.versions import file_sha256_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "build_passage_index",
    "build_track_index",
    "check_passage_index",
    "check_track_index",
    "passage_layer",
]


def build_track_index(
    layout: Layout,
    matrix: np.ndarray[Any, Any],
    rows: pd.DataFrame,
    identity: dict[str, Any],
    *,
    matrix_sha256: str,
) -> dict[str, Any]:
    """Build the track index over all layers, and return its manifest.

    Parameters
    ----------
    layout : Layout
    matrix : ndarray, float32, shape [tracks, layers, dim]
    rows : DataFrame
        One row per track, with ``track_id``.
    identity : dict
        Identity of the encoder, as in sidecars.
    matrix_sha256 : str
        Checksum of the matrix, recorded in the manifest.
    """
    layers = [int(layer) for layer in identity["layers"]]
    index = TrackIndex.build(matrix, layers)
    made_from = {**identity, "matrix_sha256": matrix_sha256}
    return save_artifact(layout.indices, "track", index.index, rows, made_from)


def passage_layer(aspects: dict[str, Aspect], layers: list[int]) -> tuple[int, str]:
    """Return the layer that passages are compared by, and the reason.

    This is the layer that most aspects resolve to, weighted by their R². If probing supports no
    aspect, it is the middle layer, and the reason says that it is a fallback.
    """
    support: dict[int, float] = {}
    for aspect in aspects.values():
        if aspect.available:
            for layer, weight in aspect.weights.items():
                support[layer] = support.get(layer, 0.0) + weight * aspect.r2
    support = {layer: total for layer, total in support.items() if layer in layers}
    if not support:
        middle = layers[len(layers) // 2]
        return middle, "fallback: the middle layer, because no aspect is supported"
    best = max(sorted(support), key=lambda layer: support[layer])
    return best, f"encodes the aspects best (summed R² {support[best]:.2f})"


def build_passage_index(
    layout: Layout,
    rows: pd.DataFrame,
    identity: dict[str, Any],
    *,
    kind: str | None = None,
    recall_target: float = 0.99,
) -> dict[str, Any]:
    """Build the passage index of one layer over all segments, and return its manifest.

    Segments are read from memory-mapped files, one track at a time.

    Parameters
    ----------
    layout : Layout
    rows : DataFrame
        One row per track, with ``track_id`` and ``dataset``.
    identity : dict
        Identity of the encoder, as in sidecars.
    kind : str, optional
        One of `mess_core.search.passage_index.KINDS`; chosen by size if not given.
    recall_target : float
        See `PassageIndex.build`; the manifest records the recall that was reached.

    Raises
    ------
    StoreError
        If a track has no embedding, or the aspects are missing.
    SearchError
        If there are no segments.
    """
    import pandas as pd

    aspects_path = layout.probing / "aspects.json"
    layers = [int(layer) for layer in identity["layers"]]
    layer, reason = passage_layer(load_aspects(aspects_path), layers)
    position = layers.index(layer)
    store = EmbeddingStore(layout)
    tracks = [(str(row.dataset), str(row.track_id)) for row in rows.itertuples()]

    def parts() -> Iterator[NDArray[np.floating[Any]]]:
        for dataset, track_id in tracks:
            yield store.read("segments", dataset, track_id)[:, position]

    index = PassageIndex.build(parts, layer, kind=kind, recall_target=recall_target)
    bounds = []
    for dataset, track_id in tracks:
        sidecar = store.sidecar(dataset, track_id)
        if sidecar is None:
            raise StoreError(
                f"the embedding of {track_id!r} was replaced during indexing",
                remedy="Materialise passage_index again",
            )
        columns = {"start_s": sidecar["start_s"], "end_s": sidecar["end_s"]}
        bounds.append(pd.DataFrame({"track_id": track_id, **columns}))
    made_from = {
        **identity,
        "layer": layer,
        "layer_reason": reason,
        "targets_version": read_json(aspects_path)["made_from"].get("targets_version"),
        "aspects_sha256": file_sha256_of(aspects_path),
    }
    table = pd.concat(bounds, ignore_index=True)
    return save_artifact(
        layout.indices, "passage", index.index, table, made_from, measured=index.measured
    )


def check_track_index(layout: Layout) -> Finding:
    """Check that the index matches the current matrix, and that tracks find themselves."""
    index, rows, manifest = load_artifact(layout.indices, "track")
    _, _, matrix = load_matrix(layout)
    opened = TrackIndex(index, manifest["made_from"]["layers"])
    everything = {layer: 1 / len(opened.layers) for layer in opened.layers}
    lost = []
    for row in range(0, len(opened), max(1, len(opened) // 50)):
        score, found = opened.search(opened.vector(row), everything, 1)
        if found[0] != row and score[0] < 1 - 1e-5:
            lost.append(str(rows["track_id"].iloc[row]))
    current = manifest["made_from"]["matrix_sha256"] == matrix["matrix_sha256"]
    return Finding(
        current and not lost,
        {"vectors": len(opened), "of_present_matrix": current, "do_not_find_themselves": lost},
    )


def check_passage_index(layout: Layout) -> Finding:
    """Check that passages have valid bounds, finite vectors and tracks of the matrix."""
    index, passages, manifest = load_artifact(layout.indices, "passage")
    _, rows, matrix = load_matrix(layout)
    bounds = bool((passages["end_s"] > passages["start_s"]).all())
    stray = sorted(set(passages["track_id"]) - set(rows["track_id"]))
    absent = sorted(set(rows["track_id"]) - set(passages["track_id"]))
    vectors = [index.reconstruct(row) for row in range(0, index.ntotal, index.ntotal // 1000 + 1)]
    finite = bool(np.isfinite(vectors).all())
    same = manifest["made_from"]["encoder"] == matrix["identity"]["encoder"]
    measured = manifest.get("measured") or {"kind": "unknown", "recall_at_10": None}
    reached = (measured["recall_at_10"] or 0.0) >= measured.get("recall_target", 1.0)
    return Finding(
        bounds and finite and same and reached and not stray and not absent,
        {
            "passages": len(passages),
            "layer": manifest["made_from"]["layer"],
            "stray": stray[:5],
            "absent": absent[:5],
            "finite": finite,
            "kind": measured["kind"],
            "recall_at_10": measured["recall_at_10"],
        },
    )
