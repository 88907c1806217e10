"""What is known of a rendered excerpt: notes at the encoder's rate, and how it is played."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mess_core.encoders.piano import SAMPLE_RATE, STATE_HOP
from mess_core.midi.performance import Performance
from mess_core.targets.registry import targets

__all__ = ["LOWEST", "PITCHES", "POOLED", "Labels", "labels_of"]

LOWEST, PITCHES = 21, 88
RATE_HZ = SAMPLE_RATE / STATE_HOP

POOLED = (
    "velocity_mean", "velocity_std", "velocity_range", "rubato", "tempo_variability",
    "articulation_ratio", "onset_timing_std", "articulation_ratio_pedal", "pedal_fraction",
    "log_ioi_std", "notes_per_second",
)  # fmt: skip
"""Names of the numbers that describe a whole excerpt."""

_LOG = {"articulation_ratio", "articulation_ratio_pedal", "onset_timing_std", "notes_per_second"}

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Labels:
    """Ground truth of one excerpt.

    Attributes
    ----------
    onset : ndarray, float16, shape [states, 88]
        Velocity / 127 of the note that is struck in a state's time; 0 for none.
    sounding : ndarray, bool, shape [states, 88]
        Whether a key is down.
    pedal : ndarray, bool, shape [states]
    pooled : ndarray, float32, shape [len(POOLED)]
        NaN where not defined.
    """

    onset: NDArray[np.float16]
    sounding: NDArray[np.bool_]
    pedal: NDArray[np.bool_]
    pooled: Floats


def labels_of(performance: Performance, seconds: float) -> Labels:
    """Labels of a performance that starts at 0 s.

    Parameters
    ----------
    performance : Performance
    seconds : float
        Length of the excerpt.
    """
    states = int(seconds * RATE_HZ)
    onset = np.zeros((states, PITCHES), dtype=np.float16)
    sounding = np.zeros((states, PITCHES), dtype=bool)
    first = np.round(performance.onset_s * RATE_HZ).astype(int)
    last = np.maximum(np.round(performance.offset_s * RATE_HZ).astype(int), first + 1)
    keys = performance.pitch - LOWEST
    for start, end, key, velocity in zip(first, last, keys, performance.velocity, strict=True):
        if 0 <= key < PITCHES and start < states:
            onset[start, key] = max(onset[start, key], velocity / 127)
            sounding[start:end, key] = True
    pedal = np.zeros(states, dtype=bool)
    for down, up in performance.pedal_s:
        pedal[round(down * RATE_HZ) : round(up * RATE_HZ)] = True
    return Labels(onset, sounding, pedal, _pooled(performance))


def _pooled(performance: Performance) -> Floats:
    functions = {one.name: one.function for one in targets("midi", extra=True)}
    span = max(float(performance.onset_s[-1] - performance.onset_s[0]), 0.5)
    found = []
    for name in POOLED:
        if name == "notes_per_second":
            value = len(performance) / span
        else:
            value = float(functions[name](performance))
        if name in _LOG:
            value = float(np.log2(value)) if value > 0 else float("nan")
        found.append(value)
    return np.array(found, dtype=np.float32)
