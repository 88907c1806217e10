"""Probe the segments in the store: their targets and the curves within them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mess_core.errors import ProbingError, StoreError
from mess_core.probing.curve_probing import discover_curves
from mess_core.probing.discovery import Discovery, discover
from mess_core.probing.folds import grouping
from mess_core.probing.pipeline import heard_in_training, in_probed_units, origin
from mess_core.probing.results import save_discovery
from mess_core.store.embeddings import EmbeddingStore
from mess_core.store.layout import Layout
from mess_core.store.matrix import load_matrix
from mess_core.store.tables import read_table, write_table
from mess_core.targets.curves import CURVE_RATE_HZ
from mess_core.targets.registry import curves

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["probe_segments", "segment_inputs"]


def segment_inputs(
    layout: Layout, rows: pd.DataFrame, identity: dict[str, Any], *, per_track: int
) -> tuple[NDArray[np.float32], pd.DataFrame, dict[str, NDArray[np.float64]]]:
    """Load segments spread evenly over each track, with their targets and curves.

    Parameters
    ----------
    layout : Layout
    rows : DataFrame
        ``track_id, dataset, ...`` of tracks with embeddings.
    identity : dict
        Identity of the embeddings; tracks with another identity are left out.
    per_track : int
        Maximum number of segments of a track.

    Returns
    -------
    x : ndarray, float32, shape [segments, layers, dim]
    table : DataFrame
        The columns of `rows`, ``start_s, end_s`` and the targets that segments have.
    curves : dict
        Name to float64 [segments, points], two points per second; NaN where not available.

    Raises
    ------
    ProbingError
        If no track has both segment embeddings and segment targets.
    """
    import pandas as pd

    store = EmbeddingStore(layout)
    vectors, tables = [], []
    parts: dict[str, list[NDArray[np.float64]]] = {one.name: [] for one in curves(timed=True)}
    for row in rows.to_dict("records"):
        dataset, track_id = row["dataset"], row["track_id"]
        sidecar = store.sidecar(dataset, track_id) or {}
        if any(sidecar.get(name) != value for name, value in identity.items()):
            continue
        try:
            table = read_table(layout.segment_targets(dataset, track_id))
            track_curves = read_table(layout.curves(dataset, track_id))
        except StoreError:  # tracks without targets are reported by the checks
            continue
        own, other = _same_windows(np.asarray(sidecar["start_s"]), table["start_s"].to_numpy())
        if len(own) == 0:
            continue
        spread = np.linspace(0, len(own) - 1, min(per_track, len(own)))
        picked = np.unique(spread.round().astype(int))
        own, other = own[picked], other[picked]
        vectors.append(np.asarray(store.read("segments", dataset, track_id)[own], np.float32))
        table = table.iloc[other].reset_index(drop=True)
        tables.append(table.assign(**row))
        for name, values in _within_segments(track_curves, table, identity["window_s"]).items():
            parts[name].append(values)
    if not vectors:
        raise ProbingError(
            "no track has both segment embeddings and segment targets",
            path=str(layout.root),
            remedy="Materialise `embeddings` and `track_targets` for the same tracks and windows",
        )
    stacked = {name: np.concatenate(values) for name, values in parts.items()}
    return np.concatenate(vectors), pd.concat(tables, ignore_index=True), stacked


def _same_windows(
    starts: NDArray[np.float64], of_targets: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the numbers of an encoder's windows and of the targets' that start together.

    Targets may be of more windows, and rounding of a track's length may give one of the two an
    additional last one.
    """
    at = np.searchsorted(of_targets, starts - 1e-3)
    near = np.append(of_targets, np.inf)[at]
    own = np.flatnonzero(np.abs(near - starts) < 1e-3)
    return own, at[own]


def probe_segments(
    layout: Layout,
    *,
    per_track: int = 20,
    folds: int = 5,
    seed: int = 0,
    device: str = "cpu",
    progress: Callable[[str], None] | None = None,
) -> tuple[Discovery, pd.DataFrame]:
    """Probe segments grouped by work, and write ``data/probing/segments/``.

    There is no permutation test, because segments of a track are not exchangeable and tracks
    differ in their number of segments. Intervals are over works.

    Parameters
    ----------
    layout : Layout
    per_track : int
        Maximum number of segments of a track, spread evenly, so that long tracks do not dominate.
    folds, seed, device, progress
        As in `probe_store`.

    Returns
    -------
    discovery : Discovery
    curves : DataFrame
        As returned by `discover_curves`.

    Raises
    ------
    StoreError, ProbingError
        If inputs are missing.
    """
    _, rows, manifest = load_matrix(layout)
    identity = manifest["identity"]
    notes: list[str] = []
    rows = rows[~heard_in_training(layout, rows, str(identity["encoder"]), notes)]
    x, table, segment_curves = segment_inputs(layout, rows, identity, per_track=per_track)
    groups = grouping(layout, table, "work")
    works = table["work_id"].tolist()
    options: dict[str, Any] = {
        "groups": groups,
        "folds": max(2, min(folds, len(set(groups)))),
        "layers": identity["layers"],
        "seed": seed,
        "device": device,
        "progress": progress,
    }
    discovery = discover(
        x,
        in_probed_units(table),
        works,
        permutations=0,
        ordered_rows=True,
        allow_empty=True,
        **options,
    )
    discovery.notes.extend(notes)
    discovery.settings["rows"] = f"up to {per_track} segments of each track"
    found = discover_curves(x, segment_curves, works, **options)
    folder = layout.probing / "segments"
    write_table(folder / "curves.parquet", found)
    save_discovery(discovery, folder, made_from=origin(manifest))
    return discovery, found


def _within_segments(
    track_curves: pd.DataFrame, table: pd.DataFrame, window_s: float
) -> dict[str, NDArray[np.float64]]:
    """Return the part of every timed curve within each segment, [segments, points].

    Each part has as many points as a full window, with NaN after the end of the curve.
    """
    points = max(1, round(window_s * CURVE_RATE_HZ))
    first = np.round(table["start_s"].to_numpy() * CURVE_RATE_HZ).astype(int)
    at = first[:, None] + np.arange(points)
    inside = at < len(track_curves)
    at = np.minimum(at, len(track_curves) - 1)
    return {
        one.name: np.where(inside, track_curves[one.name].to_numpy()[at], np.nan)
        for one in curves(timed=True)
    }
