"""The seven MIDI targets as they were first published: the baseline to outperform.

They are reproduced with their errors (see the notes on each definition), so that a comparison
is with what was really used.
"""

from __future__ import annotations

import numpy as np

from mess_core.midi.performance import Performance

__all__ = ["FIRST_PUBLISHED", "first_published_targets"]

FIRST_PUBLISHED = (
    "velocity_mean",
    "velocity_std",
    "velocity_range",
    "rubato",
    "tempo_variability",
    "articulation_ratio",
    "onset_timing_std",
)


def first_published_targets(performance: Performance) -> dict[str, float]:
    """Return the seven targets of a performance; NaN with fewer than three distinct onsets.

    - ``velocity_range``: maximum minus minimum, which depends on two notes only;
    - ``rubato``: standard deviation of ratios of successive positive intervals between onsets,
      which in chords measures their spread;
    - ``tempo_variability``: standard deviation of 60 divided by those intervals, in BPM;
    - ``articulation_ratio``: mean of duration over time to the next onset of any note;
    - ``onset_timing_std``: deviation from a grid of the median interval, which drifts, in s.
    """
    velocity = performance.velocity.astype(np.float64)
    onset = performance.onset_s
    interval = np.diff(onset)
    positive = interval > 0
    found = {
        "velocity_mean": float(velocity.mean()),
        "velocity_std": float(velocity.std()),
        "velocity_range": float(velocity.max() - velocity.min()),
    }
    if positive.sum() < 2:
        return found | dict.fromkeys(FIRST_PUBLISHED[3:], float("nan"))
    steps = interval[positive]
    held = (performance.offset_s - onset)[:-1][positive]
    grid = float(np.median(steps))
    since = onset - onset[0]
    return found | {
        "rubato": float((steps[1:] / steps[:-1]).std()),
        "tempo_variability": float((60.0 / steps).std()),
        "articulation_ratio": float((held / steps).mean()),
        "onset_timing_std": float((since - np.round(since / grid) * grid).std()),
    }
