"""How sure a mean is, and a difference between two systems: resampling whole clusters.

Queries of one work are alike, so works (or passages) are resampled, not queries: the
cluster bootstrap (Field and Welsh, 2007), and sign flips of whole clusters for the paired
permutation test (Smucker et al., 2007, for retrieval).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mess_core.errors import MessError

__all__ = ["Comparison", "Estimate", "clustered_mean", "compare_paired"]

_DRAWS = 2000
_EXACT_UP_TO = 12

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % interval; ``n`` values in ``clusters``; NaN for one cluster's."""

    mean: float
    low: float
    high: float
    n: int
    clusters: int

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}] (n = {self.n})"


@dataclass(frozen=True)
class Comparison:
    """First minus second system: difference, 95 % interval, two-sided permutation p."""

    difference: float
    low: float
    high: float
    p: float
    n: int
    clusters: int


def clustered_mean(values: ArrayLike, clusters: Sequence[Hashable], *, seed: int = 0) -> Estimate:
    """Mean of values and the percentile interval of a bootstrap over clusters.

    Of a single cluster nothing is known about others: its interval is NaN.

    Parameters
    ----------
    values : array_like, shape [n]
        NaN are left out.
    clusters : sequence, length n
    seed : int

    Raises
    ------
    MessError
        If the lengths differ or nothing is left.
    """
    sums, counts = _per_cluster(values, clusters)
    low, high = np.percentile(_bootstrap(sums, counts, seed), [2.5, 97.5])
    return Estimate(
        float(sums.sum() / counts.sum()), float(low), float(high), int(counts.sum()), len(sums)
    )


def compare_paired(
    first: ArrayLike, second: ArrayLike, clusters: Sequence[Hashable], *, seed: int = 0
) -> Comparison:
    """Whether one system is better than another on the same queries.

    Parameters
    ----------
    first, second : array_like, shape [n]
        Scores of the same queries; pairs with NaN are left out.
    clusters : sequence, length n
    seed : int

    Returns
    -------
    Comparison
        ``p`` from flipping the sign of whole clusters, all ways of it with at most 12 clusters.
    """
    difference = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    sums, counts = _per_cluster(difference, clusters)
    observed = abs(float(sums.sum()))
    rng = np.random.default_rng(seed)
    if len(sums) <= _EXACT_UP_TO:
        bits = np.arange(2 ** len(sums))[:, None] >> np.arange(len(sums)) & 1
        flipped = np.abs((1 - 2 * bits) @ sums)
        p = float((flipped >= observed - 1e-12).mean())
    else:
        signs = rng.choice((-1.0, 1.0), size=(5 * _DRAWS, len(sums)))
        beyond = int((np.abs(signs @ sums) >= observed - 1e-12).sum())
        p = (beyond + 1) / (5 * _DRAWS + 1)
    low, high = np.percentile(_bootstrap(sums, counts, seed), [2.5, 97.5])
    mean = float(sums.sum() / counts.sum())
    return Comparison(mean, float(low), float(high), p, int(counts.sum()), len(sums))


def _per_cluster(values: ArrayLike, clusters: Sequence[Hashable]) -> tuple[Floats, Floats]:
    """Sum and number of the finite values of each cluster."""
    given = np.asarray(values, dtype=np.float64)
    if given.shape != (len(clusters),):
        raise MessError(f"{given.shape} values cannot be in {len(clusters)} clusters")
    known = np.isfinite(given)
    if not known.any():
        raise MessError("there is no value to take the mean of")
    names = np.array([str(one) for one in clusters])[known]
    _, place = np.unique(names, return_inverse=True)
    counts = np.bincount(place).astype(np.float64)
    sums: Floats = np.bincount(place, weights=given[known]).astype(np.float64)
    return sums, counts


def _bootstrap(sums: Floats, counts: Floats, seed: int) -> Floats:
    drawn = np.random.default_rng(seed).integers(0, len(sums), size=(_DRAWS, len(sums)))
    means: Floats = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    return means if len(sums) > 1 else np.full(_DRAWS, np.nan)
