"""Divide a stream of samples into overlapping windows of equal length.

The last window is shifted back to end with the track instead of being padded: MERT's first
block normalises over time, so padding would change every frame. A track shorter than one
window is one window of its own length.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from mess_core.errors import EncoderError

__all__ = ["stream_windows", "window_starts"]


def window_starts(samples: int, window: int, hop: int) -> list[int]:
    """Return the first sample of every window of a track.

    Parameters
    ----------
    samples, window, hop : int
        Lengths in samples.

    Returns
    -------
    list of int
        Multiples of `hop`, and ``samples - window`` at the end if that is not one of them.

    Raises
    ------
    EncoderError
        If `window` or `hop` is not positive.

    Examples
    --------
    >>> window_starts(12, window=5, hop=3), window_starts(4, window=5, hop=3)
    ([0, 3, 6, 7], [0])
    """
    if window <= 0 or hop <= 0:
        raise EncoderError(f"window and hop must be positive, not {window} and {hop} samples")
    if samples <= window:
        return [0]
    starts = list(range(0, samples - window + 1, hop))
    if starts[-1] + window < samples:
        starts.append(samples - window)
    return starts


def stream_windows(
    blocks: Iterable[NDArray[np.float32]], window: int, hop: int
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield the windows of a track of unknown length, in bounded memory.

    Parameters
    ----------
    blocks : iterable of float32 arrays [samples_of_block]
    window, hop : int
        Lengths in samples.

    Yields
    ------
    start : int
        First sample of the window, as in `window_starts`.
    samples : ndarray, float32, shape [window] ([samples] if the track is shorter)
    """
    if window <= 0 or hop <= 0:
        raise EncoderError(f"window and hop must be positive, not {window} and {hop} samples")
    held = np.empty(0, dtype=np.float32)  # samples from `held_from` on
    held_from = 0
    upcoming = 0
    total = 0
    for block in blocks:
        held = np.concatenate([held, block])
        total += len(block)
        while upcoming + window <= total:
            offset = upcoming - held_from
            yield upcoming, held[offset : offset + window].copy()
            upcoming += hop
        # The shifted last window may reach back to `total - window`.
        keep_from = max(held_from, min(upcoming, total - window))
        held = held[keep_from - held_from :]
        held_from = keep_from
    if total == 0:
        return
    if total < window:
        yield 0, held.copy()
    elif upcoming - hop + window < total:
        start = total - window
        yield start, held[start - held_from :].copy()
