"""Nested cross-validation of one set of features: penalties are chosen in inner folds only.

See Stone (1974) for the two loops, and Varma and Simon (2006) for the bias without them.
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
from mess_core.probing.permuted_targets import Fit, PermutedTargets
from mess_core.probing.ridge import RidgePath

__all__ = [
    "Nested",
    "Split",
    "cross_predict",
    "nested_predictions",
    "nested_splits",
    "split_problem",
]

_MIN_ROWS = 10

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Split:
    """One outer fold.

    Attributes
    ----------
    train, test : ndarray, int64
        Row numbers.
    inner : ndarray, int64, shape [len(train)]
        Inner fold of each training row.
    """

    train: NDArray[np.int64]
    test: NDArray[np.int64]
    inner: NDArray[np.int64]


@dataclass(frozen=True)
class Nested:
    """Result of nested cross-validation of one set of features.

    Attributes
    ----------
    predicted : ndarray, float64, shape [rows, columns]
        Out-of-fold predictions of the outer folds, with the penalty that inner folds chose.
    alpha, dof : ndarray, float64, shape [outer folds, columns]
        Chosen penalty, and the effective degrees of freedom it gives.
    inner_predicted : list of ndarray, float64, shape [training rows, targets]
        For each outer fold, out-of-fold predictions of its inner folds at the chosen penalty.
    inner_error : ndarray, float64, shape [outer folds, targets]
        Mean squared error of `inner_predicted`.
    permuted_r2 : ndarray, float64, shape [permutations, targets], or None
        R² of permuted targets.
    """

    predicted: Floats
    alpha: Floats
    dof: Floats
    inner_predicted: list[Floats]
    inner_error: Floats
    permuted_r2: Floats | None = None

    def columns(self, part: slice) -> Nested:
        """Return the result of some of the targets."""
        return Nested(
            self.predicted[:, part],
            self.alpha[:, part],
            self.dof[:, part],
            [one[:, part] for one in self.inner_predicted],
            self.inner_error[:, part],
            None if self.permuted_r2 is None else self.permuted_r2[:, part],
        )


def nested_splits(groups: Sequence[str], folds: int, inner_folds: int, *, seed: int) -> list[Split]:
    """Return outer splits with inner folds; no group is split between folds.

    Raises
    ------
    ProbingError
        If there are too few groups.
    """
    names = np.asarray(groups, dtype=str)
    outer = grouped_folds(names.tolist(), folds, seed=seed)
    splits = []
    for held_out in range(folds):
        train, test = np.flatnonzero(outer != held_out), np.flatnonzero(outer == held_out)
        train_groups = names[train].tolist()
        usable = min(inner_folds, len(set(train_groups)))
        inner = grouped_folds(train_groups, usable, seed=seed + 1)
        splits.append(Split(train, test, inner))
    return splits


def split_problem(groups: Sequence[str], folds: int, inner_folds: int, *, seed: int) -> str | None:
    """Return why rows with these groups cannot be probed in nested folds, or None."""
    if len(groups) < _MIN_ROWS:
        return f"only {len(groups)} tracks have a value (at least {_MIN_ROWS} are needed)"
    present, needed = len(set(groups)), max(folds, 3)
    if present < needed:
        return f"its tracks are of only {present} works (at least {needed} are needed)"
    try:
        splits = nested_splits(groups, folds, inner_folds, seed=seed)
    except ProbingError:
        return f"{present} works are too few for {folds} outer folds with inner folds"
    for split in splits:
        if len(split.train) - np.bincount(split.inner).max() < 2:
            return "nearly all its tracks are of one work"
    return None


def cross_predict(
    features: Any, y: Floats, splits: Sequence[Split], alpha: float, *, device: str = "cpu"
) -> Floats:
    """Return out-of-fold predictions with one penalty, [rows, columns]."""
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
    permuted: PermutedTargets | None = None,
) -> Nested:
    """Return predictions of the outer folds, with penalties chosen in inner folds.

    Parameters
    ----------
    features : array_like, shape [rows, features]
    y : ndarray, float64, shape [rows, columns]
        Columns after the first `targets` (controls) are predicted in the same way, but their inner
        predictions are not returned.
    splits : sequence of Split
    alphas : ndarray, float64, shape [alphas], ascending
        Candidate penalties; each column gets its own.
    targets : int
        Number of leading columns that are targets.
    device : str
        "cpu" for NumPy, or a torch device.
    permuted : PermutedTargets, optional
        Also return the scores of these.

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
    inner_predicted, permuted_errors = [], []
    for index, split in enumerate(splits):
        guesses, inner, whole = _inner_round(rows, split, alphas)
        error = np.square(guesses - y[split.train]).sum(axis=1)  # [alphas, columns]
        best = error.argmin(axis=0)
        chosen[index] = alphas[best]
        inner_error[index] = error[best[:targets], np.arange(targets)] / len(split.train)
        inner_predicted.append(guesses[best[:targets], :, np.arange(targets)].T)
        model = rows.fit(split.train, whole)
        predicted[split.test] = model.predict_each(rows.x[split.test], chosen[index])
        distinct, inverse = np.unique(chosen[index], return_inverse=True)
        freedom[index] = model.degrees_of_freedom(distinct)[inverse]
        if permuted is not None:
            outer = Fit(split.train, split.test, model)
            among = inner if len(alphas) > 1 else []
            permuted_errors.append(permuted.squared_errors(rows.x, among, outer))
    scores = None if permuted is None else permuted.r2(np.sum(permuted_errors, axis=0))
    return Nested(predicted, chosen, freedom, inner_predicted, inner_error, scores)


def _inner_round(
    rows: _Rows, split: Split, alphas: Floats
) -> tuple[Floats, list[Fit], Moments | None]:
    """Return predictions of the inner folds of one training part, with their models.

    Returns
    -------
    guesses : ndarray, float64, shape [alphas, training rows, columns]
    inner : list of Fit
    whole : Moments or None
        Moments of the training part, if ridge is computed from moments.
    """
    columns = rows.y.shape[1]
    folds = np.unique(split.inner)
    held_out = [split.train[split.inner == fold] for fold in folds]
    parts = [rows.moments(part) for part in held_out] if rows.primal else []
    whole = _total(parts) if parts else None
    guesses = np.empty((len(alphas), len(split.train), columns))
    inner = []
    for number, (fold, test) in enumerate(zip(folds, held_out, strict=True)):
        inside = split.inner == fold
        moments = whole - parts[number] if whole is not None else None
        model = rows.fit(split.train[~inside], moments)
        inner.append(Fit(split.train[~inside], test, model))
        if len(alphas) == 1:  # solve a linear system instead of decomposing
            guesses[0, inside] = model.predict_each(rows.x[test], np.full(columns, alphas[0]))
        else:
            guesses[:, inside] = model.predict(rows.x[test], alphas)
    return guesses, inner, whole


class _Rows:
    """Features and targets on their device, with ridge on subsets of rows.

    Ridge is computed from moments or from the rows themselves, whichever is cheaper.
    """

    def __init__(self, features: Any, y: Floats, device: str) -> None:
        self.x = array_for(features, device)
        self.y = array_for(y, device)
        # Moments are cheaper if most training parts have more rows than features.
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
    """Return the sum of all parts, accumulated in place because new matrices are expensive."""
    total = parts[0] + parts[1]
    xx, xy = total.xx, total.xy
    rows, x, y = total.rows, total.x, total.y
    for part in parts[2:]:
        xx += part.xx
        xy += part.xy
        rows, x, y = rows + part.rows, x + part.x, y + part.y
    return Moments(rows, x, y, xx, xy)
