"""The null: what scores look like when targets have nothing to do with the features.

Rows of a work resemble each other in features and in targets, so single rows must not be
shuffled. Works of equal size swap places whole, and performances change places within their
work; so do groups of works, where folds keep such together: the exchangeability blocks of
Winkler et al., "Multi-level block permutation", NeuroImage 2015. The largest score over layers
is compared with the largest over layers of every permutation (Westfall and Young, 1993), so
trying many layers costs nothing.
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
    """Permutations of rows on three levels: groups, works, performances.

    Groups of the same sizes of works swap places whole; works of one size swap within their
    group; rows change places within their work. Nothing else moves, so neither the likeness of
    rows within a work nor that of works within a group is broken up.

    Parameters
    ----------
    works : sequence of str, length rows
    count : int
    seed : int
    groups : sequence of str, length rows, optional
        What folds keep together; each work is its own group if not given. A work that lies in
        several groups counts as one work in each.
    within : bool
        Whether rows of a work change places; not for rows with an order in time.

    Returns
    -------
    ndarray, int64, shape [count, rows]
        Row to take the target from. Where little can move, permutations repeat, and p comes out
        larger.
    """
    together = works if groups is None else groups
    blocks: dict[str, dict[str, list[int]]] = {}
    for row, (group, work) in enumerate(zip(together, works, strict=True)):
        blocks.setdefault(str(group), {}).setdefault(str(work), []).append(row)
    alike: dict[tuple[int, ...], list[list[list[int]]]] = {}
    for _, members in sorted(blocks.items()):
        ordered = sorted(members.values(), key=len)
        alike.setdefault(tuple(map(len, ordered)), []).append(ordered)
    rng = np.random.default_rng([seed, 41])
    result = np.empty((count, len(works)), dtype=np.int64)
    for permutation in result:
        for sizes, same in alike.items():
            for place, source in enumerate(rng.permutation(len(same))):
                taken = _shuffled(same[source], np.asarray(sizes), rng, within)
                permutation[np.concatenate(same[place])] = taken
    return result


def _shuffled(
    works: list[list[int]], sizes: NDArray[np.int64], rng: np.random.Generator, within: bool
) -> NDArray[np.int64]:
    """Rows of a group, works of equal size shuffled, and rows within them."""
    order = np.arange(len(works))
    for size in np.unique(sizes):
        of_size = np.flatnonzero(sizes == size)
        order[of_size] = rng.permutation(of_size)
    rows = [np.asarray(works[work]) for work in order]
    return np.concatenate([rng.permutation(one) if within else one for one in rows])


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
    # A permutation that changes nothing may differ in the last bits: it counts as reached.
    bar = observed - 1e-9 * (1 + np.abs(observed))
    reached = (largest[:, None] >= bar[None]).sum(axis=0)
    result: Floats = (1 + reached) / (1 + len(largest))
    return result
