"""Phrasing targets: boundaries at which the musical material changes.

Novelty follows Foote, "Automatic audio segmentation using a measure of audio novelty", ICME
2000, on features averaged over 3.5 s, every 0.5 s. Only the band of the self-similarity matrix
that the kernel covers is computed, so the cost is linear in duration. The number of boundaries
depends on the music, not on the duration.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from mess_core.targets.analysis import FRAME_RATE_HZ, AudioAnalysis
from mess_core.targets.registry import target

__all__ = ["novelty", "num_phrases", "phrase_boundaries_s", "phrase_regularity"]

_STEP_S = 0.5
_CONTEXT_STEPS = 7  # 3.5 s
_HALF_KERNEL = 8  # steps, 4 s to each side
_MIN_PHRASE_S = 3.0
_MIN_PROMINENCE = 0.08


@target("num_phrases", dimension="phrasing", unit="1", source="audio", on_segments=False)
def num_phrases(audio: AudioAnalysis) -> float:
    """Number of sections between novelty peaks of harmony, loudness and density together."""
    return float(len(phrase_boundaries_s(audio)) + 1)


@target("phrase_regularity", dimension="phrasing", unit="1", source="audio", on_segments=False)
def phrase_regularity(audio: AudioAnalysis) -> float:
    """Coefficient of variation of phrase lengths; NaN with fewer than three phrases."""
    where = np.flatnonzero(audio.sounding)
    boundaries = phrase_boundaries_s(audio)
    if len(boundaries) < 2 or len(where) == 0:
        return float("nan")
    ends = [where[0] / FRAME_RATE_HZ, *boundaries, where[-1] / FRAME_RATE_HZ]
    lengths = np.diff(ends)
    return float(lengths.std() / lengths.mean())


def phrase_boundaries_s(audio: AudioAnalysis) -> NDArray[np.float64]:
    """Return the phrase boundaries in seconds, float64 [boundaries], ascending."""
    from scipy.signal import find_peaks

    times, values = novelty(audio)
    peaks, _ = find_peaks(
        values, prominence=_MIN_PROMINENCE, distance=round(_MIN_PHRASE_S / _STEP_S)
    )
    boundaries: NDArray[np.float64] = times[peaks]
    return boundaries


def novelty(audio: AudioAnalysis) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the times of 0.5 s steps in seconds and the novelty at each, float64 [steps] each."""
    features, first_s = _features(audio)  # [steps, features]
    times: NDArray[np.float64] = first_s + _STEP_S * np.arange(len(features), dtype=np.float64)
    return times, _novelty(features)


def _features(audio: AudioAnalysis) -> tuple[NDArray[np.float64], float]:
    """Return the features of 0.5 s steps, [steps, 14], and the time of the first step (s)."""
    from scipy.ndimage import uniform_filter1d

    where = np.flatnonzero(audio.sounding)
    if len(where) == 0:
        return np.empty((0, 14)), 0.0
    step = _STEP_S * FRAME_RATE_HZ
    count = int((where[-1] - where[0]) / step)
    edges = where[0] + np.round(np.arange(count + 1) * step).astype(int)
    chroma = audio.chroma
    onsets = np.zeros(len(audio.rms))
    onsets[audio.onset_frames] = 1.0
    rows = []
    for begin, end in itertools.pairwise(edges):
        harmony = chroma[:, begin:end].mean(axis=1)
        harmony = harmony / (np.linalg.norm(harmony) + 1e-9)
        loudness = audio.loudness_db[begin:end].mean() / 20.0  # 20 dB weigh as much as all harmony
        density = onsets[max(0, begin - int(step)) : end + int(step)].sum() / (3 * _STEP_S) / 8.0
        rows.append([*harmony, loudness, density])
    features = np.asarray(rows, dtype=np.float64).reshape(-1, 14)
    if len(features):
        # Single notes and chords alternate within a phrase; boundaries change their mixture.
        features = uniform_filter1d(features, _CONTEXT_STEPS, axis=0, mode="nearest")
        features[:, :12] /= np.linalg.norm(features[:, :12], axis=1, keepdims=True) + 1e-9
    return features, where[0] / FRAME_RATE_HZ


def _novelty(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the checkerboard novelty of each step, [steps]; 0 where the kernel does not fit."""
    steps, half = len(features), _HALF_KERNEL
    novelty = np.zeros(steps)
    taper = np.exp(-0.5 * np.square((np.arange(-half, half) + 0.5) / (0.5 * half)))
    sign = np.sign(np.arange(-half, half) + 0.5)
    kernel = np.outer(taper * sign, taper * sign)
    kernel /= np.abs(kernel).sum()
    for centre in range(half, steps - half + 1):
        window = features[centre - half : centre + half]
        distance = np.square(window[:, None] - window[None]).sum(axis=2)
        if centre < steps:
            novelty[centre] = float((kernel * np.exp(-distance)).sum())
    return novelty
