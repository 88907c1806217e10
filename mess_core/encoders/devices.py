"""Reserve GPUs, so that at most one process uses a device: one lock file per device.

The slots of an orchestrator separate its own runs, but do not keep a notebook, a second
orchestrator or another user's command off a GPU that is in use. A file lock does, and the
operating system releases it when its holder dies.
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
    """Reserve a GPU while the block runs; other devices are not reserved.

    Parameters
    ----------
    wanted : str
        ``"auto"`` or ``"cuda"``: the first free CUDA device, after waiting for one if
        necessary; ``"cuda:1"``: that device; anything else is returned unchanged.
    count : callable, optional
        Number of CUDA devices; by default torch's.
    folder : path-like, optional
        Folder of the lock files; by default ``MESS_LOCKS``, or one in the temporary folder
        that all users of the machine share.
    patience_s : float, optional
        How long to wait in seconds; without limit by default.

    Yields
    ------
    str
        The device to use: ``"cuda:0"``, ``"cpu"``, ...

    Raises
    ------
    TimeoutError
        If no device became free within `patience_s`.
    """
    devices = _candidates(wanted, count or _cuda_devices)
    if not devices:
        yield wanted
        return
    shared = Path(tempfile.gettempdir()) / "mess"
    lock_folder = Path(folder or os.environ.get("MESS_LOCKS") or shared)
    lock_folder.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(PermissionError):  # owned by another user, and writable already
        lock_folder.chmod(0o777)
    device, lock = _acquire(devices, lock_folder, patience_s)
    try:
        yield device
    finally:
        lock.release()


def _acquire(
    devices: list[str], lock_folder: Path, patience_s: float | None
) -> tuple[str, FileLock]:
    # Named by physical device, since two containers of one host may share the lock folder.
    locks = {
        device: FileLock(lock_folder / f"{_physical(device)}.lock", mode=0o666)
        for device in devices
    }
    began, reported = time.monotonic(), False
    while True:
        for device, lock in locks.items():
            # Another user's lock file that cannot be opened counts as held.
            with contextlib.suppress(Timeout, PermissionError):
                lock.acquire(timeout=0)
                return device, lock
        if patience_s is not None and time.monotonic() - began > patience_s:
            raise TimeoutError(f"no GPU of {', '.join(devices)} became free in {patience_s:g} s")
        if not reported:
            _log.info("waiting for a GPU: %s in use by other processes", ", ".join(devices))
            reported = True
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
