"""Audio files and waveform peaks for the browser."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from upath import UPath

from mess_core.audio import audio_info, stream_audio
from mess_core.errors import AudioError
from mess_core.store.layout import is_local

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["audio_file", "peaks"]

_RATE = 8_000


def audio_file(tracks: pd.DataFrame, track: str) -> Path:
    """Return the local audio file of a track, after downloading a remote one to a cache.

    Only paths listed in the track table are opened.

    Parameters
    ----------
    tracks : DataFrame
        With the columns ``track_id, audio_path``.
    track : str
        Track id.

    Raises
    ------
    AudioError
        If the track is unknown or has no audio, or its file is missing.
    """
    rows = tracks.loc[tracks["track_id"] == track, "audio_path"]
    if rows.empty or not isinstance(rows.iloc[0], str):
        raise AudioError(
            f"track {track!r} has no audio here",
            remedy="Searching works without audio; to listen, add the audio and materialise tracks",
        )
    path = UPath(rows.iloc[0])
    if is_local(path):
        local = Path(str(path))
    else:
        import fsspec

        try:
            local = Path(fsspec.open_local(f"filecache::{rows.iloc[0]}", mode="rb"))
        except (OSError, ValueError) as error:
            raise AudioError(f"cannot be fetched ({error})", path=rows.iloc[0]) from error
    if not local.is_file():
        raise AudioError(
            "the audio file is missing",
            path=str(local),
            remedy="Restore it, or materialise tracks again",
        )
    return local


def peaks(path: Path, count: int = 1000) -> tuple[list[float], float]:
    """Return the peaks of a recording for drawing its waveform.

    Parameters
    ----------
    path : Path
    count : int
        Largest number of peaks to return.

    Returns
    -------
    peaks : list of float
        Largest magnitude in each of equally long parts of the recording, 0..1.
    duration_s : float
        Duration in seconds.

    Raises
    ------
    AudioError
        If the recording cannot be decoded.
    """
    return _peaks(str(path), path.stat().st_mtime_ns, count)


@lru_cache(maxsize=256)
def _peaks(path: str, _changed: int, count: int) -> tuple[list[float], float]:
    duration_s = audio_info(path).duration_s
    per_part = max(1, int(np.ceil(duration_s * _RATE / count)))
    found: list[float] = []
    rest = np.zeros(0, dtype=np.float32)
    for block in stream_audio(path, sample_rate=_RATE, allow_silence=True):
        rest = np.concatenate([rest, np.abs(block)])
        whole = len(rest) // per_part
        if whole:
            found += rest[: whole * per_part].reshape(whole, per_part).max(axis=1).tolist()
        rest = rest[whole * per_part :]
    if len(rest):
        found.append(float(rest.max()))
    return [round(min(value, 1.0), 3) for value in found], duration_s
