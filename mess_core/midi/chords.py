"""Which notes are struck together, however far they are spread.

No fixed window fits: 30 ms cut off the spread of slow chords, and 90 ms join the notes of a fast
scale. What counts as together depends on how far apart the chords around are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mess_core.midi.performance import Performance

__all__ = ["asynchrony_ms", "struck_together"]

_SHARE = 0.6  # of the median interval around a chord
_AROUND = 15  # intervals
_LEAST_S, _MOST_S = 0.03, 0.09


def asynchrony_ms(onset_s: NDArray[np.float64], chord: NDArray[np.int64]) -> float:
    """Return the root mean square deviation of onsets from their chord's mean onset, in ms.

    Parameters
    ----------
    onset_s : ndarray, float64, shape [notes]
    chord : ndarray, int64, shape [notes]
        Index of each note's chord. Notes that are alone in theirs do not count.

    Returns
    -------
    float
        NaN where no chord has two notes.

    Examples
    --------
    >>> asynchrony_ms(np.array([0.0, 0.02, 1.0]), np.array([0, 0, 1]))
    10.0
    """
    size = np.bincount(chord)
    together = size[chord] > 1
    if not together.any():
        return float("nan")
    mean_s = np.bincount(chord, weights=onset_s) / np.maximum(size, 1)
    return float(1000.0 * np.sqrt(np.mean(np.square((onset_s - mean_s[chord])[together]))))


def struck_together(performance: Performance) -> NDArray[np.int64]:
    """Return the index of each note's chord, with a window that follows the local pace.

    A chord ends where the next note comes later than 0.6 of the median interval around it after
    its first note (30 to 90 ms), or strikes one of its keys again.

    Parameters
    ----------
    performance : Performance

    Returns
    -------
    ndarray, int64, shape [notes]
        Ascending from 0.

    Examples
    --------
    A chord spread over 60 ms in slow music, and a scale of one note every 60 ms:

    >>> slow = np.concatenate([[0.0, 0.03, 0.06], 0.5 * np.arange(1, 13)])
    >>> onset = np.concatenate([slow, 7.0 + 0.06 * np.arange(20)])
    >>> pitch, velocity = 40 + np.arange(35), np.full(35, 64)
    >>> chord = struck_together(Performance(onset, onset + 0.1, pitch, velocity, np.empty((0, 2))))
    >>> chord[:6].tolist(), len(np.unique(chord[15:]))
    ([0, 0, 0, 1, 2, 3], 20)
    """
    from scipy.ndimage import median_filter

    starts = performance.chord_onset_s
    if len(starts) < 2:
        return performance.chord_of_note
    pace_s = median_filter(np.diff(starts), size=_AROUND, mode="reflect")
    window_s = np.clip(_SHARE * np.append(pace_s, pace_s[-1]), _LEAST_S, _MOST_S)
    allowed_s = window_s[performance.chord_of_note].tolist()
    chord = np.zeros(len(performance), dtype=np.int64)
    first_s, most_s, keys, number = -np.inf, 0.0, set[int](), -1
    notes = zip(performance.onset_s.tolist(), performance.pitch.tolist(), allowed_s, strict=True)
    for index, (onset_s, pitch, window) in enumerate(notes):
        if onset_s - first_s > most_s or pitch in keys:
            number += 1
            first_s, most_s, keys = onset_s, window, set()
        keys.add(pitch)
        chord[index] = number
    return chord
