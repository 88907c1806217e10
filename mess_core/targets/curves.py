"""Curves: musical properties over time, at two frames per second.

A frame covers the half second around its time; probing uses the frames within each segment
of the encoder. The articulation histogram and the audio descriptors have no time axis.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mess_core.audio import SAMPLE_RATE
from mess_core.midi.performance import Performance
from mess_core.midi.rhythm import log2_tempo
from mess_core.targets.analysis import FRAME_RATE_HZ, HOP, AudioAnalysis
from mess_core.targets.expression import overlap_ratios
from mess_core.targets.phrasing import novelty
from mess_core.targets.registry import curve
from mess_core.targets.rhythm import tempo

__all__ = [
    "CURVE_RATE_HZ",
    "articulation_histogram",
    "audio_descriptors",
    "centroid_trajectory",
    "curve_times",
    "dynamic_arc",
    "local_tempo",
    "performed_tempo",
    "structural_novelty",
    "tonal_tension",
]

CURVE_RATE_HZ = 2.0
_HALF_FRAME_S = 0.5 / CURVE_RATE_HZ
_TEMPOGRAM_FRAMES = 384  # librosa's window: 8.2 s
_CHUNK_FRAMES = 4096
# Weights of the six intervals in the tonal interval space.
_INTERVAL_WEIGHTS = np.array([3.0, 8.0, 11.5, 15.0, 14.5, 7.5])
_HISTOGRAM_BINS, _HISTOGRAM_MAX = 16, 1.5

Floats = NDArray[np.float64]


def curve_times(duration_s: float) -> Floats:
    """Return the middle of each full half second of a track, in seconds; at least one."""
    count = max(1, int(duration_s * CURVE_RATE_HZ))
    middle: Floats = (np.arange(count, dtype=np.float64) + 0.5) / CURVE_RATE_HZ
    return middle


@curve("tonal_tension", unit="1", source="audio")
def tonal_tension(audio: AudioAnalysis, times: Floats) -> Floats:
    """Dissonance of the chroma in the tonal interval space, 0 (one tone) to 1.

    One minus the length of the tonal interval vector over its largest possible length;
    Bernardes et al., "A multi-level tonal interval space for modelling pitch relatedness
    and musical consonance", JNMR 2016.
    """
    chroma = np.stack([_mean_around(row, times, audio.sounding) for row in audio.chroma])
    total = chroma.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        spectrum = np.abs(np.fft.rfft(chroma / total, axis=0))[1:7]  # [6, frames]
    length = np.linalg.norm(_INTERVAL_WEIGHTS[:, None] * spectrum, axis=0)
    tension: Floats = 1.0 - length / np.linalg.norm(_INTERVAL_WEIGHTS)
    return tension


@curve("dynamic_arc", unit="dB", source="audio")
def dynamic_arc(audio: AudioAnalysis, times: Floats) -> Floats:
    """Loudness relative to the track's loudest frame; independent of level."""
    return _mean_around(audio.loudness_db, times, np.ones(audio.frames, dtype=bool))


@curve("local_tempo", unit="log2(BPM/60)", source="audio")
def local_tempo(audio: AudioAnalysis, times: Floats) -> Floats:
    """Strongest period of the tempogram around each moment, near the track's own tempo.

    librosa's autocorrelation tempogram (8.2 s windows) with a log-normal prior half an
    octave wide around the target tempo. NaN where the track has no tempo.
    """
    import librosa

    overall = tempo(audio)
    if not np.isfinite(overall):
        return np.full(len(times), np.nan)
    frequencies = librosa.tempo_frequencies(_TEMPOGRAM_FRAMES, hop_length=HOP, sr=SAMPLE_RATE)
    with np.errstate(divide="ignore"):
        prior = -0.5 * np.square(np.log2(frequencies / overall) / 0.5)
    frame = np.minimum((times * FRAME_RATE_HZ).astype(int), audio.frames - 1)
    result = np.empty(len(times))
    half = _TEMPOGRAM_FRAMES // 2
    for first in range(0, audio.frames, _CHUNK_FRAMES):
        chosen = (frame >= first) & (frame < first + _CHUNK_FRAMES)
        low = max(0, first - half)
        part = audio.onset_envelope[low : first + _CHUNK_FRAMES + half]
        tempogram = librosa.feature.tempogram(
            onset_envelope=part, sr=SAMPLE_RATE, hop_length=HOP, win_length=_TEMPOGRAM_FRAMES
        )[:, frame[chosen] - low]
        score = np.log1p(1e6 * np.maximum(tempogram, 0)) + prior[:, None]
        result[chosen] = np.log2(frequencies[score.argmax(axis=0)] / 60)
    return result


@curve("centroid_trajectory", unit="Hz", source="audio")
def centroid_trajectory(audio: AudioAnalysis, times: Floats) -> Floats:
    """Spectral centroid of the sounding frames; NaN in silence."""
    return _mean_around(audio.centroid_hz, times, audio.sounding)


@curve("structural_novelty", unit="1", source="audio")
def structural_novelty(audio: AudioAnalysis, times: Floats) -> Floats:
    """Checkerboard novelty of harmony, loudness and density (Foote, ICME 2000)."""
    at, values = novelty(audio)
    if len(at) == 0:
        return np.full(len(times), np.nan)
    found: Floats = np.interp(times, at, values, left=np.nan, right=np.nan)
    return found


@curve("performed_tempo", unit="log2(BPM/60)", source="midi")
def performed_tempo(performance: Performance, times: Floats) -> Floats:
    """Tempo between beats that are found from the onsets alone; NaN outside of them."""
    beats = performance.beats_s
    if len(beats) < 2:
        return np.full(len(times), np.nan)
    middle = (beats[1:] + beats[:-1]) / 2
    found: Floats = np.interp(times, middle, log2_tempo(beats), left=np.nan, right=np.nan)
    return found


@curve("articulation_histogram", unit="share", source="midi", timed=False)
def articulation_histogram(performance: Performance, times: Floats) -> Floats:
    """Share of notes by key overlap ratio, 16 equal bins from 0 to 1.5; the last is open."""
    ratios = overlap_ratios(performance, performance.offset_s)
    if len(ratios) == 0:
        return np.full(_HISTOGRAM_BINS, np.nan)
    inside = np.clip(ratios, 0, np.nextafter(_HISTOGRAM_MAX, 0))
    count, _ = np.histogram(inside, bins=_HISTOGRAM_BINS, range=(0, _HISTOGRAM_MAX))
    share: Floats = count / len(ratios)
    return share


@curve("audio_descriptors", unit="1", source="audio", timed=False)
def audio_descriptors(audio: AudioAnalysis, times: Floats) -> Floats:
    """Mean and standard deviation over sounding frames of 20 MFCC and of 12 chroma, [64].

    The baseline that an encoder has to outperform in probing; see Tzanetakis and Cook (2002)
    for such statistics.
    """
    frames = np.concatenate([audio.mfcc, audio.chroma])[:, audio.sounding].astype(np.float64)
    if frames.shape[1] == 0:
        return np.full(2 * len(frames), np.nan)
    return np.concatenate([frames.mean(axis=1), frames.std(axis=1)])


def _mean_around(
    per_frame: NDArray[np.floating], times: Floats, counted: NDArray[np.bool_]
) -> Floats:
    """Return the mean of the counted STFT frames in each curve frame, [frames]; NaN if none."""
    total = np.concatenate([[0.0], np.cumsum(np.where(counted, per_frame, 0), dtype=np.float64)])
    number = np.concatenate([[0], np.cumsum(counted)])
    edges = [
        np.clip(np.round((times + side) * FRAME_RATE_HZ).astype(int), 0, len(per_frame))
        for side in (-_HALF_FRAME_S, _HALF_FRAME_S)
    ]
    with np.errstate(invalid="ignore", divide="ignore"):
        mean: Floats = (total[edges[1]] - total[edges[0]]) / (number[edges[1]] - number[edges[0]])
    return mean
