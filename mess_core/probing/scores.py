"""Scores of out-of-fold predictions, with intervals from a bootstrap over groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mess_core.statistics import cluster_draws, membership

__all__ = ["GroupBootstrap", "pearson", "r2", "spearman", "varies", "within_groups_r2"]

Floats = NDArray[np.float64]


def r2(y: Floats, predicted: Floats) -> Floats:
    """Return R² along axis 0 (as in scikit-learn), NaN where `y` is constant."""
    residual = np.square(y - predicted).sum(axis=0)
    total = np.square(y - y.mean(axis=0)).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(varies(total, y), 1.0 - residual / total, np.nan)


def pearson(y: Floats, predicted: Floats) -> Floats:
    """Return the Pearson correlation along axis 0, NaN where either is constant."""
    a, b = y - y.mean(axis=0), predicted - predicted.mean(axis=0)
    spread_a, spread_b = np.square(a).sum(axis=0), np.square(b).sum(axis=0)
    both = varies(spread_a, y) & varies(spread_b, predicted)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(both, (a * b).sum(axis=0) / np.sqrt(spread_a) / np.sqrt(spread_b), np.nan)


def varies(spread: Floats, values: Floats) -> NDArray[np.bool_]:
    """Return whether summed squared deviations exceed rounding error, whatever the unit."""
    more: NDArray[np.bool_] = spread > 1e-24 * np.square(values).sum(axis=0)
    return more


def spearman(y: Floats, predicted: Floats) -> Floats:
    """Return the Spearman rank correlation along axis 0."""
    from scipy.stats import rankdata

    return pearson(rankdata(y, axis=0), rankdata(predicted, axis=0))


def within_groups_r2(y: Floats, predicted: Floats, groups: Sequence[str]) -> tuple[Floats, int]:
    """Return R² after subtracting each group's mean, and the number of rows used.

    Only groups with two or more rows are used: the others carry no information about
    differences between performances of one work.

    Parameters
    ----------
    y : ndarray, float64, shape [rows, targets]
    predicted : ndarray, float64, shape [..., rows, targets]
    groups : sequence of str, length rows

    Returns
    -------
    r2 : ndarray, float64, shape [..., targets]
        NaN where nothing varies within groups.
    rows : int
    """
    centre = _Centring(groups)
    observed = centre(y)
    rows = int(centre.several.sum())
    total = np.square(observed).sum(axis=0)
    varying = varies(total, y[centre.several]) if rows else np.zeros(y.shape[1], dtype=bool)
    residual = np.square(observed - centre(predicted)).sum(axis=-2)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(varying, 1.0 - residual / total, np.nan), rows


@dataclass(frozen=True)
class GroupBootstrap:
    """Draws of whole groups with replacement, shared by all scores.

    This is the cluster bootstrap (Field and Welsh, 2007). Scores are computed from sums per
    group, so the cost of a draw does not grow with the number of rows.

    Attributes
    ----------
    member : sparse array, float64, shape [groups, rows]
        1 where a row belongs to a group.
    draws : ndarray, float64, shape [resamples, groups]
        How often each group is drawn.
    """

    member: Any
    draws: Floats

    @classmethod
    def of(cls, groups: Sequence[str], *, resamples: int, seed: int) -> GroupBootstrap:
        """Return `resamples` draws of the groups of the rows."""
        member, _ = membership(groups)
        return cls(member, cluster_draws(member.shape[0], resamples, seed=seed))

    def r2(self, y: Floats, predicted: Floats) -> Floats:
        """Return R² of every draw.

        Parameters
        ----------
        y : ndarray, float64, shape [rows, targets]
        predicted : ndarray, float64, shape [..., rows, targets]

        Returns
        -------
        ndarray, float64, shape [resamples, ..., targets]
        """
        centred = y - y.mean(axis=0)  # R² does not depend on the offset; small sums are precise
        count, first, second = (
            self.draws @ (self.member @ values)
            for values in (np.ones((len(y), 1)), centred, np.square(centred))
        )
        return self._r2(second - np.square(first) / count, second, y, predicted)

    def within_r2(self, y: Floats, predicted: Floats, works: Sequence[str]) -> Floats:
        """Return `within_groups_r2` of every draw, [resamples, ..., targets]."""
        centre = _Centring(works)
        observed = centre(y)
        second = self.draws @ (self.member @ np.square(observed))
        # For a target that is constant within works, only rounding error is left.
        about = np.where(centre.several[:, None], y - y.mean(axis=0), 0.0)
        magnitude = self.draws @ (self.member @ np.square(about))
        return self._r2(second, magnitude, observed, centre(predicted))

    def _r2(self, total: Floats, magnitude: Floats, y: Floats, predicted: Floats) -> Floats:
        # Draws in which nothing varies have only rounding error compared with the magnitude.
        total = np.where(total > 1e-12 * magnitude, total, np.nan)
        sets = predicted.reshape(-1, *y.shape)  # [sets, rows, targets]
        result = np.empty((len(self.draws), *sets.shape[::2]))
        with np.errstate(divide="ignore", invalid="ignore"):
            for index, one in enumerate(sets):
                result[:, index] = 1.0 - self.draws @ (self.member @ np.square(y - one)) / total
        return result.reshape(len(self.draws), *predicted.shape[:-2], y.shape[1])


class _Centring:
    """Subtracts the mean of each work; works with a single row become zero."""

    def __init__(self, works: Sequence[str]) -> None:
        self.member, self.inverse = membership(works)
        self.count = np.bincount(self.inverse)
        self.several = self.count[self.inverse] > 1

    def __call__(self, values: Floats) -> Floats:
        """Return `values` centred along the second-last axis, [..., rows, targets]."""
        flat = np.moveaxis(values, -2, 0).reshape(values.shape[-2], -1)
        mean = (self.member @ flat) / self.count[:, None]
        centred = np.where(self.several[:, None], flat - mean[self.inverse], 0.0)
        rows_first = (values.shape[-2], *values.shape[:-2], values.shape[-1])
        return np.moveaxis(centred.reshape(rows_first), 0, -2)
