"""Targets and curves of a track as tables: one row per encoder window, or per half second."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mess_core.audio import SAMPLE_RATE
from mess_core.encoders.windows import window_starts
from mess_core.midi.performance import Performance
from mess_core.targets.analysis import AudioAnalysis
from mess_core.targets.curves import curve_times
from mess_core.targets.registry import curves, targets

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["curve_table", "segment_bounds", "segment_table", "track_vectors"]


def segment_bounds(
    samples: int, *, window_s: float, hop_s: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return start and end (s) of the encoder's windows over `samples` samples at 24 kHz."""
    window, hop = round(window_s * SAMPLE_RATE), round(hop_s * SAMPLE_RATE)
    starts = np.asarray(window_starts(samples, window, hop))
    return starts / SAMPLE_RATE, np.minimum(starts + window, samples) / SAMPLE_RATE


def segment_table(
    audio: AudioAnalysis | None,
    performance: Performance | None,
    start_s: NDArray[np.float64],
    end_s: NDArray[np.float64],
) -> pd.DataFrame:
    """Return all targets that are defined on segments, one row per segment.

    Parameters
    ----------
    audio, performance
        Inputs that the track has; the targets of an input that is None are NaN.
    start_s, end_s : ndarray, float64, shape [segments]

    Returns
    -------
    DataFrame
        ``start_s, end_s`` and a float64 column per target. MIDI times are assumed to be
        synchronous with the audio.
    """
    import pandas as pd

    chosen = [one for one in targets(extra=True) if one.on_segments]
    rows = []
    for start, end in zip(start_s, end_s, strict=True):
        parts = {
            "audio": None if audio is None else audio.excerpt(start, end),
            "midi": None if performance is None else performance.excerpt(start, end),
        }
        row = {"start_s": float(start), "end_s": float(end)}
        for one in chosen:
            part = parts[one.source]
            row[one.name] = float("nan") if part is None else float(one.function(part))
        rows.append(row)
    return pd.DataFrame(rows)


def curve_table(
    audio: AudioAnalysis | None, performance: Performance | None, duration_s: float
) -> pd.DataFrame:
    """Return all timed curves: ``time_s`` and a float64 column each, NaN where not available."""
    import pandas as pd

    times = curve_times(duration_s)
    sources = {"audio": audio, "midi": performance}
    columns = {"time_s": times}
    for one in curves(timed=True):
        source = sources[one.source]
        missing = source is None
        columns[one.name] = np.full(len(times), np.nan) if missing else one.function(source, times)
    return pd.DataFrame(columns)


def track_vectors(
    audio: AudioAnalysis | None, performance: Performance | None
) -> dict[str, list[float]]:
    """Return the vectors that describe a whole track (curves without a time axis)."""
    sources = {"audio": audio, "midi": performance}
    return {
        one.name: one.function(sources[one.source], np.empty(0)).tolist()
        for one in curves(timed=False)
        if sources[one.source] is not None
    }
