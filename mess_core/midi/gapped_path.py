"""The path through the chords of two performances by their notes, with gaps of any length.

Global alignment with affine gap costs (Gotoh, "An improved algorithm for matching biological
sequences", Journal of Molecular Biology 1982): to open a gap costs much and to extend it little,
so a repeat that only one performance plays is one gap, and not many small ones between chords that
happen to be alike, as in dynamic time warping. Time grows with the product of the numbers of
chords, memory by one byte for each pair. (Libraries for biological sequences take an alphabet and
a substitution matrix, and not a similarity of any two chords.)
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["gapped_path"]

_UNLIKE = 0.3  # similarity of chords below which not to match them is better
_OPEN, _EXTEND = 0.5, 0.05
_ROWS = 512  # chords of a that are compared with all of b at a time
# What a cell holds: which state its match comes from, and whether the two gaps go on from
# themselves or, for b, follow a gap in a.
_MATCH, _ONLY_A, _ONLY_B, _FIRST = 0, 1, 2, 3
_A_GOES_ON, _B_GOES_ON, _B_AFTER_A = 4, 8, 16

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def gapped_path(a: NDArray[np.floating[Any]], b: NDArray[np.floating[Any]]) -> tuple[Ints, Ints]:
    """Return pairs of corresponding chords, ascending on both sides.

    Parameters
    ----------
    a, b : ndarray, float, shape [chords, features]
        Chords as unit vectors; they are compared by the cosine.

    Returns
    -------
    a, b : ndarray, int64, shape [pairs]
        Indices of chords; each occurs at most once.

    Examples
    --------
    >>> chords = np.eye(26)
    >>> first = chords[[0, 1, 2, 3, 4]]
    >>> second = chords[[0, 1, 2, 0, 1, 2, 3, 4]]
    >>> mine, theirs = gapped_path(first, second)
    >>> mine.tolist(), np.diff(theirs).tolist()
    ([0, 1, 2, 3, 4], [1, 1, 4, 1])
    """
    fill, trace = _compiled()
    first, second = a.astype(np.float32), b.astype(np.float32)
    scores = np.full((3, len(b)), -np.inf)
    steps = np.zeros((len(a), len(b)), dtype=np.int8)
    for row in range(0, len(a), _ROWS):
        fill(first[row : row + _ROWS] @ second.T, row, scores, steps)
    left = len(b) - 1 - np.arange(len(b))
    scores -= _EXTEND * left + _OPEN * (left > 0)
    state, column = np.unravel_index(int(scores[:2].argmax()), (2, len(b)))
    mine, theirs = trace(steps, int(state), int(column))
    return mine, theirs


@cache
def _compiled() -> tuple[Any, Any]:
    import numba

    compile_ = numba.njit(cache=True)
    return compile_(_fill), compile_(_trace)


def _fill(similarity: NDArray[np.float32], row: int, scores: Floats, steps: NDArray[Any]) -> None:
    """Fill the steps of some rows, of which the first is `row`, and update the scores.

    Scores are those of the row before, by state: match, gap in b (only a plays), gap in a.
    """
    match, only_a, only_b = scores
    for one in range(len(similarity)):
        i = row + one
        left_match, left_a, left_b = -np.inf, -np.inf, -np.inf
        for j in range(len(match)):
            above_match, above_a, above_b = match[j], only_a[j], only_b[j]
            best, step = left_match, _MATCH
            if left_a > best:
                best, step = left_a, _ONLY_A
            if left_b > best:
                best, step = left_b, _ONLY_B
            if i == 0 or j == 0:
                alone = -_EXTEND * (i + j) - (_OPEN if i + j else 0.0)
                if alone > best:
                    best, step = alone, _FIRST
            alone_a = above_match - _OPEN
            if above_a - _EXTEND > alone_a:
                alone_a = above_a - _EXTEND
                step += _A_GOES_ON
            alone_b, from_ = -np.inf, 0
            if j:
                alone_b = match[j - 1] - _OPEN
                if only_b[j - 1] - _EXTEND > alone_b:
                    alone_b, from_ = only_b[j - 1] - _EXTEND, _B_GOES_ON
                if only_a[j - 1] - _OPEN > alone_b:
                    alone_b, from_ = only_a[j - 1] - _OPEN, _B_AFTER_A
            step += from_
            match[j] = best + similarity[one, j] - _UNLIKE
            only_a[j], only_b[j] = alone_a, alone_b
            left_match, left_a, left_b = above_match, above_a, above_b
            steps[i, j] = step


def _trace(steps: NDArray[Any], state: int, j: int) -> tuple[Ints, Ints]:
    i, pairs = len(steps) - 1, len(steps)
    a, b = np.empty(pairs, dtype=np.int64), np.empty(pairs, dtype=np.int64)
    while i >= 0 and j >= 0:
        step = steps[i, j]
        if state == _MATCH:
            pairs -= 1
            a[pairs], b[pairs] = i, j
            state = step & 3
            if state == _FIRST:
                break
            i, j = i - 1, j - 1
        elif state == _ONLY_A:
            state = _ONLY_A if step & _A_GOES_ON else _MATCH
            i -= 1
        else:
            if step & _B_AFTER_A:
                state = _ONLY_A
            elif not step & _B_GOES_ON:
                state = _MATCH
            j -= 1
    return a[pairs:], b[pairs:]
