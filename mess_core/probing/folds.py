"""Folds that keep a group (a work, a player) on one side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mess_core.errors import ProbingError

__all__ = ["grouped_folds"]


def grouped_folds(groups: Sequence[str], folds: int, *, seed: int = 0) -> NDArray[np.int64]:
    """Assign rows to folds so that no group is in two.

    scikit-learn's ``GroupKFold`` with shuffled groups: folds have equally many groups, so where
    groups differ in size, folds differ in rows.

    Parameters
    ----------
    groups : sequence of str, length rows
    folds : int
    seed : int

    Returns
    -------
    ndarray, int64, shape [rows]
        Fold of each row.

    Raises
    ------
    ProbingError
        If there are fewer groups than folds, or fewer than two folds.

    Examples
    --------
    >>> fold = grouped_folds(["a", "a", "b", "c"], 3)
    >>> bool(fold[0] == fold[1]), len(set(fold.tolist()))
    (True, 3)
    """
    from sklearn.model_selection import GroupKFold

    names = np.asarray(groups, dtype=str)
    present = len(np.unique(names))
    if folds < 2:
        raise ProbingError(f"at least 2 folds are needed, not {folds}")
    if present < folds:
        raise ProbingError(
            f"{folds} folds need at least {folds} groups, there are {present}",
            remedy="Use fewer folds, or more works",
        )
    fold = np.empty(len(names), dtype=np.int64)
    splitter = GroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    for index, (_, test) in enumerate(splitter.split(names, groups=names)):
        fold[test] = index
    return fold
