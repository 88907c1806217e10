"""A file-like object of bytes followed by a part of another file, without copying that."""

from __future__ import annotations

import io
from typing import Any

__all__ = ["Spliced"]


class Spliced(io.RawIOBase):
    """`head`, followed by what `rest` has from the byte `start` on; for reading.

    Examples
    --------
    >>> file = Spliced(b"new ", io.BytesIO(b"old file"), 4)
    >>> file.read()
    b'new file'
    >>> file.seek(-4, io.SEEK_END), file.read(2)
    (4, b'fi')
    """

    def __init__(self, head: bytes, rest: Any, start: int) -> None:
        super().__init__()
        self._head, self._rest, self._start, self._at = head, rest, start, 0
        self._size = len(head) + max(0, rest.seek(0, io.SEEK_END) - start)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        wanted = len(buffer)
        content = self._head[self._at : self._at + wanted]
        if len(content) < wanted:
            self._rest.seek(self._start + self._at + len(content) - len(self._head))
            content += self._rest.read(wanted - len(content))
        buffer[: len(content)] = content
        self._at += len(content)
        return len(content)
