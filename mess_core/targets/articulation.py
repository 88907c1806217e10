"""Articulation targets from audio: how notes begin."""

from __future__ import annotations

import numpy as np

from mess_core.targets.analysis import AudioAnalysis
from mess_core.targets.registry import target

__all__ = ["attack_sharpness", "attack_slopes"]


@target("attack_slopes", dimension="articulation", unit="dB/s", source="audio")
def attack_slopes(audio: AudioAnalysis) -> float:
    """Median over onsets of the slope of the energy envelope up to the onset's peak."""
    if len(audio.attack_frames) == 0:
        return float("nan")
    return float(np.median(audio.attack_slope_db_s))


@target("attack_sharpness", dimension="articulation", unit="dB", source="audio")
def attack_sharpness(audio: AudioAnalysis) -> float:
    """Median over onsets of the energy's rise from before the onset to its peak."""
    return float(np.median(audio.attack_rise_db)) if len(audio.attack_frames) else float("nan")
