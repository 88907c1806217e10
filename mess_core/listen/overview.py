"""Overview of the library: a map of its tracks, and what each layer encodes."""

from __future__ import annotations

import importlib.util
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mess_core.errors import StoreError
from mess_core.search.query import Library
from mess_core.search.suggestions import PLAYED
from mess_core.store.layout import Layout
from mess_core.store.tables import read_json, read_table

__all__ = ["PlacedBy", "heatmap", "library_map", "project"]

PlacedBy = Literal["playing", "sound"]


def project(
    vectors: NDArray[np.floating[Any]], *, seed: int = 0
) -> tuple[NDArray[np.float64], str]:
    """Project track vectors to two dimensions.

    Parameters
    ----------
    vectors : ndarray, shape [tracks, dim]
    seed : int
        Random seed of UMAP.

    Returns
    -------
    positions : ndarray, float64, shape [tracks, 2]
        Each axis within -1..1.
    how : str
        "UMAP" if umap-learn is installed and there are at least 15 tracks, otherwise "PCA" with
        the share of variance explained.
    """
    if len(vectors) >= 15 and importlib.util.find_spec("umap"):
        import umap

        # UMAP is reproducible with a single thread only.
        found = umap.UMAP(random_state=seed, n_jobs=1, metric="cosine").fit_transform(vectors)
        how = "UMAP"
    elif len(vectors) < 2:
        found, how = np.zeros((len(vectors), 2)), "PCA"
    else:
        from sklearn.decomposition import PCA

        pca = PCA(n_components=2, random_state=seed)
        found = pca.fit_transform(np.asarray(vectors, dtype=np.float64))
        explained = 100 * np.nan_to_num(pca.explained_variance_ratio_).sum()
        how = f"PCA, {explained:.0f} % of the variance"
    found = np.asarray(found, dtype=np.float64)
    found = found - (found.max(axis=0) + found.min(axis=0)) / 2
    return found / max(float(np.abs(found).max(initial=0.0)), 1e-12), how


def library_map(library: Library, by: PlacedBy = "sound") -> dict[str, Any]:
    """Return a map of all indexed tracks: how it is projected, and its points.

    Parameters
    ----------
    library : Library
    by : {"playing", "sound"}
        "playing": tracks are near that probes place alike in the available aspects of how a piece
        is played; "sound": whose vectors are alike. Without such aspects it is "sound".

    Returns
    -------
    dict
        ``by``, ``how`` and ``points`` (each ``track_id, x, y``).
    """
    played = [name for name in PLAYED if library.aspects[name].available]
    placed = library.positions(played) if by == "playing" else None
    if placed is None or placed.shape[1] < 2 or not np.isfinite(placed).all():
        by = "sound"
        ids, vectors = library.vectors()
        positions, how = project(vectors.reshape(len(vectors), -1))
    else:
        ids = library.track_ids
        positions, how = project(placed)
    points = [
        {"track_id": track, "x": round(float(x), 4), "y": round(float(y), 4)}
        for track, (x, y) in zip(ids, positions, strict=True)
    ]
    return {"by": by, "how": how, "points": points}


def heatmap(layout: Layout) -> dict[str, Any]:
    """Return R² of every target and layer: ``encoder, layers, targets, r2`` [targets][layers].

    Raises
    ------
    StoreError
        If the library has not been probed.
    """
    record = read_json(layout.probing / "results.json")
    table = read_table(layout.probing / "results.parquet")
    if table.empty:
        raise StoreError("holds no scores", path=str(layout.probing))
    wide = table.pivot_table(index="target", columns="layer", values="r2", sort=False)
    cells = wide.to_numpy(dtype=np.float64)
    return {
        "encoder": str(record["made_from"]["encoder"]),
        "layers": [int(layer) for layer in wide.columns],
        "targets": [str(target) for target in wide.index],
        "r2": [
            [round(float(cell), 3) if np.isfinite(cell) else None for cell in row] for row in cells
        ],
    }
