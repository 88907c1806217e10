"""All track vectors in one array, as read by probing and by the track index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mess_core.errors import StoreError
from mess_core.store.arrays import read_array, write_array
from mess_core.store.embeddings import EmbeddingStore, array_sha256
from mess_core.store.findings import EXAMPLES, Finding
from mess_core.store.layout import Layout
from mess_core.store.tables import read_json, read_table, write_json, write_table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["build_matrix", "check_matrix", "load_matrix"]

ROW_COLUMNS = ["track_id", "dataset", "work_id", "performer"]


def build_matrix(layout: Layout, tracks: pd.DataFrame) -> dict[str, Any]:
    """Stack the stored track vectors in the order of the track table, and write the matrix.

    Returns
    -------
    dict
        Manifest: the encoder's identity, shape, checksums, and ``without_embedding``, the
        tracks that have audio but no embedding.

    Raises
    ------
    StoreError
        If there are no embeddings, or they come from different encoders or settings.
    """
    store = EmbeddingStore(layout)
    pairs = list(zip(tracks["dataset"], tracks["track_id"], strict=True))
    matrix, track_ids, identity = store.matrix(pairs)
    rows = tracks.set_index("track_id").loc[track_ids].reset_index()[ROW_COLUMNS]
    with_audio = tracks.loc[tracks["audio_path"].notna(), "track_id"]
    manifest = {
        "identity": identity,
        "shape": list(matrix.shape),
        "matrix_sha256": array_sha256(matrix),
        "track_ids": track_ids,
        "without_embedding": sorted(set(with_audio) - set(track_ids)),
    }
    layout.matrix_manifest.unlink(missing_ok=True)
    write_array(layout.matrix, matrix)
    write_table(layout.matrix_rows, rows)
    write_json(layout.matrix_manifest, manifest)
    return manifest


def load_matrix(layout: Layout) -> tuple[NDArray[np.float32], pd.DataFrame, dict[str, Any]]:
    """Read the matrix that `build_matrix` wrote.

    Returns
    -------
    matrix : ndarray, float32, shape [tracks, layers, dim], memory-mapped
    rows : DataFrame
        Columns `ROW_COLUMNS`, one row per track.
    manifest : dict

    Raises
    ------
    StoreError
        If the matrix is missing or its files do not match.
    """
    manifest = read_json(layout.matrix_manifest)
    matrix, rows = read_array(layout.matrix), read_table(layout.matrix_rows)
    fits = list(matrix.shape) == manifest["shape"] and len(rows) == len(matrix)
    if not fits or rows["track_id"].tolist() != manifest["track_ids"]:
        raise StoreError(
            "the embedding matrix does not match its manifest",
            path=str(layout.matrix),
            remedy="Materialise `embedding_matrix` again",
        )
    return matrix, rows, manifest


def check_matrix(layout: Layout) -> Finding:
    """Check that the matrix is finite, complete, and equal to the stored embeddings."""
    matrix, rows, manifest = load_matrix(layout)
    store = EmbeddingStore(layout)
    differing = []
    for position, row in enumerate(rows.itertuples()):
        vector = store.read("aggregated", str(row.dataset), str(row.track_id))
        if not np.array_equal(vector, matrix[position]):
            differing.append(str(row.track_id))
    finite = bool(np.isfinite(matrix).all())
    return Finding(
        finite and not differing and not manifest["without_embedding"],
        {
            "shape": list(matrix.shape),
            "finite": finite,
            "differs_from_store": differing[:EXAMPLES],
            "without_embedding": manifest["without_embedding"][:EXAMPLES],
        },
    )
