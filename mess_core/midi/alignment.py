"""Score-free, note-by-note alignment of two performances of the same work.

A path is found through the chords of both: first by their notes, with gaps where only one plays
(`mess_core.midi.gapped_path`), then, between the gaps, by notes and time, since notes alone cannot
distinguish repeated chords (`mess_core.midi.timed_path`). Notes of one pitch are matched near that
path, and the time map is drawn through the chords with matched notes, in ascending order in both
performances. Notes without a counterpart (a repeat that only one plays, a wrong or omitted note)
are not matched, and the confidence shows where.
"""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mess_core.errors import MidiError
from mess_core.midi.gapped_path import gapped_path
from mess_core.midi.performance import Performance
from mess_core.midi.reading import read_performance
from mess_core.midi.timed_path import timed_path

__all__ = ["TRUSTED", "Alignment", "align"]

TRUSTED = 0.5
"""Confidence from which a passage counts as the same music."""

_MAX_CELLS = 250_000_000
_CONFIDENCE_CHORDS = 9
_UNLIKE = 0.3  # similarity of chords that do not anchor the time map
_TOLERANCE_S = 0.25
_LONG_GAP = 12  # chords
_PASSES = 2  # the second begins where the first corrected slips of seconds

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Alignment:
    """Time map from one performance (a) to another (b) of the same work.

    Attributes
    ----------
    a_s, b_s : ndarray, float64, shape [anchors]
        Corresponding times of the two performances in seconds, both ascending.
    agreement : ndarray, float64, shape [anchors]
        Share of the notes around each anchor that have a counterpart, 0 to 1, in the performance
        where it is smaller.
    a_note, b_note : ndarray, int64, shape [matches]
        Indices of corresponding notes; each note occurs at most once.

    Examples
    --------
    >>> anchors = np.array([0.0, 1.0, 2.0])
    >>> notes = np.arange(3)
    >>> alignment = Alignment(anchors, 2 * anchors, np.array([1.0, 1.0, 0.0]), notes, notes)
    >>> alignment.map_time([0.5, 3.0]).tolist()
    [1.0, 6.0]
    >>> alignment.trusted([0.5, 2.0]).tolist()
    [True, False]
    """

    a_s: Floats
    b_s: Floats
    agreement: Floats
    a_note: Ints
    b_note: Ints

    def map_time(self, t_s: ArrayLike) -> Floats:
        """Map times in a (s) to times in b (s); the tempo is extrapolated beyond the ends."""
        return _interpolated(np.asarray(t_s, dtype=np.float64), self.a_s, self.b_s)

    def confidence(self, t_s: ArrayLike) -> Floats:
        """Return the confidence, 0 to 1, that both play the same notes at times in a (s)."""
        times = np.asarray(t_s, dtype=np.float64)
        agreement: Floats = np.interp(times, self.a_s, self.agreement)
        return agreement

    def trusted(self, t_s: ArrayLike) -> NDArray[np.bool_]:
        """Return whether both play the same music at times in a (s)."""
        trusted: NDArray[np.bool_] = self.confidence(t_s) >= TRUSTED
        return trusted


def align(a: str | PathLike[str] | Performance, b: str | PathLike[str] | Performance) -> Alignment:
    """Align two performances of one work.

    Parameters
    ----------
    a, b : MIDI file or Performance

    Returns
    -------
    Alignment

    Raises
    ------
    MidiError
        If a file cannot be used, has fewer than two chords, has no notes in common with the
        other, or if both are too long to be aligned as a whole.

    Examples
    --------
    >>> import tempfile
    >>> import mess_core as mess
    >>> from mess_core.datasets.demo import Expression, demo_score, perform, write_midi
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name, factor in (("slow", 1.0), ("fast", 1.25)):
    ...         notes = perform(demo_score(0), Expression(tempo_factor=factor), seed=0)
    ...         write_midi(notes, f"{folder}/{name}.mid")
    ...     alignment = mess.align(f"{folder}/slow.mid", f"{folder}/fast.mid")
    >>> bool(alignment.map_time(10.0) < 10.0)
    True
    >>> bool(alignment.trusted(10.0))
    True
    """
    sides = []
    for given in (a, b):
        one = given if isinstance(given, Performance) else read_performance(given)
        path = None if isinstance(given, Performance) else given
        if len(one.chord_onset_s) < 2:
            raise MidiError("has fewer than two chords: nothing to align", path=path)
        sides.append(one)
    first, second = sides
    a_s, b_s = _anchors(first, second)
    mapped_s = _interpolated(first.onset_s, a_s, b_s)
    a_note, b_note = _matched_notes(first, second, mapped_s, _TOLERANCE_S)
    chords, times = _chord_times(first, second, a_note, b_note)
    if len(chords) < 2:
        raise MidiError("has no two notes in common with the other performance")
    a_s, b_s = first.chord_onset_s[chords], times
    agreement = np.minimum(_matched_share(first, a_note, a_s), _matched_share(second, b_note, b_s))
    return Alignment(a_s, b_s, agreement, a_note, b_note)


def _anchors(first: Performance, second: Performance) -> tuple[Floats, Floats]:
    """Return the times of corresponding chords, ascending in both performances.

    Between two gaps, the path by notes is found again by notes and time.
    """
    x, y = _chord_features(first), _chord_features(second)  # [chords, 140]
    if len(x) * len(y) > _MAX_CELLS:
        raise MidiError(
            f"the performances are too long to align as a whole ({len(x)} and {len(y)} chords)",
            remedy="Split them at movements",
        )
    a_s, b_s = first.chord_onset_s, second.chord_onset_s
    a, b = gapped_path(x, y)
    gap = np.flatnonzero((np.diff(a) > _LONG_GAP) | (np.diff(b) > _LONG_GAP)) + 1
    found = []
    for part in np.split(np.arange(len(a)), gap):
        if len(part) < 2:
            continue
        # The first chords and the last may have slipped out of the path.
        reach = _LONG_GAP * (part[0] == 0), _LONG_GAP * (part[-1] == len(a) - 1)
        mine, theirs = (
            slice(max(0, one[part[0]] - reach[0]), one[part[-1]] + 1 + reach[1]) for one in (a, b)
        )
        i, j = a[part], b[part]
        for _ in range(_PASSES):
            mapped_s = _interpolated(a_s[mine], a_s[i], b_s[j])
            i, j = timed_path(a_s[mine], b_s[theirs], x[mine], y[theirs], mapped_s)
            i, j = i + mine.start, j + theirs.start
        found.append(np.stack([i, j]))
    i, j = np.hstack([np.empty((2, 0), dtype=np.int64), *found])
    alike = (x[i] * y[j]).sum(axis=1) > _UNLIKE
    if alike.sum() < 2:
        raise MidiError("has no two chords in common with the other performance")
    return a_s[i[alike]], b_s[j[alike]]


def _chord_features(performance: Performance) -> Floats:
    """Return chords as unit vectors: 128 keys and half-weight pitch classes, [chords, 140]."""
    chords = performance.chord_of_note
    keys = np.zeros((int(chords[-1]) + 1, 128))
    keys[chords, performance.pitch] = 1.0
    classes = np.zeros((len(keys), 12))
    np.add.at(classes, (chords, performance.pitch % 12), 0.5)
    features = np.concatenate([keys, classes], axis=1)
    unit: Floats = features / np.linalg.norm(features, axis=1, keepdims=True)
    return unit


def _matched_notes(
    first: Performance, second: Performance, mapped_s: Floats, tolerance_s: float
) -> tuple[Ints, Ints]:
    """Return notes of one pitch that are mutual nearest neighbours in mapped time, [matches]."""
    a_notes, b_notes = [], []
    for pitch in np.intersect1d(first.pitch, second.pitch):
        mine = np.flatnonzero(first.pitch == pitch)
        theirs = np.flatnonzero(second.pitch == pitch)
        here, there = mapped_s[mine], second.onset_s[theirs]
        nearest, back = _nearest(here, there), _nearest(there, here)
        mutual = back[nearest] == np.arange(len(mine))
        close = np.abs(there[nearest] - here) <= tolerance_s
        a_notes.append(mine[mutual & close])
        b_notes.append(theirs[nearest[mutual & close]])
    a_note = np.concatenate([np.empty(0, dtype=np.int64), *a_notes])
    b_note = np.concatenate([np.empty(0, dtype=np.int64), *b_notes])
    order = np.argsort(a_note, kind="stable")
    return a_note[order], b_note[order]


def _nearest(values: Floats, among: Floats) -> Ints:
    """Return the index in ascending `among` of the element nearest to each value."""
    right = np.clip(np.searchsorted(among, values), 1, max(1, len(among) - 1))
    if len(among) == 1:
        return np.zeros(len(values), dtype=np.int64)
    nearer_left = values - among[right - 1] <= among[right] - values
    nearest: Ints = np.where(nearer_left, right - 1, right)
    return nearest


def _chord_times(
    first: Performance, second: Performance, a_note: Ints, b_note: Ints
) -> tuple[Ints, Floats]:
    """Return chords of the first with matched notes and their times in the second, ascending."""
    import pandas as pd

    chord = first.chord_of_note[a_note]
    within = first.onset_s[a_note] - first.chord_onset_s[chord]
    median = pd.Series(second.onset_s[b_note] - within).groupby(chord).median()
    chords, times = median.index.to_numpy(), median.to_numpy()
    ascending = _longest_ascending(times)
    return chords[ascending], times[ascending]


def _longest_ascending(values: Floats) -> Ints:
    """Return the indices of a longest strictly ascending subsequence (patience sorting)."""
    import bisect

    tails: list[float] = []
    ends: list[int] = []
    before = np.full(len(values), -1, dtype=np.int64)
    for index, value in enumerate(values.tolist()):
        position = bisect.bisect_left(tails, value)
        if position == len(tails):
            tails.append(value)
            ends.append(index)
        else:
            tails[position], ends[position] = value, index
        before[index] = ends[position - 1] if position else -1
    chain = []
    index = ends[-1] if ends else -1
    while index >= 0:
        chain.append(index)
        index = int(before[index])
    return np.asarray(chain[::-1], dtype=np.int64)


def _matched_share(performance: Performance, matched: Ints, at_s: Floats) -> Floats:
    """Return the share of notes with a counterpart in the chords around each time, [times]."""
    chords = len(performance.chord_onset_s)
    total = np.bincount(performance.chord_of_note, minlength=chords).astype(np.float64)
    found = np.bincount(performance.chord_of_note[matched], minlength=chords).astype(np.float64)
    width = min(_CONFIDENCE_CHORDS, chords)
    kernel = np.ones(width)
    share = np.convolve(found, kernel, mode="same") / np.convolve(total, kernel, mode="same")
    nearest = _nearest(at_s, performance.chord_onset_s)
    around: Floats = np.clip(share[nearest], 0.0, 1.0)
    return around


def _interpolated(times: Floats, a_s: Floats, b_s: Floats) -> Floats:
    inside: Floats = np.interp(times, a_s, b_s)
    if len(a_s) < 2:
        shifted: Floats = times - a_s[0] + b_s[0]
        return shifted
    span = min(len(a_s) - 1, 8)
    before = (b_s[span] - b_s[0]) / (a_s[span] - a_s[0])
    after = (b_s[-1] - b_s[-1 - span]) / (a_s[-1] - a_s[-1 - span])
    inside = np.where(times < a_s[0], b_s[0] + (times - a_s[0]) * before, inside)
    return np.where(times > a_s[-1], b_s[-1] + (times - a_s[-1]) * after, inside)
