"""Harmony targets: how energy is distributed over pitch classes."""

from __future__ import annotations

import numpy as np

from mess_core.targets.analysis import AudioAnalysis
from mess_core.targets.registry import target

__all__ = ["harmonic_complexity"]


@target("harmonic_complexity", dimension="harmony", unit="nat", source="audio")
def harmonic_complexity(audio: AudioAnalysis) -> float:
    """Shannon entropy of the mean CQT chroma over sounding frames; at most ln 12 = 2.48."""
    chosen = audio.chroma[:, audio.sounding]
    mean = chosen.mean(axis=1, dtype=np.float64) if chosen.size else np.zeros(12)
    if mean.sum() <= 0:
        return float("nan")
    share = mean / mean.sum()
    return float(-np.sum(share * np.log(np.maximum(share, 1e-12))))
