"""Squared errors of ridge on thousands of permuted targets, with penalties chosen as ever.

Predictions are linear in the targets of the training rows: the hat matrix of the held-out rows
(Hoaglin and Welsch, "The hat matrix in regression and ANOVA", The American Statistician 1978) gives
those of any target. There is one for each fold and penalty, in two factors where there are many
rows, and it is multiplied by all permuted targets at once. These products are in float32, at twice
the speed: errors are sums over hundreds of rows, and stay equal to about one part in a million. A
target whose best two penalties are as near as that may get the other one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mess_core.probing.backend import device_of, namespace, to_numpy
from mess_core.probing.ridge import RidgePath

__all__ = ["Fit", "PermutedTargets"]

_COLUMNS = 1100  # at once: their residuals for all penalties fit into a cache

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Fit:
    """A model with the numbers of the rows that it was trained on, and of those held out."""

    train: NDArray[np.int64]
    test: NDArray[np.int64]
    model: RidgePath


class PermutedTargets:
    """Targets in many permutations of their rows.

    Parameters
    ----------
    y : ndarray, float64, shape [rows, targets]
        Not constant.
    orders : ndarray, int64, shape [permutations, rows]
        Row to take the target from, as from `work_block_permutations`.
    alphas : ndarray, float64, shape [alphas]
        Candidate penalties.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.standard_normal((30, 4)), rng.standard_normal((30, 2))
    >>> train, test = np.arange(20), np.arange(20, 30)
    >>> orders = np.stack([rng.permutation(30) for _ in range(7)])
    >>> permuted = PermutedTargets(y, orders, np.array([1.0]))
    >>> fit = Fit(train, test, RidgePath(x[train], y[train]))
    >>> permuted.squared_errors(x, [], fit).shape
    (7, 2)
    """

    def __init__(self, y: Floats, orders: NDArray[np.int64], alphas: Floats) -> None:
        # R² does not depend on the unit; float32 keeps more digits of values about 0.
        self._y = ((y - y.mean(axis=0)) / y.std(axis=0)).astype(np.float32)
        self._observed = y
        self._orders = orders
        self._alphas = alphas

    def same(self) -> NDArray[np.bool_]:
        """Return which permutations leave which targets as they are, [permutations, targets]."""
        y = self._observed
        return np.array([(y[order] == y).all(axis=0) for order in self._orders], dtype=bool)

    def r2(self, squared_errors: Floats) -> Floats:
        """Return R² from squared errors, [permutations, targets], summed over all rows."""
        result: Floats = 1.0 - squared_errors / len(self._y)
        return result

    def squared_errors(self, x: Any, inner: Sequence[Fit], outer: Fit) -> Floats:
        """Return the summed squared error on the test part of an outer fold.

        Parameters
        ----------
        x : array, float64, shape [rows, features]
            Features as the models take them.
        inner : sequence of Fit
            Models of the inner folds, on which the penalty of each permuted target is chosen;
            none if there is only one penalty.
        outer : Fit

        Returns
        -------
        ndarray, float64, shape [permutations, targets]
        """
        xp = namespace(x)
        hats = [(fit.model.hat(x[fit.test], x[fit.train], self._alphas), fit) for fit in inner]
        last = outer.model.hat(x[outer.test], x[outer.train], self._alphas)
        values = xp.asarray(self._y, device=device_of(x))
        found = []
        for orders in self._chunks():
            rows = xp.asarray(orders.T, device=device_of(x))
            y = xp.reshape(values[rows], (len(self._y), -1))  # [rows, permutations * targets]
            best = np.zeros(y.shape[1], dtype=np.int64)
            if hats:
                errors = [_errors(hat, y[fit.train], y[fit.test]) for hat, fit in hats]
                best = np.sum(errors, axis=0).argmin(axis=0)
            found.append(_errors_of_chosen(last, best, y[outer.train], y[outer.test]))
        return np.concatenate(found).reshape(len(self._orders), self._y.shape[1])

    def _chunks(self) -> list[NDArray[np.int64]]:
        count = max(1, _COLUMNS // self._y.shape[1])
        return [self._orders[at : at + count] for at in range(0, len(self._orders), count)]


def _errors(hat: tuple[Any, Any], train: Any, test: Any) -> Floats:
    """Return the squared errors of all penalties, summed over rows, [alphas, columns]."""
    left, right = hat
    alphas, rows, _ = left.shape
    xp = namespace(left)
    mapped = train if right is None else right @ train
    residual = xp.reshape(xp.reshape(left, (alphas * rows, -1)) @ mapped, (alphas, rows, -1))
    residual -= test if right is None else test - train.mean(axis=0)
    residual *= residual
    return to_numpy(residual.sum(axis=1)).astype(np.float64)


def _errors_of_chosen(
    hat: tuple[Any, Any], best: NDArray[np.int64], train: Any, test: Any
) -> Floats:
    """Return the squared error of each column with its own penalty, summed over rows, [columns]."""
    left, right = hat
    found = np.empty(len(best))
    for one in np.unique(best):
        columns = np.flatnonzero(best == one)
        of_one = left[one][None], right
        found[columns] = _errors(of_one, train[:, columns], test[:, columns])[0]
    return found
