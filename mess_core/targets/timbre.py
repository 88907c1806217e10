"""Timbre targets: librosa's spectral features, averaged over sounding frames."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mess_core.targets.analysis import AudioAnalysis
from mess_core.targets.registry import target

__all__ = ["spectral_bandwidth", "spectral_centroid", "spectral_rolloff", "zero_crossing_rate"]


@target("spectral_centroid", dimension="timbre", unit="Hz", source="audio")
def spectral_centroid(audio: AudioAnalysis) -> float:
    """Mean over sounding frames of the magnitude-weighted mean frequency (librosa)."""
    return _mean(audio.centroid_hz, audio)


@target("spectral_bandwidth", dimension="timbre", unit="Hz", source="audio")
def spectral_bandwidth(audio: AudioAnalysis) -> float:
    """Mean over sounding frames of the spread around the centroid (librosa, p = 2)."""
    return _mean(audio.bandwidth_hz, audio)


@target("spectral_rolloff", dimension="timbre", unit="Hz", source="audio")
def spectral_rolloff(audio: AudioAnalysis) -> float:
    """Mean over sounding frames of the frequency below which 85 % of the magnitude lies."""
    return _mean(audio.rolloff_hz, audio)


@target("zero_crossing_rate", dimension="timbre", unit="1", source="audio")
def zero_crossing_rate(audio: AudioAnalysis) -> float:
    """Mean over sounding frames of the share of samples where the sign changes (librosa)."""
    return _mean(audio.zero_crossings, audio)


def _mean(per_frame: NDArray[np.float32], audio: AudioAnalysis) -> float:
    values = per_frame[audio.sounding]
    return float(values.mean(dtype=np.float64)) if len(values) else float("nan")
