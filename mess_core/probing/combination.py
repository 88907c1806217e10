"""Combine the predictions of all layers, with choices made in inner folds only.

There are two combinations: the layer with the smallest inner error, and stacked regression
(Breiman, 1996), whose non-negative layer weights sum to one and fit the inner out-of-fold
predictions best.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mess_core.probing.nested_cv import Nested, Split

__all__ = ["Combined", "combine_layers", "simplex_weights"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Combined:
    """Out-of-fold predictions that use all layers.

    Attributes
    ----------
    chosen, weighted : ndarray, float64, shape [rows, targets]
        Predictions of the chosen layer, and of the weighted mean of layers.
    share : ndarray, float64, shape [layers, targets]
        Share of the outer folds whose inner folds chose the layer.
    weight : ndarray, float64, shape [layers, targets]
        Weight of each layer, averaged over outer folds.
    """

    chosen: Floats
    weighted: Floats
    share: Floats
    weight: Floats


def combine_layers(
    layers: Sequence[Nested], y: Floats, splits: Sequence[Split], targets: int
) -> Combined:
    """Return combined predictions from all layers, for the first `targets` columns of `y`."""
    rows = len(y)
    chosen, weighted = np.empty((rows, targets)), np.empty((rows, targets))
    share, weight = np.zeros((len(layers), targets)), np.zeros((len(layers), targets))
    for index, split in enumerate(splits):
        error = np.stack([layer.inner_error[index] for layer in layers])  # [layers, targets]
        outer = np.stack([layer.predicted[split.test, :targets] for layer in layers])
        inner = np.stack([layer.inner_predicted[index] for layer in layers])
        best = error.argmin(axis=0)
        for target in range(targets):
            chosen[split.test, target] = outer[best[target], :, target]
            share[best[target], target] += 1 / len(splits)
            found = simplex_weights(inner[:, :, target].T, y[split.train, target])
            weight[:, target] += found / len(splits)
            weighted[split.test, target] = found @ outer[:, :, target]
    return Combined(chosen, weighted, share, weight)


def simplex_weights(predictions: Floats, y: Floats) -> Floats:
    """Return non-negative weights that sum to one and minimise the squared error.

    Solved by non-negative least squares (SciPy) on the residuals: since the weights sum to
    one, the residual of the weighted prediction is the weighted sum of the residuals. An
    extra row with a large weight enforces the sum.

    Parameters
    ----------
    predictions : ndarray, float64, shape [rows, layers]
    y : ndarray, float64, shape [rows]

    Returns
    -------
    ndarray, float64, shape [layers]
    """
    from scipy.optimize import nnls

    residual = predictions - y[:, None]
    scale = np.sqrt(np.mean(np.square(residual)))
    count = residual.shape[1]
    if not scale > 0:
        return np.full(count, 1 / count)
    # Only inner products matter, so a triangular factor can replace any number of rows.
    factor = np.linalg.qr(residual / scale, mode="r")
    heavy = 1e3 * np.sqrt(len(y))
    matrix = np.concatenate([factor, np.full((1, count), heavy)])
    found, _ = nnls(matrix, np.concatenate([np.zeros(len(factor)), [heavy]]), maxiter=100 * count)
    weights: Floats = found / found.sum()
    return weights
