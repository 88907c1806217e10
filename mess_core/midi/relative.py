"""Several performances of one work, each compared with the others.

All performances are aligned to one of them. The median of their intervals over players removes
individual deviations and gives note values, and thus a beat that all share. On this beat, every
performance has a tempo curve and, relative to the mean of the others, a tempo, a dynamics and an
articulation curve. Passages that only some play, or play differently, are excluded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mess_core.errors import MidiError
from mess_core.midi.alignment import TRUSTED, align
from mess_core.midi.performance import Performance
from mess_core.midi.repeats_and_cuts import Unshared, unshared_stretches
from mess_core.midi.rhythm import beat_times, log2_tempo, note_values, tempo_trend

__all__ = ["AlignedPerformance", "AlignedPerformances", "align_performances"]

_PERSISTENCE = -0.1
_SHORTEST_S = 0.02
_SAME_MOMENT = -6.0  # log2 units between chords that no performance separates
_UNLIKELY = 1.0  # octaves between a beat's relative tempo and its neighbours' median
_FAR_BEATS = 2.0  # from a beat to the nearest matched chord
_MEDIAN_BEATS = 9
_COMMON_WEIGHT, _COMMON_MOST = 0.7, 0.3  # octaves

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class AlignedPerformances:
    """Performances of one work on a common beat; NaN where one does not match the others.

    Attributes
    ----------
    reference : int
        Index of the performance that the others were aligned to.
    beats_s : ndarray, float64, shape [performances, beats]
        Time at which each performance passes each beat, in seconds.
    log2_tempo : ndarray, float64, shape [performances, beats - 1]
        log2(BPM / 60) of each beat.
    velocity : ndarray, float64, shape [performances, beats - 1]
        Mean MIDI velocity of the corresponding notes.
    log2_length : ndarray, float64, shape [performances, beats - 1]
        Mean log2 of key-down time over the beat's duration, of the corresponding notes.
    unshared : tuple of tuple of Unshared
        Per performance, the repeats and cuts in which it and the reference ("a") differ.

    Examples
    --------
    >>> beats_s = np.array([[0.0, 0.5, 1.0], [0.0, 1.0, 2.0]])
    >>> tempo = log2_tempo(np.array([0.0, 0.5, 1.0])), log2_tempo(np.array([0.0, 1.0, 2.0]))
    >>> velocity = np.array([[60.0, 60.0], [70.0, 80.0]])
    >>> aligned = AlignedPerformances(0, beats_s, np.stack(tempo), velocity, np.zeros((2, 2)))
    >>> aligned.relative(aligned.log2_tempo).tolist()
    [[1.0, 1.0], [-1.0, -1.0]]
    >>> aligned.relative(aligned.velocity).tolist()
    [[-10.0, -20.0], [10.0, 20.0]]
    """

    reference: int
    beats_s: Floats
    log2_tempo: Floats
    velocity: Floats
    log2_length: Floats
    unshared: tuple[tuple[Unshared, ...], ...] = ()

    def spread(self, performance: int) -> tuple[float, float]:
        """Return rubato and tempo variability of one performance in octaves; see `tempo_spread`.

        What all performances have in common counts less than what is a player's own, since a wrong
        note value moves the tempo of all of them there: it is limited to 0.3 octaves around its
        median and weighted by 0.7.
        """
        if np.isfinite(self.log2_tempo[performance]).sum() < _MEDIAN_BEATS + 1:
            return float("nan"), float("nan")
        trend, fine = self._parts
        return float(np.nanstd(fine[performance])), float(np.nanstd(trend[performance]))

    @cached_property
    def _parts(self) -> tuple[Floats, Floats]:
        """The slow trend of each tempo curve and what is left, [performances, beats - 1]."""
        trend = tempo_trend(self.log2_tempo)
        return _common_limited(trend), _common_limited(self.log2_tempo - trend, around=0.0)

    def relative(self, curve: Floats) -> Floats:
        """Return curves minus the mean of the other performances, [performances, beats - 1]."""
        known = np.isfinite(curve)
        count = known.sum(axis=0) - known
        total = np.where(known, curve, 0.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            others = (total.sum(axis=0) - total) / count
        difference: Floats = np.where(known & (count > 0), curve - others, np.nan)
        return difference


@dataclass(frozen=True)
class AlignedPerformance:
    """One of several aligned performances, relative to the others."""

    group: AlignedPerformances
    index: int

    @property
    def spread(self) -> tuple[float, float]:
        """Rubato and tempo variability in octaves."""
        return self.group.spread(self.index)

    @property
    def relative_tempo(self) -> Floats:
        """log2 tempo minus the mean of the others', [beats - 1]."""
        curve: Floats = self.group.relative(self.group.log2_tempo)[self.index]
        return curve

    @property
    def relative_velocity(self) -> Floats:
        """MIDI velocity minus the mean of the others', [beats - 1]."""
        curve: Floats = self.group.relative(self.group.velocity)[self.index]
        return curve

    @property
    def relative_length(self) -> Floats:
        """log2 key-down time per beat minus the mean of the others', [beats - 1]."""
        curve: Floats = self.group.relative(self.group.log2_length)[self.index]
        return curve


def align_performances(performances: Sequence[Performance]) -> AlignedPerformances:
    """Align performances of one work to a common beat.

    Parameters
    ----------
    performances : sequence of Performance
        At least two. A performance that shares less than half of its notes with the reference
        (the performance with the median number of notes) is NaN throughout.

    Returns
    -------
    AlignedPerformances

    Raises
    ------
    MidiError
        If there are fewer than two, or too few chords in common to find a beat.

    Examples
    --------
    >>> from mess_core.datasets.demo import Expression, demo_score, perform
    >>> performances = []
    >>> for factor in (1.0, 1.25):
    ...     notes = perform(demo_score(0), Expression(tempo_factor=factor), seed=0)
    ...     performances.append(notes.performance)
    >>> aligned = align_performances(performances)
    >>> relative = aligned.relative(aligned.log2_tempo)
    >>> (2 ** np.nanmedian(relative, axis=1)).round(2).tolist()
    [0.8, 1.25]
    """
    if len(performances) < 2:
        raise MidiError("one performance alone cannot be compared")
    by_notes = np.argsort([len(one) for one in performances], kind="stable")
    reference = int(by_notes[len(by_notes) // 2])
    first = performances[reference]
    chords = len(first.chord_onset_s)
    shape = (len(performances), chords)
    time_s, velocity, length = (np.full(shape, np.nan) for _ in range(3))
    unshared: list[tuple[Unshared, ...]] = [()] * len(performances)
    for row, other in enumerate(performances):
        if row == reference:
            notes = np.arange(len(first))
            time_s[row] = first.chord_onset_s
            _fill(row, first, notes, notes, first, velocity, length)
            continue
        try:
            alignment = align(first, other)
        except MidiError:
            continue  # nothing in common: its rows stay NaN
        if alignment.agreement.mean() < TRUSTED:
            continue
        unshared[row] = tuple(unshared_stretches(first, other, alignment))
        anchor = np.searchsorted(first.chord_onset_s, alignment.a_s - 1e-9)
        usable = alignment.agreement >= TRUSTED
        time_s[row, anchor[usable]] = alignment.b_s[usable]
        trusted = alignment.trusted(first.onset_s[alignment.a_note])
        a_note, b_note = alignment.a_note[trusted], alignment.b_note[trusted]
        _fill(row, first, a_note, b_note, other, velocity, length)
    position = _shared_positions(time_s)
    beats = np.arange(np.floor(position[-1]) + 1)
    if len(beats) < _MEDIAN_BEATS + 1:
        raise MidiError(f"has only {len(beats)} beats in common with the other performances")
    beats_s = np.full((len(performances), len(beats)), np.nan)
    for row, times in enumerate(time_s):
        known = np.flatnonzero(np.isfinite(times))
        if len(known) > 1:
            near = position[known]
            passed = beat_times(times[known], near, beats, smooth=True)
            gap = np.abs(beats[:, None] - _neighbours(near, beats)).min(axis=1)
            inside = (beats >= near[0]) & (beats <= near[-1]) & (gap <= _FAR_BEATS)
            beats_s[row] = np.where(inside, passed, np.nan)
    tempo = _without_unlikely(np.stack([log2_tempo(times) for times in beats_s]))
    bins = np.clip(np.floor(position).astype(int), 0, len(beats) - 2)
    return AlignedPerformances(
        reference=reference,
        beats_s=beats_s,
        log2_tempo=tempo,
        velocity=_per_beat(velocity, bins, len(beats) - 1),
        log2_length=_per_beat(length, bins, len(beats) - 1) + tempo,
        unshared=tuple(unshared),
    )


def _common_limited(curves: Floats, around: float | None = None) -> Floats:
    """Return curves in which what they have in common is limited and weighted less."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # beats that no performance plays
        common = np.nanmedian(curves, axis=0)
        middle = np.nanmedian(common) if around is None else around
    limited = _COMMON_WEIGHT * np.clip(common - middle, -_COMMON_MOST, _COMMON_MOST)
    return curves - common + limited


def _fill(
    row: int,
    first: Performance,
    a_note: NDArray[np.int64],
    b_note: NDArray[np.int64],
    other: Performance,
    velocity: Floats,
    length: Floats,
) -> None:
    """Fill one row with mean velocity and log2 key-down seconds of each chord's matched notes."""
    chord = first.chord_of_note[a_note]
    count = np.bincount(chord, minlength=velocity.shape[1])
    seconds = np.log2(other.offset_s[b_note] - other.onset_s[b_note])
    for table, values in ((velocity, other.velocity[b_note]), (length, seconds)):
        with np.errstate(invalid="ignore"):
            table[row] = np.bincount(chord, weights=values, minlength=velocity.shape[1]) / count


def _shared_positions(time_s: Floats) -> Floats:
    """Return the beat position of each reference chord from all intervals, [chords]."""
    import warnings

    interval = np.diff(time_s, axis=1)
    with warnings.catch_warnings(), np.errstate(invalid="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)  # chords that no performance separates
        log_interval = np.where(interval > _SHORTEST_S, np.log2(interval), np.nan)
        typical = np.nanmedian(log_interval, axis=1, keepdims=True)
        shared = np.nanmedian(log_interval - typical, axis=0)
        level = np.nanmedian(typical)
    known = np.isfinite(shared)
    if known.sum() < 2:
        raise MidiError("has too few chords in common with the other performances")
    decoded = note_values(2.0 ** (shared[known] + level), persistence=_PERSISTENCE)
    value = np.full(len(shared), _SAME_MOMENT)
    value[known] = decoded.value
    position: Floats = np.concatenate([[0.0], np.cumsum(2.0**value)]) / decoded.beat
    return position


def _neighbours(position: Floats, beats: Floats) -> Floats:
    """Return the positions of the chords before and after each beat, [beats, 2]."""
    after = np.clip(np.searchsorted(position, beats), 1, len(position) - 1)
    both: Floats = np.stack([position[after - 1], position[after]], axis=1)
    return both


def _without_unlikely(tempo: Floats) -> Floats:
    """Set to NaN where a performance departs so suddenly that notes were mismatched."""
    import warnings

    from scipy.ndimage import median_filter

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # beats that no performance plays
        own = tempo - np.nanmedian(tempo, axis=1, keepdims=True)
        relative = own - np.nanmedian(own, axis=0)
    filled = np.where(np.isfinite(relative), relative, 0.0)
    usual = median_filter(filled, (1, _MEDIAN_BEATS), mode="nearest")
    return np.where(np.abs(filled - usual) > _UNLIKELY, np.nan, tempo)


def _per_beat(values: Floats, bins: NDArray[np.int64], count: int) -> Floats:
    """Return the mean over the chords of each beat, [performances, beats - 1]."""
    result = np.full((len(values), count), np.nan)
    for row, one in enumerate(values):
        known = np.isfinite(one)
        number = np.bincount(bins[known], minlength=count)
        with np.errstate(invalid="ignore", divide="ignore"):
            result[row] = np.bincount(bins[known], weights=one[known], minlength=count) / number
    return result
