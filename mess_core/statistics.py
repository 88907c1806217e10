"""Confidence intervals and tests for clustered data.

Queries on the same work are not independent, so works (or passages) are resampled, not queries:
a cluster bootstrap (Field and Welsh, "Bootstrapping clustered data", JRSS B 69, 2007) and a paired
permutation test that flips the signs of whole clusters (Smucker et al., "A comparison of
statistical significance tests for information retrieval evaluation", CIKM 2007). SciPy's
implementation is used where there is one.
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
    """A mean with its 95 % interval.

    Attributes
    ----------
    mean, low, high : float
        The interval is NaN if there is only one cluster.
    n, clusters : int
        Number of values and of clusters.
    """

    mean: float
    low: float
    high: float
    n: int
    clusters: int

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}] (n = {self.n})"


@dataclass(frozen=True)
class Comparison:
    """Paired comparison of two systems.

    Attributes
    ----------
    difference, low, high : float
        Mean of first minus second system, and its 95 % interval.
    p : float
        Two-sided p-value of the permutation test.
    n, clusters : int
        Number of pairs and of clusters.
    """

    difference: float
    low: float
    high: float
    p: float
    n: int
    clusters: int


def clustered_mean(values: ArrayLike, clusters: Sequence[Hashable], *, seed: int = 0) -> Estimate:
    """Return the mean with the percentile interval of a cluster bootstrap.

    The interval is NaN if there is only one cluster.

    Parameters
    ----------
    values : array_like, shape [n]
        NaN values are left out.
    clusters : sequence, length n
        Cluster of each value.
    seed : int

    Returns
    -------
    Estimate

    Raises
    ------
    MessError
        If the lengths differ or there is no finite value.

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
    """Compare two systems on the same queries by a paired permutation test.

    Parameters
    ----------
    first, second : array_like, shape [n]
        Scores on the same queries; pairs with NaN are left out.
    clusters : sequence, length n
        Cluster of each query.
    seed : int

    Returns
    -------
    Comparison
        ``p`` is from flipping the signs of whole clusters: all combinations for at most 13
        clusters, otherwise 10,000 random ones.

    Raises
    ------
    MessError
        As for `clustered_mean`.

    Examples
    --------
    >>> compare_paired([1.0, 1.0, 1.0], [0.0, 0.0, 0.0], ["a", "b", "c"]).p
    0.25
    """
    from scipy.stats import permutation_test

    difference = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    sums, counts = _per_cluster(difference, clusters)
    if len(sums) == 1:
        p = 1.0  # flipping a single sign leaves the absolute value unchanged
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
    """Return Wilson's 95 % score interval of a proportion; NaN if `n` is 0.

    Parameters
    ----------
    count, n : int
        Number of successes and of trials.

    Returns
    -------
    low, high : float

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
    """Return Benjamini-Hochberg adjusted p-values; NaN values are left out and stay NaN.

    Parameters
    ----------
    p : ndarray, float64, shape [tests]

    Returns
    -------
    ndarray, float64, shape [tests]

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
    """Draw clusters with replacement and return how often each is drawn.

    Parameters
    ----------
    clusters, resamples : int
        Number of clusters and of resamples.
    seed : int

    Returns
    -------
    ndarray, float64, shape [resamples, clusters]
        Rows sum to `clusters`.
    """
    rng = np.random.default_rng([seed, 11])
    drawn = rng.multinomial(clusters, np.full(clusters, 1 / clusters), size=resamples)
    return drawn.astype(np.float64)


def membership(clusters: Sequence[Hashable]) -> tuple[Any, NDArray[np.int64]]:
    """Return a sparse indicator array, [clusters, rows], and the cluster number of each row."""
    from scipy.sparse import csr_array

    names, inverse = np.unique([str(one) for one in clusters], return_inverse=True)
    rows = len(inverse)
    ones = (np.ones(rows), (inverse, np.arange(rows)))
    return csr_array(ones, shape=(len(names), rows)), inverse


def _per_cluster(values: ArrayLike, clusters: Sequence[Hashable]) -> tuple[Floats, Floats]:
    """Return the sum and the number of finite values of each cluster."""
    given = np.asarray(values, dtype=np.float64)
    if given.shape != (len(clusters),):
        raise MessError(
            f"values of shape {given.shape} do not match {len(clusters)} cluster labels"
        )
    known = np.isfinite(given)
    if not known.any():
        raise MessError("there is no finite value to average")
    _, cluster = membership([one for one, finite in zip(clusters, known, strict=True) if finite])
    counts = np.bincount(cluster).astype(np.float64)
    sums: Floats = np.bincount(cluster, weights=given[known]).astype(np.float64)
    return sums, counts


def _interval(sums: Floats, counts: Floats, seed: int) -> tuple[float, float]:
    if len(sums) == 1:
        return float("nan"), float("nan")
    draws = cluster_draws(len(sums), _DRAWS, seed=seed)
    low, high = np.percentile((draws @ sums) / (draws @ counts), [2.5, 97.5])
    return float(low), float(high)
