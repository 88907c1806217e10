"""Permutation test under the null hypothesis that targets are unrelated to the features.

Rows of a work resemble each other in features and in targets, so single rows must not be
shuffled. Instead, whole works of equal size are exchanged, and so are performances within a
work. If folds use groups of works, whole groups are exchanged too. These are the
exchangeability blocks of Winkler et al., "Multi-level block permutation", NeuroImage 2015.
Scores are compared with the largest score over layers in every permutation (Westfall and
Young, 1993), which corrects for testing many layers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["permutation_p", "work_block_permutations"]

Floats = NDArray[np.float64]


def work_block_permutations(
    works: Sequence[str],
    count: int,
    *,
    seed: int,
    groups: Sequence[str] | None = None,
    within: bool = True,
) -> NDArray[np.int64]:
    """Return permutations of rows on three levels: groups, works and performances.

    Whole groups are exchanged if they have works of the same sizes, works of equal size are
    exchanged within their group, and rows within their work. This preserves the similarity of
    rows within a work and of works within a group.

    Parameters
    ----------
    works : sequence of str, length rows
    count : int
    seed : int
    groups : sequence of str, length rows, optional
        Groups that folds keep on one side; each work is its own group if not given. A work in
        several groups counts as a separate work in each.
    within : bool
        Whether to permute rows within a work; use False for rows that are ordered in time.

    Returns
    -------
    ndarray, int64, shape [count, rows]
        Row to take the target from. If few rows can be exchanged, permutations repeat and
        p-values become larger.
    """
    outer = works if groups is None else groups
    blocks: dict[str, dict[str, list[int]]] = {}
    for row, (group, work) in enumerate(zip(outer, works, strict=True)):
        blocks.setdefault(str(group), {}).setdefault(str(work), []).append(row)
    by_sizes: dict[tuple[int, ...], list[list[list[int]]]] = {}
    for _, members in sorted(blocks.items()):
        ordered = sorted(members.values(), key=len)
        by_sizes.setdefault(tuple(map(len, ordered)), []).append(ordered)
    rng = np.random.default_rng([seed, 41])
    result = np.empty((count, len(works)), dtype=np.int64)
    for permutation in result:
        for sizes, same in by_sizes.items():
            for position, source in enumerate(rng.permutation(len(same))):
                taken = _shuffled(same[source], np.asarray(sizes), rng, within)
                permutation[np.concatenate(same[position])] = taken
    return result


def _shuffled(
    works: list[list[int]], sizes: NDArray[np.int64], rng: np.random.Generator, within: bool
) -> NDArray[np.int64]:
    """Return the rows of a group with works of equal size shuffled, and rows within works."""
    order = np.arange(len(works))
    for size in np.unique(sizes):
        of_size = np.flatnonzero(sizes == size)
        order[of_size] = rng.permutation(of_size)
    rows = [np.asarray(works[work]) for work in order]
    return np.concatenate([rng.permutation(one) if within else one for one in rows])


def permutation_p(observed: Floats, largest: Floats) -> Floats:
    """Return p-values: the share of permutations whose largest score reaches the observed one.

    The observed arrangement is counted as a permutation (Phipson and Smyth, 2010), so p is
    never 0.

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
    # The identity permutation may differ in the last bits; it must count as reaching the score.
    threshold = observed - 1e-9 * (1 + np.abs(observed))
    reached = (largest[:, None] >= threshold[None]).sum(axis=0)
    result: Floats = (1 + reached) / (1 + len(largest))
    return result
