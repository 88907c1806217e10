"""Probe what is in the store, and keep the result there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from mess_core.datasets.works import leak_safe_groups
from mess_core.errors import ProbingError
from mess_core.probing.discovery import Discovery, discover
from mess_core.probing.report import save_discovery
from mess_core.store.layout import Layout
from mess_core.store.matrix import load_matrix
from mess_core.store.tables import read_table
from mess_core.targets.registry import TARGETS_VERSION, targets

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["probe_store", "probing_inputs"]


def probing_inputs(layout: Layout) -> tuple[Any, pd.DataFrame, list[str], dict[str, Any]]:
    """Embeddings and targets of the tracks that have both.

    Returns
    -------
    X : ndarray, float32, shape [tracks, layers, dim]
    Y : DataFrame
        The 22 targets, log2 where the registry says so.
    works : list of str
    manifest : dict
        Of the embedding matrix.

    Raises
    ------
    StoreError, ProbingError
        If a table is missing, or no track is in both.
    """
    matrix, rows, manifest = load_matrix(layout)
    table = read_table(layout.proxy_targets).set_index("track_id")
    both = rows["track_id"].isin(table.index).to_numpy()
    if not both.any():
        raise ProbingError(
            "no track has both an embedding and proxy targets",
            path=str(layout.root),
            remedy="Materialise `embeddings` and `track_targets` for the same tracks",
        )
    rows = rows[both]
    published = targets()
    values = table.loc[rows["track_id"], [one.name for one in published]].reset_index(drop=True)
    for one in published:
        if one.log2:
            values[one.name] = np.log2(values[one.name].where(values[one.name] > 0))
    return matrix[both], values, rows["work_id"].tolist(), manifest


def probe_store(
    layout: Layout,
    *,
    folds: int = 5,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> tuple[Discovery, dict[str, Any]]:
    """Run `discover` on the store's tables and write ``data/probing/``.

    A library too small to probe gives an empty result that says why: it can be searched all
    the same, with aspects that say that they are a fallback.

    Parameters
    ----------
    layout : Layout
    folds : int
        Outer folds by work; lowered, with a note, where there are fewer works.
    seed : int
    progress : callable, optional

    Returns
    -------
    discovery : Discovery
    made_from : dict
        Encoder, targets version and checksums that the result belongs to.

    Raises
    ------
    StoreError, ProbingError
        If inputs are missing.
    """
    X, Y, works, manifest = probing_inputs(layout)
    groups = leak_safe_groups(works)
    present = len(set(groups))
    usable = max(2, min(folds, present))
    discovery = discover(
        X, Y, works, groups=groups, folds=usable, layers=manifest["identity"]["layers"], seed=seed,
        progress=progress, allow_empty=True,
    )  # fmt: skip
    if usable < folds:
        discovery.notes.insert(0, f"{usable} folds instead of {folds}: there are {present} works")
    made_from = {
        "encoder": manifest["identity"]["encoder"],
        "identity": manifest["identity"],
        "targets_version": TARGETS_VERSION,
        "matrix_sha256": manifest["matrix_sha256"],
    }
    save_discovery(discovery, layout.probing, made_from=made_from)
    return discovery, made_from
