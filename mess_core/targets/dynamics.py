"""Dynamics targets: loudness and its changes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mess_core.targets.analysis import FRAME_RATE_HZ, AudioAnalysis
from mess_core.targets.registry import target

__all__ = [
    "crescendo_strength",
    "diminuendo_strength",
    "dynamic_range",
    "dynamic_variance",
]

_MOMENTARY_S = 0.4
_SMOOTHING_S = 2.0
_SHORTEST_S, _LONGEST_S = 2.0, 10.0


@target("dynamic_range", dimension="dynamics", unit="dB", source="audio")
def dynamic_range(audio: AudioAnalysis) -> float:
    """95th minus 5th percentile of momentary loudness while sounding; independent of level.

    Power is averaged over 0.4 s (the momentary window of ITU-R BS.1770), so that the decay
    of single notes does not count as dynamics.
    """
    from scipy.ndimage import uniform_filter1d

    where = np.flatnonzero(audio.sounding)
    if len(where) == 0:
        return float("nan")
    music = slice(where[0], where[-1] + 1)  # silence around it would add fades
    power = np.square(audio.rms[music].astype(np.float64))
    momentary = uniform_filter1d(power, round(_MOMENTARY_S * FRAME_RATE_HZ), mode="nearest")
    heard = momentary[audio.sounding[music]]
    low, high = np.percentile(10 * np.log10(np.maximum(heard, heard.max() * 1e-8)), [5, 95])
    return float(high - low)


@target("dynamic_variance", dimension="dynamics", unit="1", source="audio")
def dynamic_variance(audio: AudioAnalysis) -> float:
    """Variance of the frames' RMS divided by their mean RMS; proportional to level."""
    rms = audio.rms[audio.sounding].astype(np.float64)
    return float(rms.var() / rms.mean()) if len(rms) else float("nan")


@target("crescendo_strength", dimension="dynamics", unit="dB", source="audio", on_segments=False)
def crescendo_strength(audio: AudioAnalysis) -> float:
    """Largest rise of smoothed loudness between two moments 2 to 10 s apart."""
    return _largest_rise(_smoothed_loudness_db(audio))


@target("diminuendo_strength", dimension="dynamics", unit="dB", source="audio", on_segments=False)
def diminuendo_strength(audio: AudioAnalysis) -> float:
    """Largest fall of smoothed loudness between two moments 2 to 10 s apart."""
    return _largest_rise(-_smoothed_loudness_db(audio))


def _smoothed_loudness_db(audio: AudioAnalysis) -> NDArray[np.float64]:
    """Return the power averaged over a 2 s Hann window, in dB per frame, without the ends."""
    from scipy.signal import oaconvolve

    where = np.flatnonzero(audio.sounding)
    if len(where) == 0:
        return np.empty(0)
    power = np.square(audio.rms[where[0] : where[-1] + 1].astype(np.float64))
    width = round(_SMOOTHING_S * FRAME_RATE_HZ)
    if len(power) <= width:
        return np.empty(0)
    # Only windows that lie within the music, since those at the edges would add fades.
    window = np.hanning(width + 2)[1:-1]
    smooth = oaconvolve(power, window / window.sum(), mode="valid")
    floor = smooth.max() * 1e-5
    loudness: NDArray[np.float64] = 10 * np.log10(np.maximum(smooth, floor))
    return loudness


def _largest_rise(loudness_db: NDArray[np.float64]) -> float:
    shortest, longest = round(_SHORTEST_S * FRAME_RATE_HZ), round(_LONGEST_S * FRAME_RATE_HZ)
    if len(loudness_db) <= shortest:
        return float("nan")
    rises = [
        float((loudness_db[lag:] - loudness_db[:-lag]).max())
        for lag in range(shortest, min(longest, len(loudness_db) - 1) + 1)
    ]
    return max(0.0, *rises)
