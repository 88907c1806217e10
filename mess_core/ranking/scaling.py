"""Standardisation of tables with missing values, and distances between rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["moments", "pair_distances", "standardise"]

Floats = NDArray[np.float64]

_CONSTANT = 1e-9


def moments(table: Floats) -> tuple[Floats, Floats]:
    """Return the mean and standard deviation of each column's finite values.

    Parameters
    ----------
    table : ndarray, float64, shape [rows, columns]

    Returns
    -------
    mean, deviation : ndarray, float64, shape [columns]
        0 and 1 for a column without values; deviation 1 for a constant column.
    """
    known = np.isfinite(table)
    count = np.maximum(known.sum(axis=0), 1)
    mean: Floats = np.where(known, table, 0.0).sum(axis=0) / count
    deviation = np.sqrt(np.square(np.where(known, table - mean, 0.0)).sum(axis=0) / count)
    return mean, np.where(deviation > _CONSTANT, deviation, 1.0)


def standardise(table: Floats, by: tuple[Floats, Floats] | None = None) -> Floats:
    """Scale each column to zero mean and unit standard deviation; missing values become 0.

    Parameters
    ----------
    table : ndarray, float64, shape [rows, columns]
    by : pair of ndarray, float64, shape [columns], optional
        `moments` of other rows, such as training rows; those of the table by default.

    Returns
    -------
    ndarray, float64, shape [rows, columns]
    """
    mean, deviation = moments(table) if by is None else by
    unit = (table - mean) / deviation
    found: Floats = np.where(np.isfinite(unit), unit, 0.0)
    return found


def pair_distances(vectors: Floats) -> Floats:
    """Return the Euclidean distances between rows.

    Parameters
    ----------
    vectors : ndarray, float64, shape [rows, columns]

    Returns
    -------
    ndarray, float64, shape [rows, rows]
    """
    from scipy.spatial.distance import cdist

    distances: Floats = cdist(vectors, vectors)
    return distances
