"""Parse the bytes of a Standard MIDI File into timed events.

Follows "Standard MIDI Files 1.0" (MIDI Manufacturers Association, RP-001). Tolerant where a
sequencer is: unknown chunks and meta events are skipped, data bytes above 127 are clipped, tempo
changes count in whatever track they are, and files in a RIFF wrapper are read. A file that ends
within a chunk is an error, since nobody can say what is missing.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field

from mess_core.errors import MidiError

__all__ = ["Event", "Track", "parse_midi"]

_FIRST_MEGABYTE = 1 << 20
_DATA_BYTES = {0x80: 2, 0x90: 2, 0xA0: 2, 0xB0: 2, 0xC0: 1, 0xD0: 1, 0xE0: 2}
_DEFAULT_TEMPO = 500_000
_TEMPO, _END = 0x51, 0x2F
_DROP_FRAME, _DROP_FRAME_RATE = 29, 30_000 / 1001

Event = tuple[int, int, int, int, int]
"""Tick, kind (0x80 to 0xE0), channel (from 0), and two data bytes."""


@dataclass(frozen=True)
class Track:
    """Channel events of a track in the order of the file, and what its ticks last.

    Attributes
    ----------
    events : list of tuple
        `Event`, ticks ascending.
    end : int
        Tick at which the track ends.
    clock : _Clock
    """

    events: list[Event]
    end: int
    clock: _Clock

    def seconds(self, tick: int) -> float:
        """Return the time of a tick in seconds from the start of the file."""
        return self.clock.seconds(tick)


@dataclass
class _Clock:
    """Maps ticks to seconds: constant between tempo changes."""

    tick: list[int] = field(default_factory=lambda: [0])
    time_s: list[float] = field(default_factory=lambda: [0.0])
    tick_s: list[float] = field(default_factory=list)

    def seconds(self, tick: int) -> float:
        last = bisect_right(self.tick, tick) - 1
        return self.time_s[last] + (tick - self.tick[last]) * self.tick_s[last]


def parse_midi(content: bytes) -> list[Track]:
    """Return the tracks of a Standard MIDI File.

    Tracks of formats 0 and 1 share their tempo changes. Format 2 holds sequences that are
    independent of one another; they follow each other here.

    Parameters
    ----------
    content : bytes

    Raises
    ------
    MidiError
        If this is no MIDI file, or if it is truncated or damaged.

    Examples
    --------
    >>> header = b"MThd" + bytes([0, 0, 0, 6, 0, 0, 0, 1, 0, 96])
    >>> events = bytes([0, 0x90, 60, 70, 96, 60, 0, 0, 0xFF, 0x2F, 0])
    >>> (track,) = parse_midi(header + b"MTrk" + len(events).to_bytes(4, "big") + events)
    >>> track.events, track.seconds(96)
    ([(0, 144, 0, 60, 70), (96, 144, 0, 60, 0)], 0.5)
    """
    start = content.find(b"MThd", 0, _FIRST_MEGABYTE)
    if start < 0 or len(content) < start + 14:
        raise MidiError("is truncated or is not MIDI (it has no MIDI header)")
    length = int.from_bytes(content[start + 4 : start + 8], "big")
    midi_format, _, division = (
        int.from_bytes(content[start + at : start + at + 2], "big") for at in (8, 10, 12)
    )
    parsed = [_track(chunk) for chunk in _track_chunks(content, start + 8 + max(6, length))]
    if not parsed:
        raise MidiError("is truncated or is not MIDI (it has no tracks)")
    if midi_format == 2:
        tracks: list[Track] = []
        begin_s = 0.0
        for events, tempi, end in parsed:
            clock = _clock(tempi, division, begin_s)
            tracks.append(Track(events, end, clock))
            begin_s = clock.seconds(end)
        return tracks
    shared = _clock([change for _, tempi, _ in parsed for change in tempi], division)
    return [Track(events, end, shared) for events, _, end in parsed]


def _track_chunks(content: bytes, at: int) -> list[bytes]:
    chunks = []
    while at + 8 <= len(content):
        kind, length = content[at : at + 4], int.from_bytes(content[at + 4 : at + 8], "big")
        at += 8
        if kind == b"MTrk":
            if at + length > len(content):
                raise MidiError(
                    f"is truncated: {len(content) - at} of {length} bytes of a track are present"
                )
            chunks.append(content[at : at + length])
        at += length
    return chunks


def _track(chunk: bytes) -> tuple[list[Event], list[tuple[int, int]], int]:
    """Return the channel events, the tempo changes (tick, µs per quarter), and the last tick."""
    events: list[Event] = []
    tempi: list[tuple[int, int]] = []
    at = tick = status = 0
    try:
        while at < len(chunk):
            delta, at = _number(chunk, at)
            tick += delta
            first = chunk[at]
            if first == 0xFF:
                kind = chunk[at + 1]
                length, at = _number(chunk, at + 2)
                data = chunk[at : at + length]
                at += length
                if at > len(chunk):
                    raise MidiError("is damaged: a track ends within an event")
                if kind == _TEMPO and len(data) == 3:
                    tempi.append((tick, int.from_bytes(data, "big")))
                elif kind == _END:
                    break
            elif first in (0xF0, 0xF7):
                length, at = _number(chunk, at + 1)
                at += length
            elif first > 0xF0:  # belongs into a live stream, but some recorders write it
                at += {0xF1: 2, 0xF2: 3, 0xF3: 2}.get(first, 1)
            else:
                if first >= 0x80:
                    status, at = first, at + 1
                elif not status:
                    raise MidiError("is damaged: an event has no status byte")
                count = _DATA_BYTES[status & 0xF0]
                one = min(chunk[at], 127)
                two = min(chunk[at + 1], 127) if count == 2 else 0
                at += count
                events.append((tick, status & 0xF0, status & 0x0F, one, two))
    except IndexError:
        raise MidiError("is damaged: a track ends within an event") from None
    return events, tempi, tick


def _number(chunk: bytes, at: int) -> tuple[int, int]:
    """Return a number of variable length, and the index after it."""
    value = 0
    for _ in range(4):
        byte = chunk[at]
        at += 1
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at
    raise MidiError("is damaged: a time or a length has more than four bytes")


def _clock(tempi: list[tuple[int, int]], division: int, begin_s: float = 0.0) -> _Clock:
    if division & 0x8000:  # frames of film or video, whatever the tempo
        frames, ticks = 256 - (division >> 8), division & 0xFF
        rate = _DROP_FRAME_RATE if frames == _DROP_FRAME else float(frames)
        if not ticks:
            raise MidiError("is damaged: it has no ticks per frame")
        return _Clock(time_s=[begin_s], tick_s=[1.0 / (rate * ticks)])
    if not division:
        raise MidiError("is damaged: it has no ticks per quarter note")
    clock = _Clock(time_s=[begin_s], tick_s=[_DEFAULT_TEMPO * 1e-6 / division])
    for tick, tempo in sorted(tempi, key=lambda one: one[0]):
        if tempo <= 0:
            continue
        if tick > clock.tick[-1]:
            clock.time_s.append(clock.seconds(tick))
            clock.tick.append(tick)
            clock.tick_s.append(0.0)
        clock.tick_s[-1] = tempo * 1e-6 / division
    return clock
