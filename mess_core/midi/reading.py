"""Read a piano performance from a MIDI file: what a sequencer would play, at its time."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from os import PathLike, fspath

import numpy as np

from mess_core.errors import MidiError
from mess_core.midi.performance import Floats, Performance
from mess_core.midi.standard_midi_file import Track, parse_midi
from mess_core.paths import locate

__all__ = ["read_performance"]

_PEDAL_DOWN = 64
_RELEASE_S = 1e-3
_MAX_NOTES = 2_000_000
_LONGEST_S = 24 * 3600.0
_MAX_BYTES = 16 << 20
_REMEDY = "Open it in a notation program or sequencer and export it again"

_ON, _OFF, _CONTROL, _PROGRAM = 0x90, 0x80, 0xB0, 0xC0
_SUSTAIN, _RESET = 64, 121
_NOTES_OFF = frozenset({120, 123, 124, 125, 126, 127})
"""Controllers that release all keys of a channel."""

_DRUMS = 9
_PIANOS = range(8)
_KEYS = range(21, 109)


@dataclass(frozen=True)
class _Note:
    start: float
    end: float
    pitch: int
    velocity: int
    channel: int


class _Programs:
    """Which instrument a channel has at a time, whatever track says so."""

    def __init__(self, tracks: list[Track]) -> None:
        changes = [
            (track.seconds(tick), channel, program)
            for track in tracks
            for tick, kind, channel, program, _ in track.events
            if kind == _PROGRAM
        ]
        self._times: dict[int, list[float]] = defaultdict(list)
        self._programs: dict[int, list[int]] = defaultdict(list)
        # Stable: of one tick, the last in the order of the file counts.
        for time_s, channel, program in sorted(changes, key=lambda one: one[0]):
            self._times[channel].append(time_s)
            self._programs[channel].append(program)

    def at(self, note: _Note) -> int:
        last = bisect_right(self._times.get(note.channel, []), note.start) - 1
        return self._programs[note.channel][last] if last >= 0 else 0


def read_performance(path: str | PathLike[str], *, pedal_down: int = _PEDAL_DOWN) -> Performance:
    """Read the piano notes of a MIDI file.

    Notes of all tracks and channels are one performance, and so are presses of the sustain pedal:
    it is down while it is on any channel. Left out, and counted in ``notes_left_out``, are drums
    (channel 10), keys that no piano has (sample libraries switch sounds with them), and, in a file
    that has a part for piano, the other instruments.

    Parameters
    ----------
    path : path-like or fsspec URL
    pedal_down : int
        Controller value from which the sustain pedal counts as down. The MIDI standard says 64;
        on instruments that send every position, the dampers begin to lift far below that.

    Returns
    -------
    Performance
        Notes without length last 1 ms; notes without an end last until their track ends.

    Raises
    ------
    MidiError
        If the file is missing, empty, truncated, or contains no notes of a piano.

    Examples
    --------
    >>> import tempfile
    >>> import mess_core as mess
    >>> from mess_core.datasets.demo import Expression, demo_score, perform, write_midi
    >>> notes = perform(demo_score(0), Expression(velocity=70), seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_midi(notes, f"{folder}/take.mid")
    ...     performance = mess.read_performance(f"{folder}/take.mid")
    >>> len(performance) == len(notes.pitch), performance.notes_left_out
    (True, 0)
    >>> round(performance.end_s)
    13
    """
    content = _content(path)
    try:
        tracks = parse_midi(content)
        struck = sum(kind == _ON for track in tracks for _, kind, *_ in track.events)
        if struck > _MAX_NOTES:
            raise MidiError(f"has {struck} notes (at most {_MAX_NOTES})", remedy=_REMEDY)
        every = [note for track in tracks for note in _notes(track)]
        chosen = _of_piano(every, _Programs(tracks))
        if not chosen:
            raise MidiError(_without_notes(every), remedy=_REMEDY)
        table = np.array([(one.start, one.end, one.pitch, one.velocity) for one in chosen])
        table = table[np.lexsort((table[:, 2], table[:, 0]))]  # [notes, 4]
        if table[:, 1].max() > _LONGEST_S:
            raise MidiError(f"lasts {table[:, 1].max() / 3600:.0f} hours", remedy=_REMEDY)
    except MidiError as error:
        raise MidiError(error.problem, path=fspath(path), remedy=error.remedy or _REMEDY) from None
    silent = {note.channel for note in every} - {note.channel for note in chosen}
    return Performance(
        onset_s=table[:, 0],
        offset_s=np.maximum(table[:, 1], table[:, 0] + _RELEASE_S),
        pitch=table[:, 2].astype(np.int64),
        velocity=table[:, 3].astype(np.int64),
        pedal_s=_pedal(tracks, silent, float(table[:, 1].max()), pedal_down),
        notes_left_out=len(every) - len(chosen),
    )


def _content(path: str | PathLike[str]) -> bytes:
    try:
        file = locate(path)
        if not file.is_file():
            raise MidiError("does not exist", path=fspath(path), remedy="Check the path")
        size = int(file.stat().st_size)
        content: bytes = file.read_bytes() if size <= _MAX_BYTES else b""
    except (OSError, ValueError) as error:
        raise MidiError(
            f"cannot be read ({error})",
            path=fspath(path),
            remedy="Check the permissions of the file and the connection to its storage",
            transient=True,
        ) from error
    if size > _MAX_BYTES:
        problem = f"has {size >> 20} MB, more than a performance on a piano can"
        raise MidiError(problem, path=fspath(path), remedy=_REMEDY)
    if not content:
        raise MidiError("is empty (0 bytes)", path=fspath(path), remedy="Download it again")
    return content


def _notes(track: Track) -> Iterable[_Note]:
    """Yield the notes of a track.

    A note-off ends every note of its key that began before it. One that began at the same tick goes
    on, since sequencers write a repeated key's note-on before the note-off of the note before;
    only if the key is then struck again without having been released, the note had no length.
    """
    held: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    without_length: set[tuple[int, int]] = set()

    def note(key: tuple[int, int], one: tuple[int, int], end: int) -> _Note:
        start, velocity = one
        return _Note(track.seconds(start), track.seconds(end), key[1], velocity, key[0])

    for tick, kind, channel, first, second in track.events:
        key = channel, first
        if kind == _ON and second:
            if key in without_length:
                without_length.discard(key)
                # Struck again at the same tick it is the same note, written twice.
                for one in held.pop(key):
                    if one[0] < tick:
                        yield note(key, one, one[0])
            held[key].append((tick, second))
        elif kind == _CONTROL and first in _NOTES_OFF:
            for other in [one for one in held if one[0] == channel]:
                without_length.discard(other)
                for one in held.pop(other):
                    yield note(other, one, tick)
        elif (
            kind in (_ON, _OFF)
            and key in held
            and not (key in without_length and held[key][-1][0] == tick)
        ):
            ended = [one for one in held[key] if one[0] < tick]
            going_on = [one for one in held[key] if one[0] == tick]
            for one in ended:
                yield note(key, one, tick)
            without_length.discard(key)
            if going_on:
                held[key] = going_on
                if not ended:
                    without_length.add(key)
            else:
                del held[key]
    for key, unfinished in held.items():
        for one in unfinished:
            yield note(key, one, one[0] if key in without_length else track.end)


def _of_piano(notes: list[_Note], programs: _Programs) -> list[_Note]:
    found = [one for one in notes if one.channel != _DRUMS and one.pitch in _KEYS]
    pianos = [one for one in found if programs.at(one) in _PIANOS]
    # A file without a part for piano is taken for one whose program is wrong, as exporters write.
    return pianos or found


def _without_notes(notes: list[_Note]) -> str:
    if not notes:
        return "has no notes"
    drums = all(one.channel == _DRUMS for one in notes)
    return "holds only drums" if drums else "has no notes that a piano has"


def _pedal(tracks: list[Track], silent: set[int], end_s: float, pedal_down: int) -> Floats:
    """Return when the pedal is down on any channel, float64 [presses, 2].

    Channels whose notes are all left out have no say; channels without notes have.
    """
    events: list[tuple[float, int, int]] = []
    for track in tracks:
        events += [
            (track.seconds(tick), channel, second if first == _SUSTAIN else 0)
            for tick, kind, channel, first, second in track.events
            if kind == _CONTROL and first in (_SUSTAIN, _RESET) and channel not in silent
        ]
    events.sort(key=lambda one: one[0])  # stable: within a tick in the order of the file
    presses: list[list[float]] = []
    down: set[int] = set()
    for time_s, channel, value in events:
        was_down = bool(down)
        if value >= pedal_down:
            down.add(channel)
        else:
            down.discard(channel)
        if down and not was_down:
            presses.append([time_s, end_s])
        elif was_down and not down:
            presses[-1][1] = time_s
    found = np.array(presses, dtype=np.float64).reshape(-1, 2)
    return found[found[:, 1] > found[:, 0]]
