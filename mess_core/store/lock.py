"""One command at a time that writes to a data root: the next one waits, and says for whom."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from mess_core.errors import StoreError
from mess_core.store.layout import Layout, is_local

__all__ = ["writing"]

_NAME = ".writing.lock"


@contextlib.contextmanager
def writing(layout: Layout, say: Callable[[str], None] = lambda _: None) -> Iterator[None]:
    """Reserve a data root for the commands that write to all of it.

    The operating system releases the lock when its holder ends, however it ends. Readers need none:
    what they read is replaced atomically. An object store is not locked.

    Parameters
    ----------
    layout : Layout
    say : callable
        Called with one line if another command is at work.

    Raises
    ------
    StoreError
        If the data root cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, writing(Layout(folder)):
    ...     print("alone")
    alone
    """
    if not is_local(layout.root):
        yield
        return
    path = Path(layout.root.path) / _NAME
    holder = path.with_suffix(".json")
    lock = FileLock(path, mode=0o666)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            say(f"{_holder(holder)} is at work on {layout.root}; waiting until it ends")
            lock.acquire()
    except OSError as error:
        raise StoreError(
            f"cannot be written ({error.strerror or error})",
            path=str(layout.root),
            remedy="Check its permissions, or name another data root (MESS_DATA_ROOT)",
        ) from error
    try:
        _sign(holder)
        yield
    finally:
        with contextlib.suppress(OSError):
            holder.unlink(missing_ok=True)
        lock.release()


def _sign(holder: Path) -> None:
    now = datetime.datetime.now().astimezone().isoformat(timespec="minutes")
    command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:2]])
    # Another user's signature, left by a command that was killed, cannot be written to.
    with contextlib.suppress(OSError):
        holder.unlink(missing_ok=True)
        holder.write_text(json.dumps({"pid": os.getpid(), "command": command, "since": now}))


def _holder(holder: Path) -> str:
    try:
        one = json.loads(holder.read_text())
        return f"another command ({one['command']}, process {one['pid']}, since {one['since']})"
    except (OSError, ValueError, KeyError):  # it has only just begun
        return "another command"
