"""Count the frames of MP3 files, and write the header that says their number.

libsndfile takes the length of an MP3 from a Xing header in its first frame. Without one it guesses
from the first frame's bit rate, and stops there: of a file with variable bit rate most may be
missing. Where that header is missing, or counts only the first of several joined files, one with
the true number is put in front.

Frames: ISO/IEC 11172-3 and 13818-3. Xing header: https://www.codeproject.com/Articles/8295
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import BinaryIO

from mess_core.audio.spliced import Spliced

__all__ = ["after_tags", "with_length"]

_BITRATES = {  # kb/s by bit rate index, for MPEG 1 and for MPEG 2 and 2.5
    3: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
_LAYER_3, _MPEG_1, _MONO = 1, 3, 3
_HIGH_BITRATE = 11  # of a frame that has room for the header
_SLACK_BYTES = 2_000  # a frame and its padding
_HEAD = 1 << 16


@dataclass(frozen=True)
class _Frame:
    version: int
    size: int
    mono: bool

    @property
    def tag_at(self) -> int:
        """Where a Xing header is, in bytes from the start of the frame."""
        if self.version == _MPEG_1:
            return 4 + (17 if self.mono else 32)
        return 4 + (9 if self.mono else 17)


def with_length(file: BinaryIO | Spliced) -> Spliced | None:
    """Return an MP3 file with a header that states its length, or None if it needs none.

    Parameters
    ----------
    file : file object
        Open for reading bytes; its position is changed.

    Returns
    -------
    file object or None
        None for a file with a header that agrees with its size, and for what is no MP3.

    Examples
    --------
    >>> with_length(io.BytesIO(b"RIFF....WAVE")) is None
    True
    """
    first = after_tags(file)
    file.seek(first)
    head = file.read(_HEAD)
    start = _next_frame(head, 0)
    if start is None:
        return None
    frame = _frame(head, start)
    assert frame is not None
    tag = head[start + frame.tag_at : start + frame.tag_at + 16]
    has_header = tag[:4] in (b"Xing", b"Info")
    if has_header and tag[7] & 3 == 3:  # it states frames and bytes
        present = _before_tags(file) - first - start
        if present <= int.from_bytes(tag[12:16], "big") + _SLACK_BYTES:
            return None
    file.seek(first + start)
    content = file.read()
    begin = frame.size if has_header else 0
    count = _count(content, begin)
    return Spliced(_header(head[start : start + 4], count), file, first + start + begin)


def after_tags(file: BinaryIO | Spliced) -> int:
    """Return where the ID3 tags at the beginning of a file end, in bytes."""
    at = 0
    while True:
        file.seek(at)
        tag = file.read(10)
        if len(tag) < 10 or tag[:3] != b"ID3":
            return at
        size = 0
        for byte in tag[6:10]:
            size = size << 7 | byte & 0x7F
        at += 10 + size


def _before_tags(file: BinaryIO | Spliced) -> int:
    """Return where the ID3v1, APE and Lyrics3 tags at the end of a file begin, in bytes."""
    end = file.seek(0, io.SEEK_END)
    while True:
        file.seek(max(0, end - 128))
        tail = file.read(min(end, 128))
        if tail[:3] == b"TAG" and len(tail) == 128:
            end -= 128
        elif tail[-32:-24] == b"APETAGEX":
            has_header = tail[-9] & 0x80
            end -= int.from_bytes(tail[-20:-16], "little") + (32 if has_header else 0)
        elif tail[-9:] == b"LYRICS200" and tail[-15:-9].isdigit():
            end -= int(tail[-15:-9]) + 15
        else:
            return end
        if end <= 0:
            return 0


def _frame(content: bytes, at: int) -> _Frame | None:
    """Return the frame whose header is at a position, or None if there is none."""
    if at + 4 > len(content) or content[at] != 0xFF or content[at + 1] & 0xE0 != 0xE0:
        return None
    version, layer = content[at + 1] >> 3 & 3, content[at + 1] >> 1 & 3
    bitrate, rate = content[at + 2] >> 4, content[at + 2] >> 2 & 3
    if version == 1 or layer != _LAYER_3 or bitrate in (0, 15) or rate == 3:
        return None
    kilobits = _BITRATES[3 if version == _MPEG_1 else 2][bitrate]
    factor = 144_000 if version == _MPEG_1 else 72_000
    size = factor * kilobits // _RATES[version][rate] + (content[at + 2] >> 1 & 1)
    return _Frame(version, size, content[at + 3] >> 6 == _MONO)


def _next_frame(content: bytes, at: int) -> int | None:
    """Return where the next frame begins that another one follows, or None."""
    while (at := content.find(b"\xff", at)) >= 0:
        found = _frame(content, at)
        if found is not None and _frame(content, at + found.size) is not None:
            return at
        at += 1
    return None


def _count(content: bytes, at: int) -> int:
    """Return the number of frames from a position on; what is no frame is skipped."""
    count = 0
    while True:
        found = _frame(content, at)
        if found is None:
            following = _next_frame(content, at)
            if following is None:
                return count
            at = following
            continue
        if at + found.size > len(content):
            return count
        count += 1
        at += found.size


def _header(first: bytes, count: int) -> bytes:
    """Return a frame of silence with a Xing header for `count` frames like the first."""
    like = bytes([first[0], first[1] | 1, _HIGH_BITRATE << 4 | first[2] & 0x0C, first[3]])
    frame = _frame(like, 0)
    assert frame is not None
    tag = b"Xing" + (1).to_bytes(4, "big") + count.to_bytes(4, "big")
    content = like + bytes(frame.tag_at - 4) + tag
    return content + bytes(frame.size - len(content))
