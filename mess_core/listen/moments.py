"""Corresponding moments of a query and a hit, for switching between them during playback."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mess_core.audio import audio_info, stream_audio
from mess_core.errors import AudioError, MidiError, SearchError, StoreError
from mess_core.midi.alignment import TRUSTED, align
from mess_core.search.query import Library

__all__ = ["Moment", "chroma_map", "moment", "sound_map"]

_STEP_S = 0.2
_RATE = 11_025
_LONGEST_S = 1800.0
_QUIET = np.float32(1e-4)
TimeMap = Callable[[float], tuple[float, float]]
How = Literal["notes", "sound", "passage", "start"]


@dataclass(frozen=True)
class Moment:
    """The moment of a hit that corresponds to a moment of the query.

    Attributes
    ----------
    time_s : float
        Seconds in the hit.
    how : {"notes", "sound", "passage", "start"}
        How it was found: by aligning the notes or the chroma of two performances of the same
        work, as the most similar passage, or, if all of these fail, the start of the hit.
    confidence : float
        Share of aligned notes, similarity of the aligned chroma, or cosine similarity; 0..1.
    """

    time_s: float
    how: How
    confidence: float


def moment(library: Library, query: str, hit: str, time_s: float) -> Moment:
    """Return the moment of `hit` that corresponds to `time_s` of `query`.

    Parameters
    ----------
    library : Library
    query, hit : str
        Track ids.
    time_s : float
        Seconds in `query`.

    Raises
    ------
    SearchError
        If a track is not in the library.
    """
    if not math.isfinite(time_s):
        raise SearchError(f"{time_s} s is no moment")
    rows = library.tracks.set_index("track_id")
    for track in (query, hit):
        if track not in rows.index:
            raise SearchError(f"track {track!r} is not in the library")
    if query == hit:
        return Moment(time_s, "notes", 1.0)
    one, other = rows.loc[query], rows.loc[hit]
    same = isinstance(one["work_id"], str) and one["work_id"] == other["work_id"]
    aligners: list[tuple[How, str, Callable[[str, str], TimeMap | None]]] = [
        ("notes", "midi_path", _by_notes),
        ("sound", "audio_path", sound_map),
    ]
    if same:
        for how, column, aligned in aligners:
            paths = one[column], other[column]
            if all(isinstance(path, str) for path in paths):
                time_map = aligned(*paths)
                if time_map is not None:
                    there, confidence = time_map(time_s)
                    if confidence >= TRUSTED:
                        last = float(other["duration_s"])
                        return Moment(min(max(there, 0.0), last), how, confidence)
    try:
        begin, _, score = library.moment(query, time_s, hit)
    except (SearchError, StoreError):  # these tracks have no passages: play the hit from its start
        return Moment(0.0, "start", 0.0)
    return Moment(begin, "passage", score)


@lru_cache(maxsize=64)
def _by_notes(a: str, b: str) -> TimeMap | None:
    try:
        alignment = align(a, b)
    except MidiError:
        return None

    def at(time_s: float) -> tuple[float, float]:
        return float(alignment.map_time(time_s)), float(alignment.confidence(time_s))

    return at


@lru_cache(maxsize=16)
def sound_map(a: str, b: str) -> TimeMap | None:
    """Return the map of times by aligned chroma, or None if it cannot be found."""
    try:
        if max(audio_info(a).duration_s, audio_info(b).duration_s) > _LONGEST_S:
            return None
        return chroma_map(_chroma(a), _chroma(b))
    except AudioError:
        return None


def chroma_map(a: NDArray[np.float32], b: NDArray[np.float32]) -> TimeMap:
    """Align two recordings by dynamic time warping of their chroma.

    Parameters
    ----------
    a, b : ndarray, float32, shape [12, frames]
        Chroma with a hop of 0.2 s.

    Returns
    -------
    callable
        Maps seconds in `a` to seconds in `b` and the mean similarity over 5 s around them, 0..1.

    References
    ----------
    M. Müller, *Fundamentals of Music Processing*, 2015, section 3.2; `librosa.sequence.dtw`.
    """
    import librosa

    # Silence has no chroma, and no angle to any other: a little of every pitch class instead.
    a, b = a + _QUIET, b + _QUIET
    _, path = librosa.sequence.dtw(a, b, metric="cosine")
    path = path[::-1]
    unit_a, unit_b = (x / np.maximum(np.linalg.norm(x, axis=0), 1e-9) for x in (a, b))
    similarity = (unit_a[:, path[:, 0]] * unit_b[:, path[:, 1]]).sum(axis=0)
    frames = np.arange(a.shape[1])
    counts = np.bincount(path[:, 0], minlength=len(frames))
    there = np.bincount(path[:, 0], weights=path[:, 1], minlength=len(frames)) / counts
    agreed = np.bincount(path[:, 0], weights=similarity, minlength=len(frames)) / counts
    window = np.ones(25)
    agreed = np.convolve(agreed, window, "same") / np.convolve(np.ones(len(agreed)), window, "same")

    def at(time_s: float) -> tuple[float, float]:
        frame = time_s / _STEP_S
        mapped = np.interp(frame, frames, there) * _STEP_S
        return float(mapped), float(np.interp(frame, frames, agreed))

    return at


def _chroma(path: str) -> NDArray[np.float32]:
    import librosa

    blocks: list[Any] = list(stream_audio(path, sample_rate=_RATE))
    found: NDArray[np.float32] = librosa.feature.chroma_stft(
        y=np.concatenate(blocks), sr=_RATE, n_fft=4096, hop_length=int(_RATE * _STEP_S), tuning=0.0
    )
    return found
