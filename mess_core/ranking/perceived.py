"""A distance between performances of a passage, learned from listeners' ratings.

Two regressors, ridge regression and extremely randomised trees (Geurts et al., 2006), predict the
ratings of each performance from its descriptors. The distances between their predictions and
the distances between curves are then summed with non-negative weights (stacking, Breiman, 1996)
that are fitted on predictions for held-out passages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mess_core.errors import MessError, TooLittleError
from mess_core.midi.performance import Performance
from mess_core.ranking.descriptors import describe_expression, standardised
from mess_core.ranking.passage_curves import curve_distances, passage_curves, shape_descriptors
from mess_core.ranking.scaling import pair_distances

__all__ = ["PassageDescription", "PerceivedDistance", "describe_passage"]

_INNER_FOLDS = 8
_ALPHAS = (100.0, 300.0, 1000.0)
_TREES = 200

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class PassageDescription:
    """Descriptors of the performances of one passage, and distances between their curves.

    Attributes
    ----------
    names : tuple of str
        Names of the descriptors.
    descriptors : ndarray, float64, shape [performances, descriptors]
        Standardised within the passage.
    curves : dict of str to ndarray, float64, shape [performances, performances]
        Distances between curves, such as `curve_distances` returns; all passages have the same.
    """

    names: tuple[str, ...]
    descriptors: Floats
    curves: Mapping[str, Floats]

    def features(self, names: Sequence[str]) -> Floats:
        """Return the named descriptors, [performances, names]; 0 for those that are missing."""
        column_of = {name: column for column, name in enumerate(self.names)}
        found = np.zeros((len(self.descriptors), len(names)))
        for column, name in enumerate(names):
            if name in column_of:
                found[:, column] = self.descriptors[:, column_of[name]]
        return found


def describe_passage(performances: Sequence[Performance]) -> PassageDescription:
    """Describe performances of one passage, read with ``pedal_down=HALF_PEDAL``.

    Raises
    ------
    MidiError
        As for `passage_curves`.
    """
    curves = passage_curves(performances)
    shapes = shape_descriptors(curves)
    rows = [
        describe_expression(one) | shape for one, shape in zip(performances, shapes, strict=True)
    ]
    names = tuple(sorted(set().union(*rows)))
    return PassageDescription(names, standardised(rows, names), curve_distances(curves))


@dataclass
class PerceivedDistance:
    """Learned model of the perceived distance between performances of a passage.

    Attributes
    ----------
    seed : int
    names : list of str
        Descriptors that the model was fitted on.
    alpha : float
        Penalty of the ridge regression, chosen on inner folds.
    weights : dict of str to float
        Weight of each distance.
    """

    seed: int = 0
    names: list[str] = field(default_factory=list)
    alpha: float = float("nan")
    weights: dict[str, float] = field(default_factory=dict)
    _models: list[Any] = field(default_factory=list)

    def fit(
        self,
        passages: Sequence[PassageDescription],
        ratings: Sequence[Floats],
        groups: Sequence[str],
    ) -> PerceivedDistance:
        """Fit the model to rated passages.

        Parameters
        ----------
        passages : sequence of PassageDescription
        ratings : sequence of ndarray, float64, shape [performances, scales]
            Standardised within each passage.
        groups : sequence of str
            Passages of one group share music and are in the same inner fold.

        Returns
        -------
        PerceivedDistance
            The fitted model itself.

        Raises
        ------
        MessError
            If there are fewer than two groups, or the arguments differ in length.
        """
        from scipy.optimize import nnls

        if len(passages) != len(ratings) or len(passages) != len(groups):
            raise MessError("passages, ratings and groups differ in number")
        if len(set(groups)) < 2:
            raise TooLittleError("fitting needs at least two groups of passages")
        self.names = sorted(set().union(*(one.names for one in passages)))
        x = [one.features(self.names) for one in passages]
        folds = _folds(groups, min(_INNER_FOLDS, len(set(groups))))
        self.alpha = self._choose_alpha(x, ratings, folds)
        held_out: list[list[Floats]] = [[] for _ in passages]
        for fold in np.unique(folds):
            inner = [index for index, one in enumerate(folds) if one != fold]
            models = self._regressors([x[i] for i in inner], [ratings[i] for i in inner])
            for index in np.flatnonzero(folds == fold).tolist():
                held_out[index] = [model.predict(x[index]) for model in models]
        columns, target = [], []
        for one, predicted, rated in zip(passages, held_out, ratings, strict=True):
            upper = np.triu_indices(len(rated), 1)
            distance = pair_distances(rated)[upper]
            columns.append(np.stack([part[upper] for part in _parts(one, predicted)], axis=1))
            target.append(distance / distance.mean())
        design = np.concatenate(columns)
        constant = np.ones((len(design), 1))  # intercept: it does not affect rankings
        found, _ = nnls(np.hstack([design, constant]), np.concatenate(target))
        if not found[:-1].any():
            found[:] = 1.0
        names = ["linear", "trees", "descriptors", *passages[0].curves]
        self.weights = dict(zip(names, found[:-1].tolist(), strict=True))
        self._models = self._regressors(x, ratings)
        return self

    def distances(self, passage: PassageDescription) -> Floats:
        """Return the distances between the performances of a passage.

        Parameters
        ----------
        passage : PassageDescription

        Returns
        -------
        ndarray, float64, shape [performances, performances]

        Raises
        ------
        MessError
            If the model has not been fitted.
        """
        if not self._models:
            raise MessError("the distance has not been fitted", remedy="Call fit first")
        x = passage.features(self.names)
        parts = _parts(passage, [model.predict(x) for model in self._models])
        total: Floats = np.sum(
            [weight * part for weight, part in zip(self.weights.values(), parts, strict=True)],
            axis=0,
        )
        return total

    def _choose_alpha(
        self, x: list[Floats], y: Sequence[Floats], folds: NDArray[np.int64]
    ) -> float:
        from sklearn.linear_model import Ridge

        errors = dict.fromkeys(_ALPHAS, 0.0)
        for fold in np.unique(folds):
            inside = np.flatnonzero(folds != fold).tolist()
            outside = np.flatnonzero(folds == fold).tolist()
            train_x, train_y = (np.concatenate([s[i] for i in inside]) for s in (x, y))
            test_x, test_y = (np.concatenate([s[i] for i in outside]) for s in (x, y))
            for alpha in _ALPHAS:
                predicted = Ridge(alpha=alpha).fit(train_x, train_y).predict(test_x)
                errors[alpha] += float(np.square(predicted - test_y).sum())
        return min(errors, key=errors.__getitem__)

    def _regressors(self, x: Sequence[Floats], y: Sequence[Floats]) -> list[Any]:
        from sklearn.ensemble import ExtraTreesRegressor
        from sklearn.linear_model import Ridge

        rows, ratings = np.concatenate(x), np.concatenate(y)
        trees = ExtraTreesRegressor(
            _TREES, min_samples_leaf=3, max_features=0.3, random_state=self.seed, n_jobs=-1
        )
        return [Ridge(alpha=self.alpha).fit(rows, ratings), trees.fit(rows, ratings)]


def _parts(passage: PassageDescription, predicted: Sequence[Floats]) -> list[Floats]:
    """Return the distances to be summed, each [performances, performances]."""
    descriptors = pair_distances(passage.descriptors) / np.sqrt(passage.descriptors.shape[1])
    learned = [pair_distances(one) for one in predicted]
    return [*learned, descriptors, *passage.curves.values()]


def _folds(groups: Sequence[str], count: int) -> NDArray[np.int64]:
    from mess_core.probing.folds import grouped_folds

    return grouped_folds(list(groups), count)
