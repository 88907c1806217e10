"""What callers hand to probing, checked: one clear error instead of an obscure one later."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mess_core.errors import ProbingError

__all__ = ["checked_features", "checked_layers", "checked_names"]


def checked_features(values: ArrayLike, name: str, rows: int) -> NDArray[Any]:
    """Features as an array [rows, layers, dim] without NaN."""
    x = np.asarray(values)
    if x.ndim != 3 or len(x) != rows:
        raise ProbingError(
            f"{name} must be [tracks, layers, dim] with a row of Y and a work per track; got "
            f"{list(x.shape)} for {rows} rows of Y"
        )
    if not np.isfinite(x).all():
        raise ProbingError(f"the embeddings ({name}) hold NaN or infinite values")
    return x


def checked_layers(layers: Sequence[int] | None, count: int) -> list[int]:
    """Numbers of the layers, each once; 0, 1, ... if not given."""
    numbers = list(range(count)) if layers is None else [int(layer) for layer in layers]
    if len(numbers) != count:
        raise ProbingError(f"{len(numbers)} layer numbers for {count} layers")
    if len(set(numbers)) < count:
        raise ProbingError(f"a layer is listed twice: {numbers}")
    return numbers


def checked_names(names: Sequence[str], what: str, rows: int) -> NDArray[np.str_]:
    """Works or groups, one known name per row."""
    if len(names) != rows:
        raise ProbingError(f"{len(names)} {what} for {rows} tracks")
    # NaN is the one value that is not equal to itself.
    if any(name is None or name != name for name in names):
        raise ProbingError(
            f"{what} has a missing name",
            remedy="Unknown works are not one work: give each such track a name of its own",
        )
    return np.asarray(names, dtype=str)
