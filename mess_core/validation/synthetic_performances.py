"""Synthetic second performances of given notes, with every correspondence known.

They measure alignment where recordings cannot: those have no note-by-note ground truth, or one that
an alignment made.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mess_core.midi.performance import Performance

__all__ = ["perform_again", "repeated_chords"]

Floats = NDArray[np.float64]

_GRID_S = 0.05
_SWAYS_S = ((0.5, 0.5), (2.0, 1.0), (8.0, 1.0))  # widths in seconds, and their weights


def perform_again(
    performance: Performance,
    *,
    seed: int,
    rubato: float = 0.25,
    jitter_s: float = 0.012,
    left_out: float = 0.04,
    added: float = 0.02,
) -> tuple[Performance, Floats]:
    """Play the notes of a performance at another tempo, with other timing and some wrong notes.

    Parameters
    ----------
    performance : Performance
    seed : int
    rubato : float
        Standard deviation of the natural logarithm of the tempo, which sways slowly and quickly.
    jitter_s : float
        Standard deviation of each onset, in seconds.
    left_out, added : float
        Share of notes that are left out, and that are added near others: half of them strike the
        same key again, the others a neighbouring one.

    Returns
    -------
    again : Performance
    onset_s : ndarray, float64, shape [notes of `performance`]
        Where each note is in the second performance, in seconds, whether left out or not.

    Examples
    --------
    >>> again, onset_s = perform_again(repeated_chords(0), seed=1, left_out=0.0, added=0.0)
    >>> bool(np.allclose(np.sort(onset_s), again.onset_s))
    True
    """
    from scipy.ndimage import gaussian_filter1d

    rng = np.random.default_rng(seed)
    grid = np.arange(0, performance.end_s + 1, _GRID_S)
    sway = np.zeros(len(grid))
    for width_s, weight in _SWAYS_S:
        smooth = gaussian_filter1d(rng.normal(size=len(grid)), width_s / _GRID_S, mode="nearest")
        sway += weight * np.sqrt(width_s / _GRID_S) * smooth
    log_tempo = rubato * sway / max(sway.std(), 1e-9) + rng.normal(0, 0.2)
    warped = np.concatenate([[0.0], np.cumsum(_GRID_S * np.exp(log_tempo[:-1]))])
    onset_s = np.interp(performance.onset_s, grid, warped)
    onset_s += rng.normal(0, jitter_s, len(onset_s))
    onset_s -= onset_s.min()
    kept = rng.random(len(onset_s)) >= left_out
    near = rng.integers(0, len(onset_s), int(added * len(onset_s)))
    beside = np.where(rng.random(len(near)) < 0.5, 0, rng.choice([-2, -1, 1, 2], len(near)))
    pitch = np.concatenate([performance.pitch[kept], performance.pitch[near] + beside])
    all_s = np.concatenate([onset_s[kept], onset_s[near] + rng.uniform(-0.15, 0.15, len(near))])
    return _performance(all_s.clip(0), pitch.clip(21, 108)), onset_s


def repeated_chords(seed: int, *, notes: int = 400) -> Performance:
    """Return chords of three notes, each struck 2 to 15 times, with a few notes above them.

    Nothing but time distinguishes the repetitions of a chord. One interval in ten is twice as long.

    Parameters
    ----------
    seed : int
    notes : int
        At least as many.

    Examples
    --------
    >>> len(repeated_chords(0, notes=100)) >= 100
    True
    """
    rng = np.random.default_rng(seed)
    onsets: list[float] = []
    pitches: list[int] = []
    now_s = 0.0
    while len(onsets) < notes:
        chord = rng.choice(np.arange(48, 76), 3, replace=False).tolist()
        interval_s = float(rng.choice([0.12, 0.2, 0.35]))
        for _ in range(int(rng.integers(2, 16))):
            above = [int(rng.integers(76, 90))] if rng.random() < 0.2 else []
            onsets += [now_s] * len([*chord, *above])
            pitches += [*chord, *above]
            now_s += interval_s * (2 if rng.random() < 0.1 else 1)
    jittered = np.asarray(onsets) + rng.normal(0, 0.006, len(onsets))
    return _performance(jittered - jittered.min(), np.asarray(pitches))


def _performance(onset_s: Floats, pitch: NDArray[np.int64]) -> Performance:
    order = np.lexsort((pitch, onset_s))
    onset_s = onset_s[order]
    velocity = np.full(len(order), 64)
    return Performance(onset_s, onset_s + 0.1, pitch[order], velocity, np.empty((0, 2)))
