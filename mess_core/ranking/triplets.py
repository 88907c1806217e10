"""Training triplets for heads, with hard negatives.

*Content*: positives are the same passage by other performers; hard negatives are other passages by
the same performer. *Expression*: within a passage, the positive is the performance whose
descriptors are nearer to those of x, the negative is the one whose descriptors are farther. No
label comes from a system's own neighbours.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mess_core.errors import TooLittleError
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
    "within_passages",
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
"""Descriptors that define which performances of a passage are similar in expression."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def expression_values(performances: Sequence[Performance]) -> Floats:
    """Compute the `EXPRESSION` descriptors of clips.

    Returns
    -------
    ndarray, float64, shape [clips, descriptors]
        NaN where a descriptor is undefined.
    """
    rows = [describe_expression(one) for one in performances]
    return np.array([[row[name] for name in EXPRESSION] for row in rows], dtype=np.float64)


def expression_unit(values: Floats, passages: Sequence[str]) -> Floats:
    """Return the within-passage standard deviation of each descriptor, used as its unit.

    Parameters
    ----------
    values : ndarray, float64, shape [clips, descriptors]
        All clips when defining ground truth, training clips when training a head.
    passages : sequence of str, length clips

    Returns
    -------
    ndarray, float64, shape [descriptors]
    """
    centred = within_passages(values, passages)
    known = np.isfinite(centred)
    total = np.where(known, np.square(centred), 0.0).sum(axis=0)
    unit: Floats = np.sqrt(total / np.maximum(known.sum(axis=0), 1))
    return np.maximum(unit, 1e-9)


def expression_distances(
    values: Floats, passages: Sequence[str], unit: Floats
) -> list[tuple[Ints, Floats]]:
    """Compute distances in expression between the clips of each passage.

    Parameters
    ----------
    values : ndarray, float64, shape [clips, descriptors]
        Missing values are replaced by the passage's mean.
    passages : sequence of str, length clips
    unit : ndarray, float64, shape [descriptors]
        As returned by `expression_unit`.

    Returns
    -------
    list of (ndarray, int64, shape [members]; ndarray, float64, shape [members, members])
        Row numbers of the clips of each passage, and distances between them.
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
    """Return all triplets (x, nearer, farther) within passages that are unambiguous.

    Parameters
    ----------
    distances : iterable of (ndarray, ndarray)
        As returned by `expression_distances`; NaN for clips that must not be compared.
    margin : float
        Minimum difference between the two distances, as a share of the larger one.

    Returns
    -------
    ndarray, int64, shape [triplets, 3]
        Row numbers of the clips.
    """
    found = []
    for members, matrix in distances:
        for x, row in enumerate(matrix):
            known = [other for other in np.flatnonzero(np.isfinite(row)).tolist() if other != x]
            for near in known:
                for far in known:
                    if row[near] < row[far] * (1.0 - margin):
                        found.append(members[[x, near, far]])
    return np.array(found, dtype=np.int64).reshape(-1, 3)


def content_triplets(
    passages: Sequence[str], performers: Sequence[str], tracks: Sequence[str], *, seed: int = 0
) -> Ints:
    """Return content triplets (x, same passage by another performer, another passage).

    Half of the negatives are by the performer of x (hard negatives), half by other performers.

    Parameters
    ----------
    passages, performers, tracks : sequence of str, length clips
    seed : int

    Returns
    -------
    ndarray, int64, shape [triplets, 3]
        Row numbers of the clips.

    Raises
    ------
    TooLittleError
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
        raise TooLittleError(
            "no passage is played by two performers: there is nothing to learn from",
            remedy="Add other performances of the same works, with MIDI",
        )
    return np.array(found, dtype=np.int64)


def within_passages(values: Floats, passages: Sequence[Any] | NDArray[Any]) -> Floats:
    """Subtract the mean of each passage from its clips' rows, ignoring missing values."""
    import pandas as pd

    table = pd.DataFrame(values)
    means = table.groupby(np.asarray(passages)).transform("mean")
    centred: Floats = (table - means).to_numpy(dtype=np.float64)
    return centred


def shuffled_within(values: Floats, groups: Sequence[str], *, seed: int) -> Floats:
    """Permute rows within each group, as a control that must not be learnable."""
    rng = np.random.default_rng(seed)
    names = np.asarray(groups, dtype=str)
    permuted = values.copy()
    for name in np.unique(names):
        rows = np.flatnonzero(names == name)
        permuted[rows] = values[rng.permutation(rows)]
    return permuted
