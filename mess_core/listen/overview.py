"""The library at a glance: a map of its tracks, and what each layer encodes."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mess_core.errors import StoreError
from mess_core.search.query import Library
from mess_core.store.layout import Layout
from mess_core.store.tables import read_json, read_table

__all__ = ["heatmap", "library_map", "placed"]


def placed(vectors: NDArray[np.floating[Any]], *, seed: int = 0) -> tuple[NDArray[np.float64], str]:
    """Tracks in the plane.

    Parameters
    ----------
    vectors : ndarray, shape [tracks, dim]
    seed : int
        Of UMAP.

    Returns
    -------
    places : ndarray, float64, shape [tracks, 2]
        Each axis within -1..1.
    how : str
        "UMAP" where umap-learn is installed and there are at least 15 tracks, or "PCA" with the
        variance that two axes show.
    """
    if len(vectors) >= 15 and importlib.util.find_spec("umap"):
        import umap

        # One thread: only so is UMAP the same from run to run.
        found = umap.UMAP(random_state=seed, n_jobs=1, metric="cosine").fit_transform(vectors)
        how = "UMAP"
    elif len(vectors) < 2:
        found, how = np.zeros((len(vectors), 2)), "PCA"
    else:
        from sklearn.decomposition import PCA

        pca = PCA(n_components=2, random_state=seed)
        found = pca.fit_transform(np.asarray(vectors, dtype=np.float64))
        shown = 100 * np.nan_to_num(pca.explained_variance_ratio_).sum()
        how = f"PCA, {shown:.0f} % of the variance"
    found = np.asarray(found, dtype=np.float64)
    found = found - (found.max(axis=0) + found.min(axis=0)) / 2
    return found / max(float(np.abs(found).max(initial=0.0)), 1e-12), how


def library_map(library: Library) -> dict[str, Any]:
    """Every indexed track in the plane, as ``how`` and ``points``."""
    ids, vectors = library.vectors()
    places, how = placed(vectors.reshape(len(vectors), -1))
    points = [
        {"track_id": track, "x": round(float(x), 4), "y": round(float(y), 4)}
        for track, (x, y) in zip(ids, places, strict=True)
    ]
    return {"how": how, "points": points}


def heatmap(layout: Layout) -> dict[str, Any]:
    """R² of every layer and target: ``encoder, layers, targets, r2`` [targets][layers].

    Raises
    ------
    StoreError
        If the library was not probed.
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
