"""Spectral features in one pass over a track's short-time spectrum, block by block.

The magnitude spectrogram of a long track is too large to be held in memory several times, and
every librosa feature that is called on samples computes it again. Here it is computed once, in
blocks, and immediately reduced to what the targets need; the values equal librosa's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mess_core.audio import SAMPLE_RATE

__all__ = ["FRAME_RATE_HZ", "HOP", "N_FFT", "SpectralFrames", "spectral_frames"]

N_FFT = 2048
HOP = 512
FRAME_RATE_HZ = SAMPLE_RATE / HOP
_BLOCK_FRAMES = 1024
_ROLLOFF = 0.85
_CHROMA_BINS_PER_OCTAVE = 36  # librosa.feature.chroma_cqt's

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class SpectralFrames:
    """Features of the spectrum of each frame.

    Attributes
    ----------
    centroid_hz, bandwidth_hz, rolloff_hz : ndarray, float32, shape [frames]
    mel_db : ndarray, float32, shape [128, frames]
        Mel power spectrum in dB, limited to 80 dB below its peak.
    tuning : float
        Deviation from A4 = 440 Hz in bins of a third of a semitone.
    """

    centroid_hz: Floats
    bandwidth_hz: Floats
    rolloff_hz: Floats
    mel_db: Floats
    tuning: float


def spectral_frames(samples: Floats) -> SpectralFrames:
    """Analyse centred frames of `N_FFT` samples, `HOP` apart.

    Parameters
    ----------
    samples : ndarray, float32, shape [samples]
        Mono at 24 kHz.

    Returns
    -------
    SpectralFrames
        With ``1 + samples // HOP`` frames, as in librosa.stft.
    """
    import librosa

    padded = np.pad(samples, N_FFT // 2)
    count = 1 + len(samples) // HOP
    frequency = librosa.fft_frequencies(sr=SAMPLE_RATE, n_fft=N_FFT).astype(np.float32)
    # Sum, first and second moment in one product, scaled for the precision of float32.
    scaled = frequency / frequency[-1]
    moments = np.stack([np.ones_like(scaled), scaled, scaled**2])  # [3, bins]
    filters = librosa.filters.mel(sr=SAMPLE_RATE, n_fft=N_FFT)
    summary = np.empty((3, count), dtype=np.float64)
    rolloff = np.empty(count, dtype=np.float32)
    mel = np.empty((len(filters), count), dtype=np.float32)
    pitches, strengths = [], []
    for first in range(0, count, _BLOCK_FRAMES):
        here = slice(first, min(first + _BLOCK_FRAMES, count))
        part = padded[here.start * HOP : (here.stop - 1) * HOP + N_FFT]
        magnitude = np.abs(librosa.stft(part, n_fft=N_FFT, hop_length=HOP, center=False))
        summary[:, here] = moments @ magnitude
        cumulative = np.cumsum(magnitude, axis=0)
        reached = cumulative >= _ROLLOFF * cumulative[-1]
        rolloff[here] = np.where(cumulative[-1] > 0, frequency[reached.argmax(axis=0)], 0.0)
        mel[:, here] = filters @ np.square(magnitude)
        pitch, strength = librosa.piptrack(S=magnitude, sr=SAMPLE_RATE, n_fft=N_FFT)
        found = pitch > 0
        pitches.append(pitch[found])
        strengths.append(strength[found])
    total = np.where(summary[0] > 0, summary[0], 1.0)
    centre, square = summary[1] / total, summary[2] / total
    bandwidth = np.sqrt(np.maximum(square - centre**2, 0.0))
    return SpectralFrames(
        centroid_hz=(centre * frequency[-1]).astype(np.float32),
        bandwidth_hz=(bandwidth * frequency[-1]).astype(np.float32),
        rolloff_hz=rolloff,
        mel_db=librosa.power_to_db(mel),
        tuning=_tuning(np.concatenate(pitches), np.concatenate(strengths)),
    )


def _tuning(pitches: Floats, strengths: Floats) -> float:
    """Return librosa.estimate_tuning, from pitches found block by block."""
    import librosa

    if len(pitches) == 0:
        return 0.0
    strong = pitches[strengths >= np.median(strengths)]
    return float(librosa.pitch_tuning(strong, bins_per_octave=_CHROMA_BINS_PER_OCTAVE))
