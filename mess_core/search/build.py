"""Build and save the indices of a data root."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mess_core.probing.aspects import Aspect
from mess_core.search.artifact import save_artifact
from mess_core.search.index import PassageIndex, TrackIndex
from mess_core.store.embeddings import EmbeddingStore
from mess_core.store.layout import Layout

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["build_passage_index", "build_track_index", "passage_layer"]


def build_track_index(
    layout: Layout,
    matrix: np.ndarray[Any, Any],
    rows: pd.DataFrame,
    identity: dict[str, Any],
    *,
    matrix_sha256: str,
) -> dict[str, Any]:
    """Index the track vectors over all layers; returns the manifest.

    Parameters
    ----------
    layout : Layout
    matrix : ndarray, float32, shape [tracks, layers, dim]
    rows : DataFrame
        One row per track, with ``track_id``.
    identity : dict
        Of the encoder, as in sidecars.
    matrix_sha256 : str
        Recorded in the manifest.
    """
    layers = [int(layer) for layer in identity["layers"]]
    index = TrackIndex.build(matrix, layers)
    made_from = {**identity, "matrix_sha256": matrix_sha256}
    return save_artifact(layout.indices, "track", index.index, rows, made_from)


def passage_layer(aspects: dict[str, Aspect], layers: list[int]) -> tuple[int, str]:
    """The layer that passages are compared by, and why.

    The one that most aspects resolve to, weighed by their R²; the middle one, said to be a
    fallback, where probing supports no aspect.
    """
    votes: dict[int, float] = {}
    for aspect in aspects.values():
        if aspect.available:
            for layer, weight in aspect.weights.items():
                votes[layer] = votes.get(layer, 0.0) + weight * aspect.r2
    votes = {layer: vote for layer, vote in votes.items() if layer in layers}
    if not votes:
        return layers[len(layers) // 2], "fallback: no aspect is supported, the middle layer"
    best = max(sorted(votes), key=lambda layer: votes[layer])
    return best, f"carries the aspects best (summed R² {votes[best]:.2f})"


def build_passage_index(
    layout: Layout, rows: pd.DataFrame, aspects: dict[str, Aspect], identity: dict[str, Any]
) -> dict[str, Any]:
    """Index every segment of the tracks in `rows` by one layer; returns the manifest."""
    import pandas as pd

    layers = [int(layer) for layer in identity["layers"]]
    layer, reason = passage_layer(aspects, layers)
    position = layers.index(layer)
    store = EmbeddingStore(layout)
    segments, tables = [], []
    for row in rows.itertuples():
        sidecar = store.sidecar(row.dataset, row.track_id) or {}
        part = store.read("segments", row.dataset, row.track_id)[:, position]
        segments.append(np.array(part))
        tables.append(
            pd.DataFrame(
                {
                    "track_id": row.track_id,
                    "start_s": sidecar["start_s"],
                    "end_s": sidecar["end_s"],
                }
            )
        )
    index = PassageIndex.build(segments, layer)
    table = pd.concat(tables, ignore_index=True)
    made_from = {**identity, "layer": layer, "layer_reason": reason}
    return save_artifact(layout.indices, "passage", index.index, table, made_from)
