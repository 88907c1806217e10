"""Rhythm targets: tempo and onset density."""

from __future__ import annotations

import numpy as np

from mess_core.audio import SAMPLE_RATE
from mess_core.targets.analysis import HOP, AudioAnalysis
from mess_core.targets.registry import target

__all__ = ["onset_density", "tempo"]

_CHUNK_FRAMES = 2048  # 44 s: bounds the tempogram's memory on long tracks


@target("tempo", dimension="rhythm", unit="BPM", source="audio", on_segments=False, log2=True)
def tempo(audio: AudioAnalysis) -> float:
    """Mode of the time-averaged autocorrelation tempogram, with a log-normal prior.

    Grosche, Müller and Kurth (2010) for the tempogram; the prior (centre 120 BPM, one
    octave wide) as in librosa.feature.tempo. NaN where nothing recurs.
    """
    import librosa

    envelope = audio.onset_envelope
    if len(audio.onset_frames) < 4:
        return float("nan")
    total = np.zeros(384)
    for first in range(0, len(envelope), _CHUNK_FRAMES):
        part = envelope[first : first + _CHUNK_FRAMES]
        if len(part) < 384 and first > 0:
            break
        tempogram = librosa.feature.tempogram(
            onset_envelope=part, sr=SAMPLE_RATE, hop_length=HOP, norm=None
        )  # [384, frames]
        total += tempogram.sum(axis=1)
    bpm = librosa.tempo_frequencies(len(total), hop_length=HOP, sr=SAMPLE_RATE)  # [384]
    with np.errstate(divide="ignore"):
        log_prior = -0.5 * np.square(np.log2(bpm) - np.log2(120.0))
        score = np.log1p(1e6 * np.maximum(total / max(total[0], 1e-12), 0)) + log_prior
    score[(bpm > 320) | (bpm < 20)] = -np.inf
    return float(bpm[int(np.argmax(score))])


@target("onset_density", dimension="rhythm", unit="1/s", source="audio")
def onset_density(audio: AudioAnalysis) -> float:
    """Detected onsets per second of sounding time (onsets by librosa's spectral flux)."""
    if audio.sounding_s == 0:
        return float("nan")
    return len(audio.onset_frames) / audio.sounding_s
