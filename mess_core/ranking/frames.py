"""Frames of clips: one of an encoder's states over time, computed once and cached."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mess_core.audio import load_audio
from mess_core.errors import StoreError
from mess_core.store.arrays import read_array, write_array
from mess_core.store.cache import fingerprint

if TYPE_CHECKING:
    import pandas as pd

    from mess_core.encoders import Encoder

__all__ = ["Frames", "clip_frames", "library_frames"]

Frames = NDArray[np.float16]
"""States of a clip over time, [frames, dim]."""


def clip_frames(encoder: Encoder, wave: NDArray[np.float32]) -> Frames:
    """Return the middle state of a clip over time, float16 [frames, dim].

    The clip is one window, so it must not be longer than the encoder takes.

    Parameters
    ----------
    encoder : Encoder
    wave : ndarray, float32, shape [samples]
        At the encoder's sample rate.
    """
    states = encoder.hidden_states(wave)
    frames: Frames = states[len(states) // 2].astype(np.float16)
    return frames


def library_frames(
    passages: pd.DataFrame,
    tracks: pd.DataFrame,
    folder: Any,
    *,
    identity: dict[str, Any],
    encoder: Callable[[], Encoder],
    say: Callable[[str], None] = lambda _: None,
) -> tuple[Frames, ...]:
    """Return the frames of the clips of a passage table, from the recordings.

    Parameters
    ----------
    passages : DataFrame
        As returned by `find_passages`.
    tracks : DataFrame
        The track table.
    folder : UPath
        Folder of the cached frames.
    identity : dict
        Identity of the encoder.
    encoder : callable
        Returns the encoder; called only if a clip is not cached.
    say : callable
        Called with progress messages.

    Returns
    -------
    tuple of ndarray, float16, shape [frames, dim]
        In the order of ``passages``.

    Raises
    ------
    AudioError
        If a recording cannot be read.
    StoreError
        If the folder cannot be written.
    """
    known = tracks.set_index("track_id")
    stamp = fingerprint("frames", identity)
    row_of = {clip: row for row, clip in enumerate(passages["clip_id"])}
    found: list[Frames | None] = [None] * len(passages)
    for number, (track, rows) in enumerate(passages.groupby("track_id", sort=False), start=1):
        wave: NDArray[np.float32] | None = None
        audio = known.loc[track]
        for row in rows.itertuples():
            span = f"{row.start_s:.3f}-{row.end_s:.3f}"
            told = f"{stamp}{audio['audio_sha256']}{span}"
            path = folder / stamp[:12] / f"{hashlib.sha256(told.encode()).hexdigest()[:32]}.npy"
            try:
                frames = read_array(path)  # mapped: several processes share it
            except StoreError:
                if wave is None:
                    wave = load_audio(audio["audio_path"], sample_rate=encoder().sample_rate)
                rate = encoder().sample_rate
                part = wave[round(row.start_s * rate) : round(row.end_s * rate)]
                frames = clip_frames(encoder(), part)
                write_array(path, frames)
            found[row_of[row.clip_id]] = frames
        if number % 100 == 0:
            say(f"frames of {number} tracks")
    return tuple(one for one in found if one is not None)
