"""A piano performance as arrays: notes, chords, registers, pedal.

``pretty_midi`` parses the file. All further processing uses arrays, so that even the longest
performances (tens of thousands of notes) take milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from os import PathLike, fspath

import numpy as np
from numpy.typing import NDArray

from mess_core.errors import MidiError
from mess_core.paths import locate

__all__ = ["CHORD_S", "Performance", "read_performance", "released_in_time"]

CHORD_S = 0.03
"""Maximum time in seconds from the first onset of a chord to its other onsets."""

_PEDAL_DOWN = 64
_RELEASE_S = 1e-3
_MAX_NOTES = 2_000_000
_REMEDY = "Open it in a notation program or sequencer and export it again"

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


def read_performance(path: str | PathLike[str], *, pedal_down: int = _PEDAL_DOWN) -> Performance:
    """Read the piano notes of a MIDI file.

    Parameters
    ----------
    path : path-like or fsspec URL
    pedal_down : int
        Controller value from which the sustain pedal counts as down. The MIDI standard says 64;
        on instruments that send every position, the dampers begin to lift far below that.

    Returns
    -------
    Performance
        Without drum channels; notes of zero length last 1 ms.

    Raises
    ------
    MidiError
        If the file is missing, empty, truncated, or contains no pitched notes.

    Examples
    --------
    >>> import tempfile
    >>> import mess_core as mess
    >>> from mess_core.datasets.demo import Expression, demo_score, perform, write_midi
    >>> notes = perform(demo_score(0), Expression(velocity=70), seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_midi(notes, f"{folder}/take.mid")
    ...     performance = mess.read_performance(f"{folder}/take.mid")
    >>> len(performance) == len(notes.pitch)
    True
    >>> round(performance.end_s)
    13
    """
    import io
    import warnings

    import pretty_midi

    file = locate(path)
    if not file.is_file():
        raise MidiError("does not exist", path=fspath(path), remedy="Check the path")
    try:
        content = file.read_bytes()
    except OSError as error:
        raise MidiError(
            f"cannot be read ({error})",
            path=fspath(path),
            remedy="Check the permissions of the file and the connection to its storage",
            transient=True,
        ) from error
    if not content:
        raise MidiError("is empty (0 bytes)", path=fspath(path), remedy="Download it again")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # tempo events outside track 0 are harmless here
            midi = pretty_midi.PrettyMIDI(io.BytesIO(content))
    except Exception as error:  # mido raises many kinds of errors on damaged files
        reason = f"{type(error).__name__}: {error}".rstrip(": ")
        raise MidiError(
            f"is truncated or is not MIDI ({reason})", path=fspath(path), remedy=_REMEDY
        ) from error
    pitched = [instrument for instrument in midi.instruments if not instrument.is_drum]
    notes = [
        (note.start, note.end, note.pitch, note.velocity)
        for instrument in pitched
        for note in instrument.notes
    ]
    if not notes:
        what = (
            "holds only drums" if any(one.is_drum for one in midi.instruments) else "has no notes"
        )
        raise MidiError(what, path=fspath(path), remedy=_REMEDY)
    if len(notes) > _MAX_NOTES:
        raise MidiError(f"has {len(notes)} notes (at most {_MAX_NOTES})", path=fspath(path))
    table = np.asarray(notes, dtype=np.float64)  # [notes, 4]
    table = table[np.lexsort((table[:, 2], table[:, 0]))]
    events = sorted(
        (change.time, change.value)
        for instrument in pitched
        for change in instrument.control_changes
        if change.number == 64
    )
    return Performance(
        onset_s=table[:, 0],
        offset_s=np.maximum(table[:, 1], table[:, 0] + _RELEASE_S),
        pitch=table[:, 2].astype(np.int64),
        velocity=table[:, 3].astype(np.int64),
        pedal_s=_presses(events, float(table[:, 1].max()), pedal_down),
    )


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


def _presses(events: list[tuple[float, int]], end_s: float, pedal_down: int) -> Floats:
    presses: list[tuple[float, float]] = []
    down: float | None = None
    for time_s, value in events:
        if value >= pedal_down and down is None:
            down = time_s
        elif value < pedal_down and down is not None:
            if time_s > down:
                presses.append((down, time_s))
            down = None
    if down is not None and end_s > down:
        presses.append((down, end_s))
    return np.asarray(presses, dtype=np.float64).reshape(-1, 2)
