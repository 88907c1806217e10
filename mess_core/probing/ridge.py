"""Ridge regression for many targets and a path of penalties from one decomposition.

Hoerl and Kennard (1970); the eigendecomposition is of whichever of the Gram and the
covariance matrix is smaller (Hastie, Tibshirani and Friedman, 2009, section 18.3.5).
Equivalent to scikit-learn's ``make_pipeline(StandardScaler(), Ridge(alpha))`` for each
target and penalty, which is the oracle in the tests.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mess_core.errors import ProbingError

__all__ = ["RidgePath"]

Floats = NDArray[np.float64]


class RidgePath:
    """Ridge on features standardised inside the training set, for a path of penalties.

    Parameters
    ----------
    X : array_like, shape [rows, features]
    Y : array_like, shape [rows, targets]
        No missing values.

    Attributes
    ----------
    eigenvalues : ndarray, float64, shape [rank]
        Of the Gram (or covariance) matrix of the standardised features.

    Raises
    ------
    ProbingError
        If there are fewer than two rows, or values are not finite.
    """

    def __init__(self, X: ArrayLike, Y: ArrayLike) -> None:
        x = np.asarray(X, dtype=np.float64)
        y = np.asarray(Y, dtype=np.float64)
        if len(x) < 2 or len(x) != len(y):
            raise ProbingError(f"ridge needs two or more matching rows, not {len(x)} and {len(y)}")
        if not (np.isfinite(x).all() and np.isfinite(y).all()):
            raise ProbingError("ridge got NaN or infinite values")
        self._mean = x.mean(axis=0)
        scale = x.std(axis=0)
        # A constant feature carries nothing; scikit-learn leaves it unscaled too.
        self._scale = np.where(scale > 10 * np.finfo(np.float64).eps, scale, 1.0)
        self._offset = y.mean(axis=0)  # [targets]
        z = (x - self._mean) / self._scale
        self._dual = z.shape[0] <= z.shape[1]
        if self._dual:
            values, vectors = np.linalg.eigh(z @ z.T)  # [rows], [rows, rows]
            self._basis = z.T @ vectors  # [features, rows]
            self._coordinates = vectors.T @ (y - self._offset)  # [rows, targets]
        else:
            values, vectors = np.linalg.eigh(z.T @ z)
            self._basis = vectors  # [features, features]
            self._coordinates = vectors.T @ (z.T @ (y - self._offset))
        self.eigenvalues: Floats = np.maximum(values, 0.0)

    def predict(self, X: ArrayLike, alphas: ArrayLike) -> Floats:
        """Predictions for every penalty.

        Parameters
        ----------
        X : array_like, shape [rows, features]
        alphas : array_like, shape [alphas], all positive

        Returns
        -------
        ndarray, float64, shape [alphas, rows, targets]
        """
        penalties = _checked_alphas(alphas)
        z = (np.asarray(X, dtype=np.float64) - self._mean) / self._scale
        projected = z @ self._basis  # [rows, rank]
        shrunk = self._coordinates / (self.eigenvalues[:, None] + penalties[:, None, None])
        predictions: Floats = projected @ shrunk + self._offset
        return predictions

    def predict_each(self, X: ArrayLike, alpha_of_target: ArrayLike) -> Floats:
        """Predictions with a penalty of its own for each target, [rows, targets]."""
        penalties = _checked_alphas(alpha_of_target)
        z = (np.asarray(X, dtype=np.float64) - self._mean) / self._scale
        shrunk = self._coordinates / (self.eigenvalues[:, None] + penalties[None])
        predictions: Floats = (z @ self._basis) @ shrunk + self._offset
        return predictions

    def coefficients(self, alpha_of_target: ArrayLike) -> Floats:
        """Weights on the standardised features, [features, targets]."""
        penalties = _checked_alphas(alpha_of_target)
        shrunk = self._coordinates / (self.eigenvalues[:, None] + penalties[None])
        weights: Floats = self._basis @ shrunk
        return weights

    def degrees_of_freedom(self, alphas: ArrayLike) -> Floats:
        """Effective degrees of freedom, trace of the hat matrix, [alphas]."""
        penalties = _checked_alphas(alphas)
        values = self.eigenvalues[None]
        freedom: Floats = (values / (values + penalties[:, None])).sum(axis=1)
        return freedom


def _checked_alphas(alphas: ArrayLike) -> Floats:
    penalties = np.atleast_1d(np.asarray(alphas, dtype=np.float64))
    if not (penalties > 0).all():
        raise ProbingError(f"penalties must be positive, not {penalties.min()}")
    return penalties
