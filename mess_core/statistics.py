"""How sure a number is: cluster bootstrap, paired permutation test, intervals of shares, FDR.

Queries of one work are alike, so works (or passages) are resampled, not queries: the cluster
bootstrap (Field and Welsh, "Bootstrapping clustered data", JRSS B 69, 2007), and sign flips of
whole clusters for the paired test (Smucker et al., "A comparison of statistical significance
tests for information retrieval evaluation", CIKM 2007). Where SciPy has the method, it is SciPy's.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mess_core.errors import MessError

__all__ = [
    "Comparison",
    "Estimate",
    "cluster_draws",
    "clustered_mean",
    "compare_paired",
    "false_discovery_rate",
    "membership",
    "wilson",
]

_DRAWS = 2000

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

    Examples
    --------
    >>> clustered_mean([1.0, 0.0, 1.0, 1.0], ["a", "a", "b", "b"]).mean
    0.75
    """
    sums, counts = _per_cluster(values, clusters)
    low, high = _interval(sums, counts, seed)
    return Estimate(float(sums.sum() / counts.sum()), low, high, int(counts.sum()), len(sums))


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
        ``p`` from flipping the sign of whole clusters (SciPy's permutation test): all ways of it
        with at most 13 clusters, else 10,000 at random.

    Raises
    ------
    MessError
        As `clustered_mean`.

    Examples
    --------
    >>> compare_paired([1.0, 1.0, 1.0], [0.0, 0.0, 0.0], ["a", "b", "c"]).p
    0.25
    """
    from scipy.stats import permutation_test

    difference = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    sums, counts = _per_cluster(difference, clusters)
    if len(sums) == 1:
        p = 1.0  # one sign, flipped or not, is as far from zero
    else:
        p = permutation_test(
            (sums,),
            np.sum,
            permutation_type="samples",
            vectorized=True,
            n_resamples=5 * _DRAWS,
            rng=np.random.default_rng(seed),
        ).pvalue
    low, high = _interval(sums, counts, seed)
    mean = float(sums.sum() / counts.sum())
    return Comparison(mean, low, high, float(p), int(counts.sum()), len(sums))


def wilson(count: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % score interval of a share (SciPy's); NaN of nothing.

    Parameters
    ----------
    count, n : int
        How many of how many.

    Examples
    --------
    >>> [round(end, 3) for end in wilson(8, 10)]
    [0.49, 0.943]
    """
    from scipy.stats import binomtest

    if n == 0:
        return float("nan"), float("nan")
    interval = binomtest(count, n).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


def false_discovery_rate(p: Floats) -> Floats:
    """Benjamini-Hochberg adjusted p-values of those that are not NaN (SciPy's).

    Parameters
    ----------
    p : ndarray, float64, shape [tests]

    Examples
    --------
    >>> false_discovery_rate(np.array([0.01, np.nan, 0.04]))
    array([0.02,  nan, 0.04])
    """
    from scipy.stats import false_discovery_control

    adjusted = np.full(p.shape, np.nan)
    known = np.isfinite(p)
    if known.any():
        adjusted[known] = false_discovery_control(p[known])
    return adjusted


def cluster_draws(clusters: int, resamples: int, *, seed: int) -> Floats:
    """How often each cluster is drawn in each resample, with replacement.

    Returns
    -------
    ndarray, float64, shape [resamples, clusters]
        Rows sum to `clusters`.
    """
    rng = np.random.default_rng([seed, 11])
    drawn = rng.multinomial(clusters, np.full(clusters, 1 / clusters), size=resamples)
    return drawn.astype(np.float64)


def membership(clusters: Sequence[Hashable]) -> tuple[Any, NDArray[np.int64]]:
    """Sparse array of ones, [clusters, rows], and the cluster of each row."""
    from scipy.sparse import csr_array

    names, inverse = np.unique([str(one) for one in clusters], return_inverse=True)
    rows = len(inverse)
    ones = (np.ones(rows), (inverse, np.arange(rows)))
    return csr_array(ones, shape=(len(names), rows)), inverse


def _per_cluster(values: ArrayLike, clusters: Sequence[Hashable]) -> tuple[Floats, Floats]:
    """Sum and number of the finite values of each cluster."""
    given = np.asarray(values, dtype=np.float64)
    if given.shape != (len(clusters),):
        raise MessError(f"{given.shape} values cannot be in {len(clusters)} clusters")
    known = np.isfinite(given)
    if not known.any():
        raise MessError("there is no value to take the mean of")
    _, cluster = membership([one for one, there in zip(clusters, known, strict=True) if there])
    counts = np.bincount(cluster).astype(np.float64)
    sums: Floats = np.bincount(cluster, weights=given[known]).astype(np.float64)
    return sums, counts


def _interval(sums: Floats, counts: Floats, seed: int) -> tuple[float, float]:
    if len(sums) == 1:
        return float("nan"), float("nan")
    draws = cluster_draws(len(sums), _DRAWS, seed=seed)
    low, high = np.percentile((draws @ sums) / (draws @ counts), [2.5, 97.5])
    return float(low), float(high)
