"""Settings that environment variables give, cheap to import."""

from __future__ import annotations

import os

from mess_core.errors import MessError

__all__ = ["PIANO", "configured_encoder", "configured_workers"]

PIANO = "mess-piano"
"""The small encoder that comes with the package; see ``encoders/weights/README.md``."""


def configured_encoder() -> str:
    """Return the name or folder of the encoder: ``MESS_ENCODER``, or else ``"mess-piano"``.

    Examples
    --------
    >>> from unittest.mock import patch
    >>> with patch.dict("os.environ", MESS_ENCODER=""):
    ...     configured_encoder()
    'mess-piano'
    """
    return os.environ.get("MESS_ENCODER") or PIANO


def configured_workers() -> int:
    """Return the number of processes: ``MESS_WORKERS``, or else the cores that may be used.

    Raises
    ------
    MessError
        If ``MESS_WORKERS`` is not a positive number.

    Examples
    --------
    >>> from unittest.mock import patch
    >>> with patch.dict("os.environ", MESS_WORKERS="3"):
    ...     configured_workers()
    3
    """
    text = os.environ.get("MESS_WORKERS", "")
    if not text:
        affinity = getattr(os, "sched_getaffinity", None)
        return len(affinity(0)) if affinity else os.cpu_count() or 1
    if not text.isdecimal() or int(text) < 1:
        raise MessError(f"MESS_WORKERS is {text!r}, not a number of processes")
    return int(text)
