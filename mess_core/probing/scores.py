"""Scores of out-of-fold predictions, and their intervals by a bootstrap over groups."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["bootstrap_r2", "pearson", "r2", "spearman", "varies", "within_groups_r2"]

Floats = NDArray[np.float64]


def r2(y: Floats, predicted: Floats) -> Floats:
    """Coefficient of determination along axis 0 (scikit-learn's), NaN where y is constant."""
    residual = np.square(y - predicted).sum(axis=0)
    total = np.square(y - y.mean(axis=0)).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(varies(total, y), 1.0 - residual / total, np.nan)


def pearson(y: Floats, predicted: Floats) -> Floats:
    """Pearson correlation along axis 0, NaN where either is constant."""
    a, b = y - y.mean(axis=0), predicted - predicted.mean(axis=0)
    spread_a, spread_b = np.square(a).sum(axis=0), np.square(b).sum(axis=0)
    both = varies(spread_a, y) & varies(spread_b, predicted)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(both, (a * b).sum(axis=0) / np.sqrt(spread_a) / np.sqrt(spread_b), np.nan)


def varies(spread: Floats, values: Floats) -> NDArray[np.bool_]:
    """Whether summed squared deviations are more than rounding; free of the values' unit."""
    more: NDArray[np.bool_] = spread > 1e-24 * np.square(values).sum(axis=0)
    return more


def spearman(y: Floats, predicted: Floats) -> Floats:
    """Spearman rank correlation along axis 0."""
    from scipy.stats import rankdata

    return pearson(rankdata(y, axis=0), rankdata(predicted, axis=0))


def within_groups_r2(y: Floats, predicted: Floats, groups: Sequence[str]) -> tuple[float, int]:
    """R² after taking each group's mean out of both, and the number of rows that it is on.

    Only groups with two or more rows count: the rest say nothing about differences
    between performances of one work.
    """
    names, inverse = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    count = np.bincount(inverse, minlength=len(names))
    kept = count[inverse] > 1
    if not kept.any():
        return float("nan"), 0

    def centred(values: Floats) -> Floats:
        means = np.bincount(inverse, weights=values, minlength=len(names)) / count
        difference: Floats = (values - means[inverse])[kept]
        return difference

    truth, guess = centred(y), centred(predicted)
    total = float(np.square(truth).sum())
    if not varies(np.asarray(total), y[kept]):
        return float("nan"), int(kept.sum())
    return 1.0 - float(np.square(truth - guess).sum()) / total, int(kept.sum())


def bootstrap_r2(
    y: Floats, predicted: Floats, groups: Sequence[str], *, resamples: int, seed: int
) -> Floats:
    """R² of bootstrap samples that draw whole groups with replacement.

    Field and Welsh (2007) for the cluster bootstrap. From per-group sums, so the cost
    does not grow with the rows.

    Parameters
    ----------
    y : ndarray, float64, shape [rows, targets]
    predicted : ndarray, float64, shape [..., rows, targets]
    groups : sequence of str, length rows
    resamples : int
    seed : int

    Returns
    -------
    ndarray, float64, shape [resamples, ..., targets]
    """
    names, inverse = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    member = np.zeros((len(names), len(y)))
    member[inverse, np.arange(len(y))] = 1.0  # [groups, rows]
    centred = y - y.mean(axis=0)  # R² is free of the offset; this keeps the sums small
    count = member.sum(axis=1)  # [groups]
    first = member @ centred  # [groups, targets]
    second = member @ np.square(centred)
    residual = member @ np.square(y - predicted)  # [..., groups, targets]
    rng = np.random.default_rng([seed, 11])
    draws = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=resamples)
    draws = draws.astype(np.float64)  # [resamples, groups]
    total = draws @ second - np.square(draws @ first) / (draws @ count)[:, None]
    # Draws in which nothing varies leave only rounding, next to what the draw could hold.
    total = np.where(total > 1e-12 * (draws @ second), total, np.nan)
    lost = np.moveaxis(draws @ residual, -2, 0)  # [resamples, ..., targets]
    shape = (resamples, *([1] * (lost.ndim - 2)), y.shape[1])
    with np.errstate(divide="ignore", invalid="ignore"):
        return 1.0 - lost / total.reshape(shape)
