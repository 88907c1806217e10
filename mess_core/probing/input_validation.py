"""Validation of probing inputs, so that invalid arrays raise a clear error early."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mess_core.errors import ProbingError

__all__ = ["checked_features", "checked_layers", "checked_names"]


def checked_features(values: ArrayLike, name: str, rows: int) -> NDArray[Any]:
    """Return features as an array [rows, layers, dim] of finite values."""
    x = np.asarray(values)
    if x.ndim != 3 or len(x) != rows:
        raise ProbingError(
            f"{name} must be [tracks, layers, dim] with one row of Y and one work per track; got "
            f"{list(x.shape)} for {rows} rows of Y"
        )
    if not np.isfinite(x).all():
        raise ProbingError(f"the embeddings ({name}) contain NaN or infinite values")
    return x


def checked_layers(layers: Sequence[int] | None, count: int) -> list[int]:
    """Return the layer numbers, all distinct; 0, 1, ... if not given."""
    numbers = list(range(count)) if layers is None else [int(layer) for layer in layers]
    if len(numbers) != count:
        raise ProbingError(f"{len(numbers)} layer numbers for {count} layers")
    if len(set(numbers)) < count:
        raise ProbingError(f"a layer is listed twice: {numbers}")
    return numbers


def checked_names(names: Sequence[str], what: str, rows: int) -> NDArray[np.str_]:
    """Return works or groups as an array of str, one name per row."""
    if len(names) != rows:
        raise ProbingError(f"{len(names)} {what} for {rows} tracks")
    # NaN is the one value that is not equal to itself.
    if any(name is None or name != name for name in names):
        raise ProbingError(
            f"{what} has a missing name",
            remedy="Give each track of an unknown work a unique name: they are not one work",
        )
    return np.asarray(names, dtype=str)
