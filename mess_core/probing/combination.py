"""One prediction from all layers, by choices made in inner folds only.

The layer with the least inner error; and stacked regression (Breiman, 1996): weights of
layers, not negative and summing to one, that fit the inner out-of-fold predictions best.
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
        From the chosen layer, and from the weighted mean of layers.
    share : ndarray, float64, shape [layers, targets]
        Share of the outer folds whose inner folds chose the layer.
    weight : ndarray, float64, shape [layers, targets]
        Mean weight over outer folds.
    """

    chosen: Floats
    weighted: Floats
    share: Floats
    weight: Floats


def combine_layers(
    layers: Sequence[Nested], y: Floats, splits: Sequence[Split], targets: int
) -> Combined:
    """Combine the nested results of all layers, for the first `targets` columns of `y`."""
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
    """Weights of least squared error, not negative, with sum 1.

    Non-negative least squares (SciPy's) on differences from `y`: with weights that sum to
    one the error is the weighted sum of the single errors; the sum is held by a heavy row.

    Parameters
    ----------
    predictions : ndarray, float64, shape [rows, layers]
    y : ndarray, float64, shape [rows]
    """
    from scipy.optimize import nnls

    residual = predictions - y[:, None]
    scale = np.sqrt(np.mean(np.square(residual)))
    count = residual.shape[1]
    if not scale > 0:
        return np.full(count, 1 / count)
    # Only the inner products matter, so a triangular factor stands for any number of rows.
    factor = np.linalg.qr(residual / scale, mode="r")
    heavy = 1e3 * np.sqrt(len(y))
    matrix = np.concatenate([factor, np.full((1, count), heavy)])
    found, _ = nnls(matrix, np.concatenate([np.zeros(len(factor)), [heavy]]), maxiter=100 * count)
    weights: Floats = found / found.sum()
    return weights
