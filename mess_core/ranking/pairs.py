"""What a head learns from: pairs and triplets of clips, with hard negatives.

*Content*: the same passage by another performer belongs together; the same performer's other
passages are the hard negatives. *Expression*: within a passage, of two performances the one
whose descriptors are nearer belongs to x, the opposite one does not. No label comes from a
system's own neighbours.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mess_core.errors import MessError
from mess_core.midi.performance import Performance
from mess_core.ranking.descriptors import describe_expression
from mess_core.ranking.scaling import moments, pair_distances

__all__ = [
    "EXPRESSION",
    "Objective",
    "content_triplets",
    "expression_distances",
    "expression_triplets",
    "expression_unit",
    "expression_values",
    "shuffled_within",
]

Objective = Literal["content", "expression"]

EXPRESSION = (
    "log_duration",
    "log_ioi_std",
    "velocity_mean",
    "velocity_std",
    "velocity_slope",
    "top_over_bottom",
    "asynchrony_ms",
    "overlap_key",
    "log_sounding",
    "pedal_fraction",
)
"""Descriptors that say which performances of a passage are played alike."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def expression_values(performances: Sequence[Performance]) -> Floats:
    """The `EXPRESSION` descriptors of clips, float64 [clips, descriptors]; NaN where undefined."""
    rows = [describe_expression(one) for one in performances]
    return np.array([[row[name] for name in EXPRESSION] for row in rows], dtype=np.float64)


def expression_unit(values: Floats, passages: Sequence[str]) -> Floats:
    """Deviation of each descriptor within passages, float64 [descriptors]: its unit.

    Parameters
    ----------
    values : ndarray, float64, shape [clips, descriptors]
        Of all clips where a truth is defined, of the training clips where a head learns.
    passages : sequence of str, length clips
    """
    import pandas as pd

    table = pd.DataFrame(values)
    names = np.asarray(passages, dtype=str)
    centred = (table - table.groupby(names).transform("mean")).to_numpy(dtype=np.float64)
    known = np.isfinite(centred)
    total = np.where(known, np.square(centred), 0.0).sum(axis=0)
    unit: Floats = np.sqrt(total / np.maximum(known.sum(axis=0), 1))
    return np.maximum(unit, 1e-9)


def expression_distances(
    values: Floats, passages: Sequence[str], unit: Floats
) -> list[tuple[Ints, Floats]]:
    """How differently clips of one passage are played, passage by passage.

    Parameters
    ----------
    values : ndarray, float64, shape [clips, descriptors]
        A descriptor that a clip lacks counts as the passage's mean.
    passages : sequence of str, length clips
    unit : ndarray, float64, shape [descriptors]
        As `expression_unit` gives.

    Returns
    -------
    list of (ndarray, int64, shape [members]; ndarray, float64, shape [members, members])
        Clips of each passage, and distances between them.
    """
    names = np.asarray(passages, dtype=str)
    found = []
    order = np.argsort(names, kind="stable")
    _, first = np.unique(names[order], return_index=True)
    for members in np.split(order, first[1:]):
        rows = values[members]
        scaled = (rows - moments(rows)[0]) / unit
        found.append((members, pair_distances(np.where(np.isfinite(scaled), scaled, 0.0))))
    return found


def expression_triplets(distances: Iterable[tuple[Ints, Floats]], *, margin: float = 0.1) -> Ints:
    """All triplets (x, nearer, farther) within passages that are clear enough.

    Parameters
    ----------
    distances : iterable of (ndarray, ndarray)
        As `expression_distances` gives; NaN where clips are not to be compared.
    margin : float
        Smallest difference as a share of the larger distance.

    Returns
    -------
    ndarray, int64, shape [triplets, 3]
        As clips, not as members of their passage.
    """
    found = []
    for members, apart in distances:
        for x, row in enumerate(apart):
            known = [other for other in np.flatnonzero(np.isfinite(row)).tolist() if other != x]
            for near in known:
                for far in known:
                    if row[near] < row[far] * (1.0 - margin):
                        found.append(members[[x, near, far]])
    return np.array(found, dtype=np.int64).reshape(-1, 3)


def content_triplets(
    passages: Sequence[str], performers: Sequence[str], tracks: Sequence[str], *, seed: int = 0
) -> Ints:
    """(x, same passage by another performer, other passage), half of the negatives x's own.

    Returns
    -------
    ndarray, int64, shape [triplets, 3]

    Raises
    ------
    MessError
        If no passage is played by two performers.
    """
    rng = np.random.default_rng(seed)
    passage, performer, track = (
        np.asarray(one, dtype=str) for one in (passages, performers, tracks)
    )
    found = []
    for x in range(len(passage)):
        same = passage == passage[x]
        positives = np.flatnonzero(same & (performer != performer[x]) & (track != track[x]))
        hard = np.flatnonzero(~same & (performer == performer[x]))
        others = np.flatnonzero(~same & (performer != performer[x]))
        for positive in positives.tolist():
            for negatives in (hard, others):
                if len(negatives):
                    found.append((x, positive, int(rng.choice(negatives))))
    if not found:
        raise MessError(
            "no passage is played by two performers: there is nothing to learn from",
            remedy="Add other performances of the same works, with MIDI",
        )
    return np.array(found, dtype=np.int64)


def shuffled_within(values: Floats, groups: Sequence[str], *, seed: int) -> Floats:
    """Rows permuted anew among the members of each group: the control that must learn nothing."""
    rng = np.random.default_rng(seed)
    names = np.asarray(groups, dtype=str)
    permuted = values.copy()
    for name in np.unique(names):
        rows = np.flatnonzero(names == name)
        permuted[rows] = values[rng.permutation(rows)]
    return permuted
