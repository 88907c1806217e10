"""Overview of the library: a map of its tracks, and what each layer encodes."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from mess_core.errors import StoreError
from mess_core.probing.pipeline import in_probed_units
from mess_core.probing.results import read_results
from mess_core.search.query import Library
from mess_core.search.suggestions import PLAYED
from mess_core.store.layout import Layout
from mess_core.store.stored_encoders import probed_encoders
from mess_core.store.tables import read_table
from mess_core.targets.registry import targets

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "PlacedBy",
    "aspect_similarities",
    "heatmap",
    "layer_profile",
    "library_map",
    "project",
    "target_values",
]

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
    """Return R² of every target and layer, with what is known about each cell.

    Parameters
    ----------
    layout : Layout
        Layout of an encoder; `mess_core.store.stored_encoders.probed_layout` returns one.

    Returns
    -------
    dict
        ``encoder, folder, layers, targets`` and, as lists [targets][layers]: ``r2, r2_low,
        r2_high, q, untrained_r2``; missing values are None. ``encoders``: the folder names of all
        encoders that have been probed.

    Raises
    ------
    StoreError
        If the library has not been probed.
    """
    record, table = _scores(layout)
    wide = table.pivot_table(index="target", columns="layer", values="r2", sort=False)
    found: dict[str, Any] = {
        "encoder": str(record["made_from"]["encoder"]),
        "folder": layout.encoder,
        "layers": [int(layer) for layer in wide.columns],
        "targets": [str(target) for target in wide.index],
        "encoders": probed_encoders(layout),
    }
    for name in ("r2", "r2_low", "r2_high", "q", "untrained_r2"):
        cells = table.pivot(index="target", columns="layer", values=name)
        found[name] = [_rounded(row) for row in cells.loc[wide.index, wide.columns].to_numpy(float)]
    return found


def layer_profile(layout: Layout, target: str) -> dict[str, Any]:
    """Return how well each layer predicts a target, and its values against held-out predictions.

    Returns
    -------
    dict
        ``target, unit, layers, r2, r2_low, r2_high, untrained_r2``; ``tracks`` and ``works``: how
        many were probed; ``scored_on``: equal for encoders that were scored on the same tracks;
        ``points``: per track its ``track_id``, the ``measured`` value and the one ``predicted``
        from works that exclude its own, both in standard deviations.

    Raises
    ------
    StoreError
        If the library has not been probed, or not for this target.
    """
    _, table = _scores(layout)
    part = table[table["target"] == target].sort_values("layer")
    if part.empty:
        raise StoreError(f"there are no scores of a target {target!r}", path=str(layout.probing))
    found: dict[str, Any] = {
        "target": target,
        "unit": next((one.unit for one in targets() if one.name == target), ""),
        "layers": [int(layer) for layer in part["layer"]],
        "tracks": int(part["n"].iloc[0]),
        "works": int(part["works"].iloc[0]),
    }
    for name in ("r2", "r2_low", "r2_high", "untrained_r2"):
        found[name] = _rounded(part[name].to_numpy(float))
    points = _held_out(layout, target)
    tracks = sorted(one["track_id"] for one in points)
    told = json.dumps([found["tracks"], found["works"], tracks])
    scored_on = hashlib.sha256(told.encode()).hexdigest()[:12]
    return {**found, "scored_on": scored_on, "points": points}


def target_values(library: Library) -> dict[str, Any]:
    """Return the values of all targets for the indexed tracks, to colour the map by.

    Returns
    -------
    dict
        ``track_ids``; ``targets``: name to ``unit`` and ``values``; None where not available.
    """
    table = read_table(library.layout.proxy_targets).set_index("track_id")
    table = table.reindex(library.track_ids)
    return {
        "track_ids": list(library.track_ids),
        "targets": {
            one.name: {"unit": one.unit, "values": _rounded(table[one.name].to_numpy(float), 4)}
            for one in targets()
            if table[one.name].notna().any()
        },
    }


def aspect_similarities(library: Library, track: str, aspect: str) -> dict[str, Any]:
    """Return how similar all indexed tracks are to one in an aspect, to colour the map by.

    Returns
    -------
    dict
        ``track_ids``; ``values``: 1 = equal, 0 = like a random track.

    Raises
    ------
    SearchError
        If the track or the aspect is unknown.
    """
    values = library.similarities(track, [aspect])[aspect]
    return {"track_ids": library.track_ids, "values": _rounded(values, 4)}


def _scores(layout: Layout) -> tuple[dict[str, Any], pd.DataFrame]:
    record, (table,) = read_results(layout.probing, "results.parquet")
    if table.empty:
        raise StoreError("holds no scores", path=str(layout.probing))
    return record, table


def _held_out(layout: Layout, target: str) -> list[dict[str, Any]]:
    """Return measured and predicted values per track, or nothing if no probe was fitted."""
    try:
        placed = read_table(layout.probing / "placed.parquet").set_index("track_id")
        measured = read_table(layout.proxy_targets).set_index("track_id")
    except StoreError:
        return []
    if target not in placed:
        return []
    values = in_probed_units(measured)[target].reindex(placed.index)
    values = (values - values.mean()) / values.std(ddof=0)
    known = values.notna() & placed[target].notna()
    rows = zip(placed.index[known], values[known], placed.loc[known, target], strict=True)
    return [
        {"track_id": str(track), "measured": round(float(m), 3), "predicted": round(float(p), 3)}
        for track, m, p in rows
    ]


def _rounded(values: NDArray[np.float64], digits: int = 3) -> list[float | None]:
    return [round(float(one), digits) if np.isfinite(one) else None for one in values]
