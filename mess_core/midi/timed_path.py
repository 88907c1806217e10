"""The most probable path through the chords of two performances, by their notes and by time.

Chords that are struck again and again look the same, so notes alone do not show which of them
correspond: a path may slip by one and stay there until the harmony changes. Time shows it. Given a
rough time map, a second dynamic programming pass within a band around it also compares intervals:
from one pair of corresponding chords to the next, both performances should take the same time at
their local tempo. Chords that only one of them plays are passed over at a cost.

That a matcher should use time as well as the order of notes was shown by Gingras and McAdams,
"Improved score-performance matching using both structural and temporal information from MIDI
recordings", Journal of New Music Research 40 (1), 2011.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["timed_path"]

_BAND_S = 3.0
_TEMPO_S = 3.0
"""Half of the window of the local tempo: long enough that a slip hardly changes it."""

_TEMPO_RANGE = (0.2, 5.0)
_UNLIKE = 0.3  # similarity of chords below which not to match them is better
_SKIP, _GAP = 0.3, 1.2  # one chord passed over in time, and without regard to time
_TIME_WEIGHT, _TIME_MOST = 0.6, 3.0
_JITTER_S, _JITTER_SHARE = 0.04, 0.2  # of intervals, in seconds and as a share of them
_REACH = 3  # chords from one pair of corresponding chords to the next, at most
_START, _A_ALONE, _B_ALONE = 0, 8, 1  # other values: 8 * steps in a + steps in b

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def timed_path(
    a_s: Floats, b_s: Floats, a_chords: Floats, b_chords: Floats, mapped_s: Floats
) -> tuple[Ints, Ints]:
    """Return pairs of corresponding chords, ascending in both performances.

    Parameters
    ----------
    a_s, b_s : ndarray, float64, shape [chords]
        Times of the chords of both performances in seconds, ascending.
    a_chords, b_chords : ndarray, float64, shape [chords, features]
        Chords as unit vectors.
    mapped_s : ndarray, float64, shape [chords of a]
        Where chords of a are in b, roughly (within 3 s), in seconds; ascending.

    Returns
    -------
    a, b : ndarray, int64, shape [pairs]
        Indices of chords; each occurs at most once.

    Examples
    --------
    A chord struck eight times, of which b leaves out the third:

    >>> a_s = np.arange(8.0)
    >>> b_s = np.delete(a_s, 2)
    >>> same = np.ones((8, 1))
    >>> a, b = timed_path(a_s, b_s, same, same[:7], a_s)
    >>> a.tolist()
    [0, 1, 3, 4, 5, 6, 7]
    """
    low, high = _band(mapped_s, b_s)
    a, b = _compiled()(a_s, b_s, a_chords, b_chords, low, high, _local_tempo(a_s, mapped_s))
    return a, b


def _local_tempo(a_s: Floats, mapped_s: Floats) -> Floats:
    """Return seconds in b per second in a around each chord, [chords of a]."""
    start = np.maximum(a_s - _TEMPO_S, a_s[0])
    end = np.minimum(a_s + _TEMPO_S, a_s[-1])
    passed = np.interp(end, a_s, mapped_s) - np.interp(start, a_s, mapped_s)
    tempo: Floats = np.clip(passed / np.maximum(end - start, 1e-6), *_TEMPO_RANGE)
    return tempo


def _band(mapped_s: Floats, b_s: Floats) -> tuple[Ints, Ints]:
    """Return the first and the end of the chords of b near each chord of a; both never descend.

    The bands of neighbours overlap, so that a path exists.
    """
    low = np.minimum(np.searchsorted(b_s, mapped_s - _BAND_S), len(b_s) - 1)
    high = np.maximum(np.searchsorted(b_s, mapped_s + _BAND_S), low + 1)
    high = np.maximum.accumulate(high)
    low[1:] = np.minimum(low[1:], high[:-1] - 1)
    return np.minimum.accumulate(low[::-1])[::-1].copy(), high


@cache
def _compiled() -> Any:
    import numba

    return numba.njit(cache=True)(_best_path)


def _best_path(
    a_s: Floats,
    b_s: Floats,
    a_chords: Floats,
    b_chords: Floats,
    low: Ints,
    high: Ints,
    tempo: Floats,
) -> tuple[Ints, Ints]:
    count = len(a_s)
    score = np.full((count, (high - low).max()), -np.inf)
    step = np.zeros(score.shape, dtype=np.int8)
    for i in range(count):
        for j in range(low[i], high[i]):
            best, taken = (-0.5 * _GAP * (j - low[0]) if i == 0 else -np.inf), _START
            for back_a in range(1, min(_REACH, i) + 1):
                before = i - back_a
                for back_b in range(1, _REACH + 1):
                    if not low[before] <= j - back_b < high[before]:
                        continue
                    a_took = (a_s[i] - a_s[before]) * tempo[i]
                    b_took = b_s[j] - b_s[j - back_b]
                    jitter = _JITTER_S + _JITTER_SHARE * max(a_took, b_took)
                    late = min(abs(a_took - b_took) / jitter, _TIME_MOST)
                    value = score[before, j - back_b - low[before]]
                    value -= _SKIP * (back_a + back_b - 2) + _TIME_WEIGHT * late
                    if value > best:
                        best, taken = value, 8 * back_a + back_b
            similarity = 0.0
            for k in range(a_chords.shape[1]):
                similarity += a_chords[i, k] * b_chords[j, k]
            best += similarity - _UNLIKE
            if i and low[i - 1] <= j < high[i - 1]:
                value = score[i - 1, j - low[i - 1]] - _GAP
                if value > best:
                    best, taken = value, _A_ALONE
            if j > low[i]:
                value = score[i, j - 1 - low[i]] - _GAP
                if value > best:
                    best, taken = value, _B_ALONE
            score[i, j - low[i]], step[i, j - low[i]] = best, taken
    a, b = np.empty(count, dtype=np.int64), np.empty(count, dtype=np.int64)
    i, pairs = count - 1, count
    j = low[i] + np.argmax(score[i, : high[i] - low[i]])
    while True:
        taken = step[i, j - low[i]]
        if taken not in (_A_ALONE, _B_ALONE):
            pairs -= 1
            a[pairs], b[pairs] = i, j
        if taken == _START:
            return a[pairs:], b[pairs:]
        i, j = i - taken // 8, j - taken % 8
