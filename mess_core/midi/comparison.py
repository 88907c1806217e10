"""Two performances of one work on a common musical time: what differs where.

The common time is the beat that `align_performances` finds from both. Further performances of the
work are carried to the same beats, so that their curves can be drawn over those of the two.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mess_core.errors import MidiError
from mess_core.midi.alignment import TRUSTED, align
from mess_core.midi.chords import struck_together
from mess_core.midi.performance import Performance
from mess_core.midi.relative import align_performances
from mess_core.midi.repeats_and_cuts import unshared_stretches
from mess_core.midi.rhythm import log2_tempo

__all__ = ["CURVES", "Comparison", "PerformanceCurves", "carry", "compare_performances"]

CURVES = {
    "tempo": "BPM",
    "velocity": "MIDI velocity",
    "articulation": "held / interval",
    "pedal": "share of the beat",
    "asynchrony": "ms",
}
"""Curves per beat, with their units."""

_FEWEST_BEATS = 8
_AROUND_BEATS = 9

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class PerformanceCurves:
    """How one performance passes the common beats.

    Attributes
    ----------
    beats_s : ndarray, float64, shape [beats]
        Time of each beat in seconds; NaN where the performances differ in their notes.
    tempo : ndarray, float64, shape [beats - 1]
        Beats per minute.
    velocity : ndarray, float64, shape [beats - 1]
        Mean MIDI velocity of the notes struck during each beat.
    articulation : ndarray, float64, shape [beats - 1]
        Mean of key-down time over the time to the next chord; 1 is legato.
    pedal : ndarray, float64, shape [beats - 1]
        Share of each beat with the sustain pedal down.
    asynchrony : ndarray, float64, shape [beats - 1]
        Mean spread of the onsets of each chord struck during the beat, in ms.
    """

    beats_s: Floats
    tempo: Floats
    velocity: Floats
    articulation: Floats
    pedal: Floats
    asynchrony: Floats


@dataclass(frozen=True)
class Comparison:
    """Two performances on a common beat.

    Attributes
    ----------
    a, b : PerformanceCurves
    links : ndarray, int64, shape [pairs, 2]
        Indices of corresponding notes of the two.
    confidence : float
        Share of the notes whose alignment is trusted, 0 to 1.
    shared_beats : int
        Beats that both play.
    differences : tuple of str
        Repeats and cuts in which the two differ, in the order of the music.
    """

    a: PerformanceCurves
    b: PerformanceCurves
    links: NDArray[np.int64]
    confidence: float
    shared_beats: int
    differences: tuple[str, ...] = ()


def compare_performances(a: Performance, b: Performance) -> Comparison:
    """Compare two performances of one work, beat by beat.

    Parameters
    ----------
    a, b : Performance

    Returns
    -------
    Comparison

    Raises
    ------
    MidiError
        If the two have too little in common.

    Examples
    --------
    >>> from mess_core.datasets.demo import Expression, demo_score, perform
    >>> takes = [Expression(tempo_factor=factor) for factor in (1.0, 1.25)]
    >>> both = [perform(demo_score(0), one, seed=0).performance for one in takes]
    >>> found = compare_performances(*both)
    >>> round(float(np.nanmedian(found.b.tempo / found.a.tempo)), 2)
    1.25
    """
    together = align_performances([a, b])
    alignment = align(a, b)
    shared = np.isfinite(together.log2_tempo).all(axis=0).sum()
    if shared < _FEWEST_BEATS:
        raise MidiError("has too few beats in common with the other performance")
    of_a, of_b = (
        curves_at(one, together.beats_s[row], tempo=2.0 ** together.log2_tempo[row] * 60)
        for row, one in enumerate((a, b))
    )
    trusted = alignment.trusted(a.onset_s[alignment.a_note])
    stretches = sorted(unshared_stretches(a, b, alignment), key=lambda one: one.start_s)
    return Comparison(
        of_a,
        of_b,
        links=np.stack([alignment.a_note[trusted], alignment.b_note[trusted]], axis=1),
        confidence=float(trusted.sum() / max(1, min(len(a), len(b)))),
        shared_beats=int(shared),
        differences=tuple(map(str, stretches)),
    )


def carry(comparison: Comparison, a: Performance, other: Performance) -> PerformanceCurves | None:
    """Return the curves of a further performance on the beats of a comparison.

    Parameters
    ----------
    comparison : Comparison
        Of `a` with another performance.
    a, other : Performance

    Returns
    -------
    PerformanceCurves or None
        None if the two have too little in common.
    """
    try:
        alignment = align(a, other)
    except MidiError:
        return None
    if alignment.agreement.mean() < TRUSTED:
        return None
    beats_s = comparison.a.beats_s
    known = np.isfinite(beats_s)
    there = np.full(len(beats_s), np.nan)
    inside = known.copy()
    inside[known] = alignment.confidence(beats_s[known]) >= TRUSTED
    there[inside] = np.asarray(alignment.map_time(beats_s[inside]))
    there[inside] = np.maximum.accumulate(there[inside])
    return curves_at(other, _without_jumps(there, beats_s))


def _without_jumps(there: Floats, beats_s: Floats) -> Floats:
    """Set beats to NaN around which a performance departs by over an octave, as at a repeat."""
    from scipy.ndimage import median_filter

    known = np.flatnonzero(np.isfinite(there))
    if len(known) < _FEWEST_BEATS:
        return there
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.log2(np.diff(there[known]) / np.diff(beats_s[known]))
    ratio = np.where(np.isfinite(ratio), ratio, -np.inf)
    usual = median_filter(ratio, _AROUND_BEATS, mode="nearest")
    far = np.abs(ratio - usual) > 1.0
    found = there.copy()
    found[known[1:][far]] = np.nan
    return found


def curves_at(
    performance: Performance, beats_s: Floats, *, tempo: Floats | None = None
) -> PerformanceCurves:
    """Return the curves of a performance between beats.

    Parameters
    ----------
    performance : Performance
    beats_s : ndarray, float64, shape [beats]
        In seconds, ascending; NaN where a beat is not known.
    tempo : ndarray, float64, shape [beats - 1], optional
        In BPM; by default from the beats.
    """
    if tempo is None:
        tempo = 2.0 ** log2_tempo(beats_s) * 60
    count = len(beats_s) - 1
    chord_s = performance.chord_onset_s
    chord = performance.chord_of_note
    interval = np.append(np.diff(chord_s), np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = (performance.offset_s - performance.onset_s) / interval[chord]
    spread = _spread_ms(performance)
    beat_of_note = _between(performance.onset_s, beats_s)
    return PerformanceCurves(
        beats_s=beats_s,
        tempo=np.where(np.isfinite(tempo), tempo, np.nan),
        velocity=_mean(performance.velocity.astype(np.float64), beat_of_note, count),
        articulation=_mean(np.where(ratio < 4.0, ratio, np.nan), beat_of_note, count),
        pedal=_pedal_share(performance.pedal_s, beats_s),
        asynchrony=_mean(spread, _between(chord_s, beats_s), count),
    )


def _spread_ms(performance: Performance) -> Floats:
    """Return the standard deviation of the onsets within each chord in ms; NaN of one note."""
    chord = struck_together(performance)
    count = np.bincount(chord)
    mean = np.bincount(chord, weights=performance.onset_s) / count
    square = np.bincount(chord, weights=(performance.onset_s - mean[chord]) ** 2) / count
    spread = np.where(count > 1, 1000 * np.sqrt(square), np.nan)
    of_note = spread[chord]
    first: NDArray[np.int64] = np.searchsorted(
        performance.chord_of_note, np.arange(len(performance.chord_onset_s))
    )
    found: Floats = of_note[first]
    return found


def _between(time_s: Floats, beats_s: Floats) -> NDArray[np.int64]:
    """Return the beat during which each time lies, or -1."""
    known = np.flatnonzero(np.isfinite(beats_s))
    if len(known) < 2:
        return np.full(len(time_s), -1)
    at = np.searchsorted(beats_s[known], time_s, side="right") - 1
    inside = (at >= 0) & (at < len(known) - 1)
    at = np.clip(at, 0, len(known) - 2)
    # Between beats that are not neighbours, notes differ: they belong to no beat.
    whole = known[at + 1] - known[at] == 1
    return np.where(inside & whole, known[at], -1)


def _mean(values: Floats, bins: NDArray[np.int64], count: int) -> Floats:
    known = np.isfinite(values) & (bins >= 0)
    number = np.bincount(bins[known], minlength=count)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Floats = np.bincount(bins[known], weights=values[known], minlength=count) / number
    return found


def _pedal_share(pedal_s: Floats, beats_s: Floats) -> Floats:
    start, end = beats_s[:-1], beats_s[1:]
    edges = np.concatenate([[-np.inf], pedal_s.ravel(), [np.inf]])
    down_until = np.concatenate([[0.0], np.cumsum(pedal_s[:, 1] - pedal_s[:, 0])])

    def down_before(at: Floats) -> Floats:
        place = np.searchsorted(edges, at, side="right") - 1
        press = np.clip(place // 2, 0, len(pedal_s))
        during = place % 2 == 1
        into = np.where(during & (press < len(pedal_s)), at - edges[np.clip(place, 0, None)], 0.0)
        found: Floats = down_until[press] + into
        return found

    share = np.full(len(start), np.nan)
    known = np.isfinite(start) & np.isfinite(end) & (end > start)
    length = end[known] - start[known]
    share[known] = (down_before(end[known]) - down_before(start[known])) / length
    return share
