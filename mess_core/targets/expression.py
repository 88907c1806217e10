"""Expression, as MIDI tells it: velocities, timing and key overlap.

Everything here is invariant to transposition, and, except velocities, to gain.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mess_core.midi.performance import Performance
from mess_core.targets.registry import target

__all__ = [
    "articulation_ratio",
    "articulation_ratio_pedal",
    "local_tempo",
    "onset_timing_std",
    "pedal_fraction",
    "rubato",
    "tempo_variability",
    "velocity_mean",
    "velocity_range",
    "velocity_std",
]

_SHORTEST_IOI_S, _LONGEST_IOI_S = 0.04, 3.0
_TREND_CHORDS = 33
_REGISTER_SEMITONES = 7
# Ratios of note values that occur side by side in piano music.
_NOTE_VALUES = np.log2([0.125, 1 / 6, 0.25, 1 / 3, 0.5, 2 / 3, 0.75, 1, 1.5, 2, 3, 4, 6, 8])


@target("velocity_mean", dimension="expression", unit="MIDI", source="midi")
def velocity_mean(performance: Performance) -> float:
    """Mean key velocity over notes, 0 to 127."""
    return float(performance.velocity.mean())


@target("velocity_std", dimension="expression", unit="MIDI", source="midi")
def velocity_std(performance: Performance) -> float:
    """Standard deviation of key velocities over notes."""
    return float(performance.velocity.std())


@target("velocity_range", dimension="expression", unit="MIDI", source="midi")
def velocity_range(performance: Performance) -> float:
    """95th minus 5th percentile of key velocities."""
    low, high = np.percentile(performance.velocity, [5, 95])
    return float(high - low)


@target("rubato", dimension="expression", unit="log2", source="midi", on_segments=False)
def rubato(performance: Performance) -> float:
    """Spread of local tempo around its slow trend, in octaves; score-free.

    Robust standard deviation (from the interquartile range) of `local_tempo` minus its
    trend. NaN with fewer than 16 chords.
    """
    local, trend = local_tempo(performance)
    if len(local) < 16:
        return float("nan")
    low, high = np.percentile(local - trend, [25, 75])
    return float((high - low) / 1.349)


@target("tempo_variability", dimension="expression", unit="log2", source="midi", on_segments=False)
def tempo_variability(performance: Performance) -> float:
    """Spread of the slow tempo trend itself, in octaves; score-free.

    Standard deviation of the trend of `local_tempo`. NaN with fewer than 16 chords.
    """
    local, trend = local_tempo(performance)
    return float(trend.std()) if len(local) >= 16 else float("nan")


@target("articulation_ratio", dimension="expression", unit="1", source="midi")
def articulation_ratio(performance: Performance) -> float:
    """Median key overlap ratio within registers; below 1 staccato, above 1 legato.

    (offset - onset) / (next onset in the same register - onset), where the same register
    is within a fifth of the note; Bresin and Battel (2000) for the key overlap ratio.
    Keys only: the pedal is left out.
    """
    return _overlap_ratio(performance, performance.offset_s)


@target("articulation_ratio_pedal", dimension="expression", unit="1", source="midi", extra=True)
def articulation_ratio_pedal(performance: Performance) -> float:
    """As articulation_ratio, with notes lasting as long as the sustain pedal holds them."""
    return _overlap_ratio(performance, performance.sounding_offset_s)


@target("onset_timing_std", dimension="expression", unit="ms", source="midi")
def onset_timing_std(performance: Performance) -> float:
    """Root mean square deviation of onsets from their chord's mean onset (asynchrony).

    NaN where no two notes are struck together.
    """
    chord = performance.chord_of_note
    together = np.bincount(chord)[chord] > 1
    if not together.any():
        return float("nan")
    deviation = (performance.onset_s - performance.chord_onset_s[chord])[together]
    return float(1000.0 * np.sqrt(np.mean(np.square(deviation))))


@target("pedal_fraction", dimension="expression", unit="1", source="midi", extra=True)
def pedal_fraction(performance: Performance) -> float:
    """Share of the performance with the sustain pedal down."""
    return performance.pedal_fraction


@target("log_ioi_std", dimension="expression", unit="log2", source="midi", extra=True)
def log_ioi_std(performance: Performance) -> float:
    """Standard deviation of log2 intervals between successive chords."""
    intervals = np.diff(performance.chord_onset_s)
    return float(np.log2(intervals).std()) if len(intervals) > 1 else float("nan")


def local_tempo(performance: Performance) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Score-free local tempo of a performance, and its slow trend.

    Intervals between chords are compared with the running median interval; the nearest
    plausible note-value ratio is taken out, and what is left is how much faster or slower
    than its surroundings the player is at that moment.

    Returns
    -------
    local : ndarray, float64, shape [intervals]
        log2 of the local tempo relative to the performance's typical one.
    trend : ndarray, float64, shape [intervals]
        Its moving average over 33 chords.
    """
    from scipy.ndimage import median_filter, uniform_filter1d

    intervals = np.diff(performance.chord_onset_s)
    usable = intervals[(intervals >= _SHORTEST_IOI_S) & (intervals <= _LONGEST_IOI_S)]
    if len(usable) < 3:
        return np.empty(0), np.empty(0)
    log_interval = np.log2(usable)
    pulse = median_filter(log_interval, size=min(_TREND_CHORDS, len(usable)), mode="nearest")
    # A change of prevailing note value shifts the pulse by a whole ratio: take that out too.
    typical = float(np.median(pulse))
    pulse_residual = _without_note_value(pulse - typical)
    residual = _without_note_value(log_interval - pulse)
    local = -(residual + pulse_residual)
    trend = uniform_filter1d(local, size=min(_TREND_CHORDS, len(local)), mode="nearest")
    return local, trend


def _without_note_value(log_ratio: NDArray[np.float64]) -> NDArray[np.float64]:
    nearest = np.abs(log_ratio[:, None] - _NOTE_VALUES[None]).argmin(axis=1)
    residual: NDArray[np.float64] = log_ratio - _NOTE_VALUES[nearest]
    return residual


def _overlap_ratio(performance: Performance, offset_s: NDArray[np.float64]) -> float:
    onset, pitch, chord = performance.onset_s, performance.pitch, performance.chord_of_note
    count = len(onset)
    following = np.full(count, np.inf)
    # The next onset in the register is nearly always within a few dozen notes.
    for ahead in range(1, min(64, count)):
        later = slice(ahead, count)
        here = slice(0, count - ahead)
        found = (
            np.isinf(following[here])
            & (chord[later] > chord[here])
            & (np.abs(pitch[later] - pitch[here]) <= _REGISTER_SEMITONES)
        )
        following[here] = np.where(found, onset[later], following[here])
    interval = following - onset
    usable = interval <= _LONGEST_IOI_S
    if not usable.any():
        return float("nan")
    ratio = (offset_s - onset)[usable] / interval[usable]
    return float(np.median(ratio))
