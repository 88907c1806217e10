"""Open audio files whatever their suffix, complete ones with the length that they have."""

from __future__ import annotations

import io
import re
from typing import Any, BinaryIO

import soundfile as sf

from mess_core.audio.mp3 import after_tags, with_length
from mess_core.audio.spliced import Spliced
from mess_core.errors import AudioError

__all__ = ["open_sound", "refuse_missing_frames"]

_REMEDY = "Copy or download it again; part of the recording is missing"
# Streaming writers do not know the length, and write one of these instead.
_STREAMED_SIZES = {0, 0x7FFFFFFF, 0xFFFFFFFF, 0x7FFFF000, 0xFFFFF000}
_CHUNK = re.compile(r"^\s*(.+?)\s*:\s*(\d+) \(should be (\d+)\)", re.MULTILINE)
# What holds the audio in libsndfile's log of a header; of two formats it logs only the whole file.
_AUDIO_CHUNKS = {"data", "SSND", "Data Size"}
_WHOLE_FILE = {"W64": "riff", "RF64": "Riff size"}
_STATES_LENGTH = {"FLAC", "MP3", "WAV", "WAVEX"}
_MP3_DELAY = 4 * 1152
_OGG_PAGE = 65_536
_FIRST_PAGE, _LAST_PAGE = 2, 4
_LOWEST_RATE, _HIGHEST_RATE = 1_000, 1_000_000


def open_sound(file: BinaryIO | Spliced) -> sf.SoundFile:
    """Open an audio file by its content.

    Parameters
    ----------
    file : file object
        Open for reading bytes. It has to stay open while the result is in use.

    Raises
    ------
    AudioError
        If the file states more audio than it holds; without the path, which it does not know.
    soundfile.LibsndfileError
        If libsndfile cannot read it.
    """
    head = file.read(4)
    if head == b"OggS":
        _refuse_cut_page(file)
    file.seek(0)
    if head[:3] == b"ID3" or head[:1] == b"\xff":
        file = with_length(file) or file  # an MP3, if anything
        file.seek(0)
    audio = sf.SoundFile(Spliced(b"", file, 0))  # without a name: content decides
    if not _LOWEST_RATE <= audio.samplerate <= _HIGHEST_RATE:
        raise AudioError(
            f"states a sample rate of {audio.samplerate} Hz", remedy="Convert it again"
        )
    if audio.format == "FLAC" and audio.frames > 1 << 40:
        return _with_counted_frames(file)
    _refuse_cut_chunk(audio)
    return audio


def refuse_missing_frames(audio: sf.SoundFile, read: int) -> None:
    """Raise `AudioError` if a file held fewer frames than its header states."""
    slack = _MP3_DELAY if audio.format == "MP3" else 0
    if audio.format in _STATES_LENGTH and read + slack < audio.frames:
        raise AudioError(
            f"is truncated: {read} of {audio.frames} frames could be decoded", remedy=_REMEDY
        )


def _with_counted_frames(file: BinaryIO | Spliced) -> sf.SoundFile:
    """Return a FLAC whose header has no number of frames as one whose header has."""
    file.seek(0)
    with sf.SoundFile(file) as audio:
        audio.seekable = lambda: False  # soundfile's seek after reading would fail
        count = 0
        while read := len(audio.read(1 << 18, dtype="int16")):
            count += read
    if not count:
        raise AudioError("holds no samples", remedy=_REMEDY)
    begin = after_tags(file)
    file.seek(begin)
    head = file.read(_OGG_PAGE)
    at = head.index(b"fLaC") + 8 + 13  # the low 36 bits of 40 in STREAMINFO
    stated = int.from_bytes(head[at : at + 5], "big") | count
    patched = head[:at] + stated.to_bytes(5, "big") + head[at + 5 :]
    return sf.SoundFile(Spliced(patched, file, begin + len(head)))


def _refuse_cut_chunk(audio: Any) -> None:
    """Raise `AudioError` if a chunk of audio is larger than the file; libsndfile only logs it."""
    wanted = {*_AUDIO_CHUNKS, _WHOLE_FILE.get(audio.format)}
    for name, size, there in _CHUNK.findall(audio.extra_info):
        stated, present = int(size), int(there)
        if name in wanted and present < stated and stated not in _STREAMED_SIZES:
            raise AudioError(
                f"is truncated: {present} of {stated} bytes of audio are present", remedy=_REMEDY
            )


def _refuse_cut_page(file: BinaryIO | Spliced) -> None:
    """Raise `AudioError` if an Ogg file ends early, or several follow each other (RFC 3533)."""
    file.seek(0)
    streams = _first_streams(file.read(2 * _OGG_PAGE))
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - 2 * _OGG_PAGE))
    tail = file.read()
    last = tail.rfind(b"OggS")
    if last < 0:
        return
    segments = tail[last + 26] if last + 26 < len(tail) else 0
    table = tail[last + 27 : last + 27 + segments]
    end = last + 27 + segments + sum(table)
    if last + 27 > len(tail) or len(table) < segments or end > len(tail):
        raise AudioError("is truncated: it ends within a page of audio", remedy=_REMEDY)
    if tail[last + 14 : last + 18] not in streams:
        raise AudioError(
            "holds several recordings, one after the other, of which only the first can be read",
            remedy="Convert it again (ffmpeg -i IN OUT.flac)",
        )
    if not tail[last + 5] & _LAST_PAGE:
        raise AudioError("is truncated: its last page is missing", remedy=_REMEDY)


def _first_streams(head: bytes) -> set[bytes]:
    """Return the serial numbers of the streams that begin an Ogg file together."""
    found: set[bytes] = set()
    at = 0
    while head[at : at + 4] == b"OggS" and at + 27 <= len(head) and head[at + 5] & _FIRST_PAGE:
        found.add(head[at + 14 : at + 18])
        segments = head[at + 26]
        at += 27 + segments + sum(head[at + 27 : at + 27 + segments])
    return found
