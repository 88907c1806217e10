"""Nested cross-validation of one set of features: penalties chosen in inner folds only.

Stone (1974) for the two loops; Varma and Simon (2006) for what happens without them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mess_core.errors import ProbingError
from mess_core.probing.backend import array_for
from mess_core.probing.folds import grouped_folds
from mess_core.probing.moments import Moments
from mess_core.probing.ridge import RidgePath

__all__ = [
    "Nested",
    "Split",
    "cross_predict",
    "nested_predictions",
    "nested_splits",
    "split_problem",
]

_FEWEST_ROWS = 10

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Split:
    """One outer fold.

    Attributes
    ----------
    train, test : ndarray, int64
        Rows.
    inner : ndarray, int64, shape [len(train)]
        Inner fold of each training row.
    """

    train: NDArray[np.int64]
    test: NDArray[np.int64]
    inner: NDArray[np.int64]


@dataclass(frozen=True)
class Nested:
    """What nested cross-validation of one set of features gives.

    Attributes
    ----------
    predicted : ndarray, float64, shape [rows, columns]
        Out of the outer fold, with the penalty that the inner folds chose.
    alpha, dof : ndarray, float64, shape [outer folds, columns]
        Chosen penalty, and effective degrees of freedom at it.
    inner_predicted : list of ndarray, float64, shape [training rows, targets]
        Per outer fold: out of the inner fold, at the chosen penalty.
    inner_error : ndarray, float64, shape [outer folds, targets]
        Their mean squared error.
    """

    predicted: Floats
    alpha: Floats
    dof: Floats
    inner_predicted: list[Floats]
    inner_error: Floats


def nested_splits(groups: Sequence[str], folds: int, inner_folds: int, *, seed: int) -> list[Split]:
    """Outer and inner folds that both keep groups together."""
    names = np.asarray(groups, dtype=str)
    outer = grouped_folds(names.tolist(), folds, seed=seed)
    splits = []
    for held_out in range(folds):
        train, test = np.flatnonzero(outer != held_out), np.flatnonzero(outer == held_out)
        kept = names[train].tolist()
        inner = grouped_folds(kept, min(inner_folds, len(set(kept))), seed=seed + 1)
        splits.append(Split(train, test, inner))
    return splits


def split_problem(groups: Sequence[str], folds: int, inner_folds: int, *, seed: int) -> str | None:
    """Why these rows cannot be probed in nested folds, or None."""
    if len(groups) < _FEWEST_ROWS:
        return f"only {len(groups)} tracks have it (at least {_FEWEST_ROWS} are needed)"
    present, needed = len(set(groups)), max(folds, 3)
    if present < needed:
        return f"the tracks that have it are of {present} works (at least {needed} needed)"
    try:
        splits = nested_splits(groups, folds, inner_folds, seed=seed)
    except ProbingError:
        return f"{present} works are too few for {folds} folds with folds inside"
    for split in splits:
        if len(split.train) - np.bincount(split.inner).max() < 2:
            return "nearly all tracks that have it are of one work"
    return None


def cross_predict(
    features: Any, y: Floats, splits: Sequence[Split], alpha: float, *, device: str = "cpu"
) -> Floats:
    """Out-of-fold predictions with one penalty, [rows, columns]."""
    rows = _Rows(features, y, device)
    predicted = np.empty(y.shape)
    penalties = np.full(y.shape[1], alpha)
    parts = [rows.moments(split.test) for split in splits] if rows.primal else []
    whole = _total(parts) if parts else None
    for index, split in enumerate(splits):
        train = whole - parts[index] if whole is not None else None
        model = rows.fit(split.train, train)
        predicted[split.test] = model.predict_each(rows.x[split.test], penalties)
    return predicted


def nested_predictions(
    features: Any,
    y: Floats,
    splits: Sequence[Split],
    alphas: Floats,
    *,
    targets: int,
    device: str = "cpu",
) -> Nested:
    """Choose a penalty for each column in inner folds, and predict the outer ones.

    Parameters
    ----------
    features : array_like, shape [rows, features]
    y : ndarray, float64, shape [rows, columns]
        Columns after the first `targets` (controls, permutations) are predicted alike, but
        their inner predictions are not kept.
    splits : sequence of Split
    alphas : ndarray, float64, shape [alphas], ascending
    targets : int
    device : str
        "cpu" for NumPy, or a torch device.

    Returns
    -------
    Nested
    """
    rows = _Rows(features, y, device)
    columns = y.shape[1]
    predicted = np.empty((len(y), columns))
    chosen = np.empty((len(splits), columns))
    freedom = np.empty((len(splits), columns))
    inner_error = np.empty((len(splits), targets))
    inner_predicted = []
    for index, split in enumerate(splits):
        error, guesses, whole = _inner_round(rows, y, split, alphas, targets)
        best = error.argmin(axis=0)
        chosen[index] = alphas[best]
        of_target = best[:targets], np.arange(targets)
        inner_error[index] = error[of_target] / len(split.train)
        inner_predicted.append(guesses[of_target[0], :, of_target[1]].T)
        model = rows.fit(split.train, whole)
        predicted[split.test] = model.predict_each(rows.x[split.test], chosen[index])
        distinct, where = np.unique(chosen[index], return_inverse=True)
        freedom[index] = model.degrees_of_freedom(distinct)[where]
    return Nested(predicted, chosen, freedom, inner_predicted, inner_error)


def _inner_round(
    rows: _Rows, y: Floats, split: Split, alphas: Floats, targets: int
) -> tuple[Floats, Floats, Moments | None]:
    """Inner cross-validation of one training part.

    Returns
    -------
    error : ndarray, float64, shape [alphas, columns]
        Summed squared error.
    guesses : ndarray, float64, shape [alphas, training rows, targets]
    whole : Moments or None
        Of the training part, where sums are in use.
    """
    columns = y.shape[1]
    kept, rest = slice(0, targets), slice(targets, columns)
    folds = np.unique(split.inner)
    held_out = [split.train[split.inner == fold] for fold in folds]
    parts = [rows.moments(part) for part in held_out] if rows.primal else []
    whole = _total(parts) if parts else None
    guesses = np.empty((len(alphas), len(split.train), targets))
    error = np.zeros((len(alphas), columns))
    for number, (fold, test) in enumerate(zip(folds, held_out, strict=True)):
        inside = split.inner == fold
        moments = whole - parts[number] if whole is not None else None
        model = rows.fit(split.train[~inside], moments)
        if len(alphas) == 1:  # a linear system instead of a decomposition
            guess = model.predict_each(rows.x[test], np.full(columns, alphas[0]))[None]
            error += np.square(guess - y[test]).sum(axis=1)
            guesses[:, inside] = guess[..., kept]
            continue
        guess = model.predict(rows.x[test], alphas, columns=kept)
        guesses[:, inside] = guess
        error[:, kept] += np.square(guess - y[test, :targets]).sum(axis=1)
        if columns > targets:
            of_rest = model.squared_error(rows.x[test], rows.y[test], alphas, columns=rest)
            error[:, rest] += of_rest
    return error, guesses, whole


class _Rows:
    """Features and targets on their device, and ridge on parts of them either way round."""

    def __init__(self, features: Any, y: Floats, device: str) -> None:
        self.x = array_for(features, device)
        self.y = array_for(y, device)
        # Sums pay where most training parts have more rows than there are features.
        self.primal = 0.64 * self.x.shape[0] > self.x.shape[1]
        if self.primal:
            self._centre = self.x.mean(axis=0)
            self.x = self.x - self._centre
            self._reference = (self.x * self.x).mean(axis=0)

    def moments(self, rows: NDArray[np.int64]) -> Moments:
        return Moments.of(self.x[rows], self.y[rows])

    def fit(self, rows: NDArray[np.int64], moments: Moments | None) -> RidgePath:
        if moments is not None:
            return RidgePath.from_moments(moments, reference=self._reference)
        return RidgePath(self.x[rows], self.y[rows])


def _total(parts: Sequence[Moments]) -> Moments:
    """Sum of all parts; one new matrix, since each takes as long as a tenth of a solution."""
    total = parts[0] + parts[1]
    xx, xy = total.xx, total.xy
    rows, x, y = total.rows, total.x, total.y
    for part in parts[2:]:
        xx += part.xx
        xy += part.xy
        rows, x, y = rows + part.rows, x + part.x, y + part.y
    return Moments(rows, x, y, xx, xy)
