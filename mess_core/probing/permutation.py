"""The null: what scores look like when targets have nothing to do with the features.

Rows of a work resemble each other in features and in targets, so single rows must not be
shuffled. Works of equal size swap places whole, and performances change places within their
work: the exchangeability blocks of Winkler et al., "Multi-level block permutation",
NeuroImage 2015. The largest score over layers is compared with the largest over layers of
every permutation (Westfall and Young, 1993), so trying many layers costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["false_discovery_rate", "permutation_p", "work_block_permutations"]

Floats = NDArray[np.float64]


def work_block_permutations(
    blocks: Sequence[str], count: int, *, seed: int, within: bool = True
) -> NDArray[np.int64]:
    """Permutations of rows that keep blocks whole.

    Parameters
    ----------
    blocks : sequence of str, length rows
        Works, or what folds keep together.
    count : int
    seed : int
    within : bool
        Whether rows of a block change places among themselves too; not for rows with an
        order in time.

    Returns
    -------
    ndarray, int64, shape [count, rows]
        Row to take the target from. A block moves only to blocks of its size, so with few
        rows of a size permutations repeat, which is safe: p comes out larger.
    """
    names, inverse = np.unique(np.asarray(blocks, dtype=str), return_inverse=True)
    members = [np.flatnonzero(inverse == block) for block in range(len(names))]
    by_size: dict[int, NDArray[np.int64]] = {}
    for size in sorted({len(rows) for rows in members}):
        by_size[size] = np.stack([rows for rows in members if len(rows) == size])
    rng = np.random.default_rng([seed, 41])
    result = np.empty((count, len(inverse)), dtype=np.int64)
    for permutation in result:
        for rows in by_size.values():  # [blocks, size]
            taken = rows[rng.permutation(len(rows))]
            if within:
                taken = rng.permuted(taken, axis=1)
            permutation[rows.ravel()] = taken.ravel()
    return result


def permutation_p(observed: Floats, largest: Floats) -> Floats:
    """Share of permutations whose largest score reaches the observed one.

    The observed arrangement counts as one (Phipson and Smyth, 2010), so p is never 0.

    Parameters
    ----------
    observed : ndarray, float64, shape [layers, targets]
    largest : ndarray, float64, shape [permutations, targets]
        Largest score over layers.

    Returns
    -------
    ndarray, float64, shape [layers, targets]
        NaN without permutations.
    """
    if len(largest) == 0:
        return np.full(observed.shape, np.nan)
    reached = (largest[:, None] >= observed[None]).sum(axis=0)
    result: Floats = (1 + reached) / (1 + len(largest))
    return result


def false_discovery_rate(p: Floats) -> Floats:
    """Benjamini-Hochberg adjusted p-values of those that are not NaN (SciPy's)."""
    from scipy.stats import false_discovery_control

    adjusted = np.full(p.shape, np.nan)
    known = np.isfinite(p)
    if known.any():
        adjusted[known] = false_discovery_control(p[known])
    return adjusted
