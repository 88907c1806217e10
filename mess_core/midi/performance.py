"""A piano performance as arrays: notes, chords, registers, pedal.

All processing uses arrays, so that even the longest performances (tens of thousands of notes) take
milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

__all__ = ["CHORD_S", "Performance", "released_in_time"]

CHORD_S = 0.03
"""Maximum time in seconds from the first onset of a chord to its other onsets."""

_RELEASE_S = 1e-3

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Performance:
    """A piano performance as notes, sorted by onset and then by pitch.

    Attributes
    ----------
    onset_s, offset_s : ndarray, float64, shape [notes]
        Key down and key up, in seconds; ``offset_s > onset_s``.
    pitch, velocity : ndarray, int64, shape [notes]
        MIDI numbers.
    pedal_s : ndarray, float64, shape [presses, 2]
        Down and up times of the sustain pedal, in seconds.
    notes_left_out : int
        Notes of the file that are not in the performance: drums, other instruments, and keys that
        no piano has.

    Examples
    --------
    >>> performance = Performance(
    ...     onset_s=np.array([0.0, 0.01, 1.0]),
    ...     offset_s=np.array([0.5, 0.5, 1.5]),
    ...     pitch=np.array([60, 64, 67]),
    ...     velocity=np.array([70, 60, 65]),
    ...     pedal_s=np.array([[0.4, 0.9]]),
    ... )
    >>> len(performance), performance.chord_of_note.tolist()
    (3, [0, 0, 1])
    >>> performance.sounding_offset_s.tolist()
    [0.9, 0.9, 1.5]
    """

    onset_s: Floats
    offset_s: Floats
    pitch: Ints
    velocity: Ints
    pedal_s: Floats
    notes_left_out: int = 0

    def __len__(self) -> int:
        return len(self.onset_s)

    @property
    def end_s(self) -> float:
        """Time at which the last key is released, in seconds."""
        return float(self.offset_s.max())

    @cached_property
    def chord_of_note(self) -> Ints:
        """Index of each note's chord, int64 [notes], ascending."""
        chords = np.zeros(len(self), dtype=np.int64)
        onsets = self.onset_s
        first, chord = 0, 0
        while first < len(onsets):
            after = int(np.searchsorted(onsets, onsets[first] + CHORD_S, side="right"))
            chords[first:after] = chord
            first, chord = after, chord + 1
        return chords

    @cached_property
    def chord_onset_s(self) -> Floats:
        """Mean onset of each chord in seconds, float64 [chords]."""
        count = np.bincount(self.chord_of_note)
        mean: Floats = np.bincount(self.chord_of_note, weights=self.onset_s) / count
        return mean

    @cached_property
    def beats_s(self) -> Floats:
        """Beat times in seconds found without a score, float64 [beats]; empty for few chords.

        See `mess_core.midi.rhythm.note_values`.
        """
        from mess_core.midi.rhythm import beat_times, note_values

        intervals = np.diff(self.chord_onset_s)
        if len(intervals) < 3:
            return np.empty(0)
        position = note_values(intervals).position
        return beat_times(self.chord_onset_s, position, np.arange(np.floor(position[-1]) + 1))

    @cached_property
    def sounding_offset_s(self) -> Floats:
        """Time in seconds at which each note ends: key up or, if held longer, pedal up, [notes]."""
        if len(self.pedal_s) == 0:
            return self.offset_s
        down, up = self.pedal_s[:, 0], self.pedal_s[:, 1]
        press = np.searchsorted(down, self.offset_s, side="right") - 1
        held = (press >= 0) & (up[press] > self.offset_s)
        return np.where(held, up[press], self.offset_s)

    def excerpt(self, start_s: float, end_s: float) -> Performance | None:
        """Return the notes struck between two times (s) and the pedal there; None if no notes."""
        first, last = np.searchsorted(self.onset_s, [start_s, end_s])
        if first == last:
            return None
        pedal = np.clip(self.pedal_s, start_s, end_s)
        return Performance(
            self.onset_s[first:last],
            self.offset_s[first:last],
            self.pitch[first:last],
            self.velocity[first:last],
            pedal[pedal[:, 1] > pedal[:, 0]],
        )

    @property
    def pedal_fraction(self) -> float:
        """Share of the time from first onset to last offset with the pedal down, 0 to 1."""
        start, end = float(self.onset_s[0]), self.end_s
        down = np.clip(self.pedal_s, start, end)
        return float(np.sum(down[:, 1] - down[:, 0]) / max(end - start, 1e-9))


def released_in_time(onset_s: Floats, offset_s: Floats, pitch: NDArray[np.int64]) -> Floats:
    """Release each key before it is struck again, as on a piano.

    In a MIDI file, the note-off of a note that outlasts its repetition would end the repetition.

    Parameters
    ----------
    onset_s, offset_s : ndarray, float64, shape [notes]
        In seconds, in any order.
    pitch : ndarray, int64, shape [notes]

    Returns
    -------
    ndarray, float64, shape [notes]
        `offset_s`, or 1 ms before the same key's next onset where that is earlier, but never less
        than 1 ms after the note's own onset.

    Examples
    --------
    >>> onset, pitch = np.array([0.0, 1.0, 1.0]), np.array([60, 60, 64])
    >>> released_in_time(onset, np.array([1.5, 2.0, 3.0]), pitch).tolist()
    [0.999, 2.0, 3.0]
    """
    order = np.lexsort((onset_s, pitch))
    again = np.full(len(onset_s), np.inf)
    same = pitch[order][1:] == pitch[order][:-1]
    again[order[:-1]] = np.where(same, onset_s[order][1:], np.inf)
    return np.minimum(offset_s, np.maximum(again - _RELEASE_S, onset_s + _RELEASE_S))
