"""Ridge regression for many targets and a path of penalties from one decomposition.

See Hoerl and Kennard (1970). The smaller of the Gram and the covariance matrix is decomposed
(Hastie, Tibshirani and Friedman, 2009, section 18.3.5); a single penalty needs only a linear
system. Equivalent to scikit-learn's ``make_pipeline(StandardScaler(), Ridge(alpha))`` for each
target and penalty. The tests compare with it and with himalaya's ``Ridge``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mess_core.errors import ProbingError
from mess_core.probing.backend import (
    array_for,
    device_of,
    namespace,
    to_numpy,
)
from mess_core.probing.moments import Moments

__all__ = ["RidgePath"]

Floats = NDArray[np.float64]


class RidgePath:
    """Ridge regression on standardised features, for a path of penalties.

    Features are standardised on the training rows. Decompositions are computed when first
    needed: predictions with one penalty for all targets solve a linear system, and a path of
    penalties takes an eigendecomposition.

    Parameters
    ----------
    X : array_like, shape [rows, features]
        NumPy array, or torch tensor on any device. Computed on the device of `X`, in float64.
    Y : array_like, shape [rows, targets]
        No missing values.

    Raises
    ------
    ProbingError
        If there are fewer than two rows, or values are not finite.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((50, 3))
    >>> path = RidgePath(X, X[:, :2] + 1.0)
    >>> path.predict(X, [0.01, 100.0]).shape  # penalties, rows, targets
    (2, 50, 2)
    """

    def __init__(self, X: Any, Y: Any) -> None:
        x = X if _is_float64_array(X) else array_for(X, "cpu")
        y = Y if _is_float64_array(Y) else array_for(Y, "cpu")
        if len(x) < 2 or len(x) != len(y):
            raise ProbingError(f"ridge needs two or more matching rows, not {len(x)} and {len(y)}")
        xp = namespace(x)
        if not (bool(xp.all(xp.isfinite(x))) and bool(xp.all(xp.isfinite(y)))):
            raise ProbingError("ridge got NaN or infinite values")
        if x.shape[0] > x.shape[1]:
            centre = xp.mean(x, axis=0)
            self._from_moments(Moments.of(x - centre, y), centre, reference=None)
            return
        self._xp = xp
        self._mean = xp.mean(x, axis=0)
        self._scale = _scale(xp, xp.std(x, axis=0), xp.mean(xp.square(x), axis=0))
        self._offset = xp.mean(y, axis=0)  # [targets]
        self._z = (x - self._mean) / self._scale
        self._matrix = self._z @ self._z.T  # Gram, [rows, rows]
        self._right = y - self._offset  # [rows, targets]
        self._eigen: tuple[Any, Any, Any] | None = None

    @classmethod
    def from_moments(
        cls, moments: Moments, *, centre: Any = None, reference: Any = None
    ) -> RidgePath:
        """Return the same model from moments of the training rows.

        Parameters
        ----------
        moments : Moments
            Moments of the training rows minus `centre`.
        centre : array, shape [features], optional
            Vector that was subtracted from every row before summing.
        reference : array, shape [features], optional
            Mean square of the features over the rows that the moments were subtracted from.
            Variances that are only rounding error compared with it count as zero.

        Raises
        ------
        ProbingError
            If there are fewer than two rows.
        """
        if moments.rows < 2:
            raise ProbingError(f"ridge needs two or more rows, not {moments.rows}")
        path = cls.__new__(cls)
        path._from_moments(moments, centre, reference)
        return path

    def _from_moments(self, moments: Moments, centre: Any, reference: Any) -> None:
        xp = self._xp = namespace(moments.xx)
        mean, rows = moments.x / moments.rows, moments.rows
        diagonal = xp.linalg.diagonal(moments.xx) / rows
        variance = diagonal - xp.square(mean)
        # Moments may be differences of sums. A feature that is constant in these rows but not in
        # all rows then has a rounding error of about 1e-16 of the reference as its variance.
        magnitude = diagonal if reference is None else reference
        variance = xp.where(variance <= 1e-13 * magnitude, xp.zeros_like(variance), variance)
        scale = _scale(xp, xp.sqrt(variance), magnitude)
        self._scale, self._offset = scale, moments.y / rows
        # In place, because every pass over this matrix takes noticeable time.
        matrix = mean[:, None] * (-rows * mean)[None, :]
        matrix += moments.xx
        self._matrix = matrix  # sums of products about the mean, [features, features]
        self._right = moments.xy - rows * mean[:, None] * self._offset[None, :]
        self._mean = mean if centre is None else mean + centre
        self._z = None
        self._eigen = None

    @property
    def eigenvalues(self) -> Floats:
        """Eigenvalues of the Gram or covariance matrix of the standardised features, [rank]."""
        return to_numpy(self._decomposed()[0])

    def predict(self, X: Any, alphas: ArrayLike) -> Floats:
        """Return predictions for every penalty.

        Parameters
        ----------
        X : array_like, shape [rows, features]
        alphas : array_like, shape [alphas], all positive

        Returns
        -------
        ndarray, float64, shape [alphas, rows, targets]
        """
        values, basis, coordinates = self._decomposed()
        penalties = self._xp.asarray(_checked_alphas(alphas), device=device_of(values))
        shrunk = coordinates[:, None] / (values[:, None] + penalties[None, :])[..., None]
        shrunk = self._xp.reshape(shrunk, (len(values), -1))  # [rank, alphas * targets]
        z = self._standardised(X)
        # Whichever order of the product takes fewer operations.
        found = z @ (basis @ shrunk) if shrunk.shape[1] < len(z) else (z @ basis) @ shrunk
        found = self._xp.reshape(found, (len(z), len(penalties), -1)) + self._offset
        return np.ascontiguousarray(np.moveaxis(to_numpy(found), 1, 0))

    def predict_each(self, X: Any, alpha_of_target: ArrayLike) -> Floats:
        """Return predictions with a separate penalty for each target, [rows, targets]."""
        weights = self._weights(alpha_of_target)
        x = X if _is_float64_array(X) else array_for(X, "cpu")
        return to_numpy((x - self._mean) @ weights + self._offset)

    def hat(self, X: Any, trained_on: Any, alphas: ArrayLike) -> tuple[Any, Any]:
        """Return matrices that map targets of the training rows to predictions.

        Predictions with the first penalty are ``left[0] @ (right @ Y) + Y.mean(axis=0)`` for
        targets `Y` of the training rows, or ``left[0] @ Y`` if there is no `right`, whichever
        takes fewer operations.

        Parameters
        ----------
        X : array, float64, shape [rows, features]
        trained_on : array, float64, shape [training rows, features]
            The rows that the model was trained on.
        alphas : array_like, shape [alphas], all positive

        Returns
        -------
        left : array, float32, shape [alphas, rows, training rows or rank]
        right : array, float32, shape [rank, training rows], or None
        """
        xp = self._xp
        values, basis, _ = self._decomposed()
        of_rows = self._z is not None
        right = self._vectors.T if of_rows else basis.T @ self._standardised(trained_on).T
        penalties = xp.asarray(_checked_alphas(alphas), device=device_of(values))
        projected = self._standardised(X) @ basis  # [rows, rank]
        left = projected[None] / (values[None, :] + penalties[:, None])[:, None]
        left, right = xp.astype(left, xp.float32), xp.astype(right, xp.float32)
        rank, trained = right.shape
        if trained > 1.5 * rank:
            return left, right
        flat = xp.reshape(left, (len(penalties) * len(X), rank)) @ right
        # Targets are centred on the mean of the training rows, which is added again.
        flat += ((1.0 - flat.sum(axis=1)) / trained)[:, None]
        return xp.reshape(flat, (len(penalties), len(X), trained)), None

    def coefficients(self, alpha_of_target: ArrayLike) -> Floats:
        """Return weights of the standardised features, [features, targets]."""
        return to_numpy(self._weights(alpha_of_target) * self._scale[:, None])

    def linear(self, alpha: float) -> tuple[Floats, Floats]:
        """Return weights of the unscaled features, [features, targets], and intercepts."""
        weights = self._weights(np.full(self._right.shape[1], alpha))
        return to_numpy(weights), to_numpy(self._offset - self._mean @ weights)

    def degrees_of_freedom(self, alphas: ArrayLike) -> Floats:
        """Return the effective degrees of freedom (trace of the hat matrix), [alphas]."""
        penalties = _checked_alphas(alphas)
        values = self.eigenvalues[None]
        result: Floats = (values / (values + penalties[:, None])).sum(axis=1)
        return result

    def _weights(self, alpha_of_target: ArrayLike) -> Any:
        """Return weights of the centred features, not standardised, [features, targets]."""
        penalties = _checked_alphas(alpha_of_target)
        if self._eigen is None and len(np.unique(penalties)) == 1:
            alpha = float(penalties[0])
            if self._z is None:
                # The penalty in units of the features, instead of features in units of their own.
                return self._solved(alpha * self._xp.square(self._scale))
            ones = self._xp.ones_like(self._right[:, 0])
            return (self._z.T @ self._solved(alpha * ones)) / self._scale[:, None]
        values, basis, coordinates = self._decomposed()
        alphas = self._xp.asarray(penalties, device=device_of(values))
        weights = basis @ (coordinates / (values[:, None] + alphas[None, :]))
        return weights / self._scale[:, None]

    def _solved(self, penalty: Any) -> Any:
        """Return the solution with a penalty added to each diagonal element."""
        index = self._xp.arange(self._matrix.shape[0], device=device_of(self._matrix))
        plain = self._xp.asarray(self._matrix[index, index], copy=True)
        self._matrix[index, index] = plain + penalty
        try:
            return self._xp.linalg.solve(self._matrix, self._right)
        finally:
            self._matrix[index, index] = plain

    def _decomposed(self) -> tuple[Any, Any, Any]:
        """Return eigenvalues [rank], basis [features, rank] and coordinates [rank, targets]."""
        if self._eigen is None:
            xp = self._xp
            matrix, right = self._matrix, self._right
            if self._z is None:
                matrix = matrix / self._scale[:, None]
                matrix /= self._scale[None, :]
                right = right / self._scale[:, None]
            values, vectors = xp.linalg.eigh(matrix)
            self._vectors = vectors
            coordinates = vectors.T @ right
            basis = vectors if self._z is None else self._z.T @ vectors
            self._eigen = (xp.clip(values, min=0.0), basis, coordinates)
        return self._eigen

    def _standardised(self, X: Any) -> Any:
        x = X if _is_float64_array(X) else array_for(X, "cpu")
        return (x - self._mean) / self._scale


def _scale(xp: Any, deviation: Any, mean_square: Any) -> Any:
    """Return the standard deviation, or 1 for constant features, which stay unscaled.

    scikit-learn also leaves constant features unscaled.
    """
    constant = deviation <= 1e-9 * xp.sqrt(mean_square)
    return xp.where(constant, xp.ones_like(deviation), deviation)


def _is_float64_array(values: Any) -> bool:
    return str(getattr(values, "dtype", "")).removeprefix("torch.") == "float64"


def _checked_alphas(alphas: ArrayLike) -> Floats:
    penalties = np.atleast_1d(np.asarray(alphas, dtype=np.float64))
    if not (penalties > 0).all():
        raise ProbingError(f"penalties must be positive, not {penalties.min()}")
    return penalties
