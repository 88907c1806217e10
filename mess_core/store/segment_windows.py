"""Windows of stored segments: which of them serve an encoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["windows_serve"]


def windows_serve(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Return whether stored segments include those of other windows.

    They do if the windows are as long and every hop of the wanted ones is a whole number of the
    stored: encoders with and without overlap of windows share the targets of their segments.

    Parameters
    ----------
    stored, wanted : mapping
        ``window_s`` and ``hop_s``, in seconds.

    Examples
    --------
    >>> stored = {"window_s": 5.0, "hop_s": 2.5}
    >>> windows_serve(stored, {"window_s": 5.0, "hop_s": 5.0})
    True
    >>> windows_serve(stored, {"window_s": 5.0, "hop_s": 2.0})
    False
    """
    if not stored or stored.get("window_s") != wanted["window_s"]:
        return False
    hops = wanted["hop_s"] / stored["hop_s"]
    return bool(round(hops) >= 1 and abs(hops - round(hops)) < 1e-6)
