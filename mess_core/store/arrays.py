"""Write bytes and arrays atomically, and read arrays memory-mapped.

A local file is written under a temporary name in the same folder, flushed to disk and
renamed over the target; on an object store a single put is already atomic. A reader
therefore sees the old file, the new file or no file, never a partial one.
"""

from __future__ import annotations

import contextlib
import io
import os
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mess_core.errors import StoreError
from mess_core.store.layout import is_local

__all__ = [
    "move_into_place",
    "part_file",
    "read_array",
    "remove_folder",
    "remove_stale_parts",
    "write_array",
    "write_bytes",
]

_PART = ".part-"


def write_bytes(path: Any, content: bytes) -> None:
    """Write `content` to `path` atomically, creating its folder.

    Raises
    ------
    StoreError
        If the bytes cannot be written (full disk, no permission). No partial file remains.
    """
    if not is_local(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        except OSError as error:
            raise _unwritable(path, error) from error
        return
    with part_file(path) as part:
        try:
            Path(part).write_bytes(content)
        except OSError as error:
            raise _unwritable(path, error) from error
        move_into_place(part, path)


@contextlib.contextmanager
def part_file(path: Any) -> Iterator[str]:
    """Yield an unused local file name for the content of `path`, and delete the file on exit.

    The file is in the folder of a local `path`, so that it can be renamed, and otherwise in
    the folder for temporary files.

    Raises
    ------
    StoreError
        If the folder cannot be created.
    """
    name = f"{_PART}{path.name[:150]}-{os.getpid()}-{secrets.token_hex(4)}"
    if is_local(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unwritable(path, error) from error
        part = Path(str(path.parent)) / name
    else:
        part = Path(tempfile.gettempdir()) / name
    try:
        yield str(part)
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def move_into_place(part: str, path: Any) -> None:
    """Move a local file to `path` atomically: flush and rename it, or upload it.

    Raises
    ------
    StoreError
        If `path` cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not is_local(path):
            path.fs.put_file(part, path.path)
            return
        with Path(part).open("rb+") as file:
            os.fsync(file.fileno())
        Path(part).replace(str(path))
        _sync_folder(str(path.parent))
    except OSError as error:
        raise _unwritable(path, error) from error


def write_array(path: Any, array: NDArray[Any]) -> None:
    """Write an array as a ``.npy`` file atomically, without pickled objects.

    Raises
    ------
    StoreError
        If the file cannot be written.

    Examples
    --------
    >>> from upath import UPath
    >>> path = UPath("memory://examples/zeros.npy")
    >>> write_array(path, np.zeros((2, 3)))
    >>> read_array(path).shape
    (2, 3)
    """
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
    write_bytes(path, buffer.getvalue())


def read_array(path: Any, *, mmap: bool = True) -> NDArray[Any]:
    """Read a ``.npy`` file; a local file is memory-mapped and read-only.

    Raises
    ------
    StoreError
        If the file is missing or is not a plain array.

    Examples
    --------
    >>> import tempfile
    >>> from upath import UPath
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_array(UPath(folder) / "a.npy", np.arange(3))
    ...     read_array(UPath(folder) / "a.npy").tolist()
    [0, 1, 2]
    """
    try:
        if is_local(path):
            array: NDArray[Any] = np.load(
                str(path), mmap_mode="r" if mmap else None, allow_pickle=False
            )
            return array
        with path.open("rb") as file:
            remote: NDArray[Any] = np.load(io.BytesIO(file.read()), allow_pickle=False)
            return remote
    except FileNotFoundError as error:
        raise StoreError(
            "does not exist",
            path=str(path),
            remedy="Run `mess run`, or materialise the asset that writes it",
        ) from error
    except (ValueError, EOFError, OSError) as error:
        raise StoreError(
            f"is not a readable array ({error})",
            path=str(path),
            remedy="Delete it and materialise it again",
        ) from error


def remove_stale_parts(folder: Any, *, older_than_s: float = 3600.0) -> int:
    """Delete temporary files that killed writers left in a local folder; return their number."""
    import time

    if not is_local(folder) or not folder.exists():
        return 0
    removed = 0
    for part in folder.rglob(f"{_PART}*"):
        try:
            if time.time() - part.stat().st_mtime > older_than_s:
                part.unlink()
                removed += 1
        except FileNotFoundError:  # the writer has finished or cleaned up by now
            continue
    return removed


def remove_folder(folder: Any) -> None:
    """Delete a folder, which may be remote, with all its files; nothing if it does not exist."""
    try:
        if folder.exists():
            folder.fs.rm(folder.path, recursive=True)
    except OSError as error:
        raise StoreError(f"cannot be removed ({error})", path=str(folder)) from error


def _sync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unwritable(path: Any, error: OSError) -> StoreError:
    return StoreError(
        f"cannot be written ({error.strerror or error})",
        path=str(path),
        remedy="Free some space or check the permissions of the data root, then run again",
    )
