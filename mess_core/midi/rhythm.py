"""Note values of a player's intervals, and the local tempo that follows from them.

Onsets alone do not determine whether an interval is a slow sixteenth or a fast eighth. The usual
solution is a hidden Markov model whose states are tempi, with costs for tempo changes and for
unusual note values (Cemgil and Kappen, "Monte Carlo methods for tempo tracking and rhythm
quantization", JAIR 2003; Nakamura et al., IEEE/ACM TASLP 2017). Here the most probable path is
found exactly, over 64 tempi and 13 note values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = [
    "NoteValues",
    "beat_times",
    "log2_tempo",
    "note_values",
    "tempo_spread",
    "tempo_trend",
]

Floats = NDArray[np.float64]

# log2 of note values relative to the unit: 1/8 to 4, triplets and dots among them.
_VALUES = np.log2([1 / 8, 1 / 6, 1 / 4, 1 / 3, 3 / 8, 1 / 2, 2 / 3, 3 / 4, 1, 1.5, 2, 3, 4])
_UNUSUAL = 1 + np.abs(_VALUES) + 2 * (np.abs(_VALUES - np.round(_VALUES)) > 0.1)
_COST = 0.7 * _UNUSUAL
_TEMPI = np.arange(-1.5, 2.5, 1 / 16)  # log2 seconds per unit around the median interval
_REACH = 8  # tempo steps that one interval may change by: half an octave
_STEP_COST = 1.2
_SPREAD = 0.1  # of log2 intervals around their note value
_TIMING_S = 0.012  # of single onsets
_SHORTEST_S, _LONGEST_S = 0.03, 6.0
_BLOCK = 16_384  # intervals decoded at once: bounds memory at 50 MB
_BEAT_S = 0.6
_TREND_BEATS = 9


@dataclass(frozen=True)
class NoteValues:
    """Note values decoded from successive intervals.

    Attributes
    ----------
    value : ndarray, float64, shape [intervals]
        log2 of each interval's note value in units.
    unit_s : float
        Median duration of a unit in seconds.
    """

    value: Floats
    unit_s: float

    @property
    def beat(self) -> float:
        """Units per beat: the power of two whose duration is nearest to 0.6 s."""
        return float(2.0 ** np.round(np.log2(_BEAT_S / self.unit_s)))

    @property
    def position(self) -> Floats:
        """Score position of each onset in beats from 0, float64 [intervals + 1]."""
        position: Floats = np.concatenate([[0.0], np.cumsum(2.0**self.value)]) / self.beat
        return position


def note_values(intervals_s: Floats, *, persistence: float | None = None) -> NoteValues:
    """Return the most probable note values of successive intervals.

    Parameters
    ----------
    intervals_s : ndarray, float64, shape [intervals]
        Seconds between successive chords, all positive; at least one.
    persistence : float, optional
        Log probability that a note value repeats the last one; None treats each separately.

    Returns
    -------
    NoteValues
    """
    parts, units = [], []
    for first in range(0, len(intervals_s), _BLOCK):
        part = np.clip(intervals_s[first : first + _BLOCK], _SHORTEST_S, _LONGEST_S)
        log_interval = np.log2(part)
        # The inaccuracy of single onsets matters more in short intervals.
        spread = np.hypot(_SPREAD, _TIMING_S * np.log2(np.e) / part)
        tempi = float(np.median(log_interval)) + _TEMPI
        value, tempo = _most_probable(
            log_interval, spread, tempi, -1e9 if persistence is None else persistence
        )
        parts.append(_VALUES[value])
        units.append(tempi[tempo])
    return NoteValues(np.concatenate(parts), float(2.0 ** np.median(np.concatenate(units))))


def beat_times(onset_s: Floats, position: Floats, beats: Floats, *, smooth: bool = False) -> Floats:
    """Return the times of beats in seconds, by interpolation between onsets.

    Parameters
    ----------
    onset_s, position : ndarray, float64, shape [onsets]
        Ascending times and score positions (beats).
    beats : ndarray, float64, shape [beats]
        Positions whose times are returned.
    smooth : bool
        Average the time over one beat around each position: less precise, but less sensitive
        to single onsets that were matched wrongly.

    Returns
    -------
    ndarray, float64, shape [beats]
    """
    if not smooth:
        plain: Floats = np.interp(beats, position, onset_s)
        return plain
    offsets = np.linspace(-0.5, 0.5, 9)
    around: Floats = np.interp(beats[:, None] + offsets, position, onset_s).mean(axis=1)
    return around


def log2_tempo(beats_s: Floats) -> Floats:
    """Return log2(BPM / 60) between successive beat times, float64 [beats - 1]."""
    tempo: Floats = -np.log2(np.maximum(np.diff(beats_s), 1e-3))
    return tempo


def tempo_spread(log2_tempo: Floats) -> tuple[float, float]:
    """Return the spread of tempo around its slow trend, and that of the trend, in octaves.

    Parameters
    ----------
    log2_tempo : ndarray, float64, shape [beats]
        NaN where the tempo is not known.

    Returns
    -------
    rubato, variability : float
        Standard deviations; the trend is the mean over 9 beats. NaN with fewer than 10 beats.
    """
    if np.isfinite(log2_tempo).sum() < _TREND_BEATS + 1:
        return float("nan"), float("nan")
    trend = tempo_trend(log2_tempo)
    trusted = np.isfinite(trend)
    return float(np.std((log2_tempo - trend)[trusted])), float(np.std(trend[trusted]))


def tempo_trend(log2_tempo: Floats) -> Floats:
    """Return the mean tempo over 9 beats, NaN where the tempo there is not known.

    Parameters
    ----------
    log2_tempo : ndarray, float64, shape [..., beats]
        NaN where the tempo is not known.
    """
    from scipy.ndimage import uniform_filter1d

    known = np.isfinite(log2_tempo)
    weight = uniform_filter1d(known.astype(float), _TREND_BEATS, mode="nearest")
    total = uniform_filter1d(np.where(known, log2_tempo, 0.0), _TREND_BEATS, mode="nearest")
    trend: Floats = np.full(log2_tempo.shape, np.nan)
    np.divide(total, weight, out=trend, where=known & (weight > 0.3))
    return trend


@numba.njit(cache=True)
def _viterbi(
    log_interval: Any, spread: Any, tempi: Any, values: Any, cost: Any, step: float, stay: float
) -> Any:
    """Return the indices of the most probable note value and tempo of each interval."""
    count, rows, columns = len(log_interval), len(values), len(tempi)
    score = np.empty((rows, columns))
    best = np.empty((rows, columns))
    origin = np.empty((rows, columns), np.int16)
    from_tempo = np.zeros((count, rows, columns), np.int16)
    from_value = np.zeros((count, rows, columns), np.int8)
    for row in range(rows):
        for column in range(columns):
            off = (log_interval[0] - tempi[column] - values[row]) / spread[0]
            score[row, column] = -cost[row] - 0.5 * off * off
    for index in range(1, count):
        for row in range(rows):
            for column in range(columns):
                highest, at = -1e18, column
                for other in range(max(0, column - _REACH), min(columns, column + _REACH + 1)):
                    found = score[row, other] - abs(column - other) * step
                    if found > highest:
                        highest, at = found, other
                best[row, column] = highest
                origin[row, column] = at
        for column in range(columns):
            top = 0
            for row in range(1, rows):
                if best[row, column] > best[top, column]:
                    top = row
            for row in range(rows):
                off = (log_interval[index] - tempi[column] - values[row]) / spread[index]
                same = best[row, column] + stay
                changed = best[top, column] - cost[row]
                source = row if same >= changed else top
                score[row, column] = max(same, changed) - 0.5 * off * off
                from_value[index, row, column] = source
                from_tempo[index, row, column] = origin[source, column]
    last = int(np.argmax(score))
    row, column = last // columns, last % columns
    value = np.empty(count, np.int64)
    tempo = np.empty(count, np.int64)
    for index in range(count - 1, -1, -1):
        value[index], tempo[index] = row, column
        row, column = from_value[index, row, column], from_tempo[index, row, column]
    return value, tempo


def _most_probable(
    log_interval: Floats, spread: Floats, tempi: Floats, stay: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    value, tempo = _viterbi(log_interval, spread, tempi, _VALUES, _COST, _STEP_COST, stay)
    return value, tempo
