"""Timbre: where the spectrum's energy lies. librosa's features over sounding frames."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mess_core.audio import SAMPLE_RATE
from mess_core.targets.analysis import HOP, N_FFT, AudioAnalysis
from mess_core.targets.registry import target

__all__ = ["spectral_bandwidth", "spectral_centroid", "spectral_rolloff", "zero_crossing_rate"]


@target("spectral_centroid", dimension="timbre", unit="Hz", source="audio")
def spectral_centroid(audio: AudioAnalysis) -> float:
    """Mean over sounding frames of the magnitude-weighted mean frequency (librosa)."""
    import librosa

    return _mean(librosa.feature.spectral_centroid(S=audio.magnitude, sr=SAMPLE_RATE)[0], audio)


@target("spectral_bandwidth", dimension="timbre", unit="Hz", source="audio")
def spectral_bandwidth(audio: AudioAnalysis) -> float:
    """Mean over sounding frames of the spread around the centroid (librosa, p = 2)."""
    import librosa

    return _mean(librosa.feature.spectral_bandwidth(S=audio.magnitude, sr=SAMPLE_RATE)[0], audio)


@target("spectral_rolloff", dimension="timbre", unit="Hz", source="audio")
def spectral_rolloff(audio: AudioAnalysis) -> float:
    """Mean over sounding frames of the frequency below which 85 % of the magnitude lies."""
    import librosa

    rolloff = librosa.feature.spectral_rolloff(S=audio.magnitude, sr=SAMPLE_RATE, roll_percent=0.85)
    return _mean(rolloff[0], audio)


@target("zero_crossing_rate", dimension="timbre", unit="1", source="audio")
def zero_crossing_rate(audio: AudioAnalysis) -> float:
    """Mean over sounding frames of the share of samples where the sign changes (librosa)."""
    import librosa

    rate = librosa.feature.zero_crossing_rate(audio.samples, frame_length=N_FFT, hop_length=HOP)
    return _mean(rate[0], audio)


def _mean(per_frame: NDArray[np.floating], audio: AudioAnalysis) -> float:
    values = per_frame[audio.sounding]
    return float(values.mean()) if len(values) else float("nan")
