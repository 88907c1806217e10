"""One process per GPU: a lock file for each device, whoever starts the process.

An orchestrator's slots keep its own runs apart, but not a notebook, a second orchestrator or
another user's command from a GPU that is in use; a lock that the operating system frees when
its holder dies does.
"""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout

__all__ = ["reserve_device"]

_log = logging.getLogger("mess")
_POLL_S = 0.5


@contextlib.contextmanager
def reserve_device(
    wanted: str = "auto",
    *,
    count: Callable[[], int] | None = None,
    folder: str | os.PathLike[str] | None = None,
    patience_s: float | None = None,
) -> Iterator[str]:
    """Hold a GPU alone while the block runs; what is not a CUDA device is not held.

    Parameters
    ----------
    wanted : str
        ``"auto"`` or ``"cuda"``: the first CUDA device that is free, after waiting for one;
        ``"cuda:1"``: that one; anything else is returned as it is.
    count : callable, optional
        Number of CUDA devices; by default torch's.
    folder : path-like, optional
        Where the lock files lie; by default ``MESS_LOCKS``, or one in the temporary folder
        that all users of the machine share.
    patience_s : float, optional
        How long to wait; for ever by default.

    Yields
    ------
    str
        The device to use: ``"cuda:0"``, ``"cpu"``, ...

    Raises
    ------
    TimeoutError
        If no device became free in `patience_s`.
    """
    devices = _candidates(wanted, count or _cuda_devices)
    if not devices:
        yield wanted
        return
    place = Path(folder or os.environ.get("MESS_LOCKS") or Path(tempfile.gettempdir()) / "mess")
    place.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(PermissionError):  # another user's: made for all already
        place.chmod(0o777)
    device, lock = _acquire(devices, place, patience_s)
    try:
        yield device
    finally:
        lock.release()


def _acquire(devices: list[str], place: Path, patience_s: float | None) -> tuple[str, FileLock]:
    # A name of the physical device: two containers of one host may share its lock folder.
    locks = {
        device: FileLock(place / f"{_physical(device)}.lock", mode=0o666) for device in devices
    }
    began, told = time.monotonic(), False
    while True:
        for device, lock in locks.items():
            # A file of another user that cannot be opened is held as far as we can tell.
            with contextlib.suppress(Timeout, PermissionError):
                lock.acquire(timeout=0)
                return device, lock
        if patience_s is not None and time.monotonic() - began > patience_s:
            raise TimeoutError(f"no GPU of {', '.join(devices)} became free in {patience_s:g} s")
        if not told:
            _log.info("waiting for a GPU: %s in use by other processes", ", ".join(devices))
            told = True
        time.sleep(_POLL_S)


def _candidates(wanted: str, count: Callable[[], int]) -> list[str]:
    if wanted in {"auto", "cuda"}:
        return [f"cuda:{index}" for index in range(count())]
    return [wanted] if wanted.startswith("cuda:") else []


def _physical(device: str) -> str:
    index = int(device.removeprefix("cuda:"))
    visible = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    name = visible[index] if index < len(visible) else str(index)
    return "gpu-" + "".join(letter if letter.isalnum() or letter == "-" else "_" for letter in name)


def _cuda_devices() -> int:
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0
