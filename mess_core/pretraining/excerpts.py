"""Excerpts of performances to pretrain on, and copies of them that are played differently.

The notes of a piece and the way they are played go together in recordings. Manipulated copies,
in which tempo, dynamics, articulation, asynchrony and pedal vary at random while the notes stay
the same, take them apart.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mess_core.midi.performance import Performance, released_in_time

__all__ = ["EXCERPT_S", "cut_excerpts", "manipulated"]

EXCERPT_S = 20.0
"""Length of an excerpt in seconds."""

_LAST_ONSET_S = EXCERPT_S - 0.05  # a later note would hardly be heard
_FEWEST_NOTES = 20
_GRID_S = 0.02

Floats = NDArray[np.float64]


def cut_excerpts(performance: Performance, count: int, *, seed: int) -> list[Performance]:
    """Cut excerpts of `EXCERPT_S` spread over a performance, each starting at 0 s.

    Parameters
    ----------
    performance : Performance
    count : int
        At most as many; excerpts with fewer than 20 notes are left out.
    seed : int
        Of their exact positions.
    """
    rng = np.random.default_rng(seed)
    last = float(performance.onset_s[-1]) - EXCERPT_S
    if last <= 0:
        starts = np.zeros(1)
    else:
        count = min(count, int(last // EXCERPT_S) + 1)
        starts = (np.arange(count) + rng.random(count)) * last / count
    found = []
    for start in starts:
        part = performance.excerpt(float(start), float(start) + _LAST_ONSET_S)
        if part is not None and len(part) >= _FEWEST_NOTES:
            found.append(_released(_from(part, float(start))))
    return found


def manipulated(one: Performance, rng: np.random.Generator) -> Performance | None:
    """Return the same notes played in another way, or None if too few fall into the excerpt.

    Parameters
    ----------
    one : Performance
        Starting at 0 s.
    rng : numpy.random.Generator

    Returns
    -------
    Performance or None
        Other tempo (0.8 to 1.25), tempo curve, dynamics, articulation, asynchrony and pedal;
        cut at `EXCERPT_S`.
    """
    one = _tempo(one, rng)
    velocity = one.velocity.astype(np.float64)
    mean = float(velocity.mean())
    spread = 2.0 ** rng.uniform(-1.0, 1.0)
    level = float(np.clip(mean + rng.normal(0, 14), 35, 100))
    swell = rng.uniform(0, 12) * np.sin(
        2 * np.pi * one.onset_s / rng.uniform(4, 16) + rng.uniform(0, 2 * np.pi)
    )
    velocity = np.clip(np.round(level + spread * (velocity - mean) + swell), 8, 127)
    onset = one.onset_s + rng.normal(0, rng.choice([0.0, 0.008, 0.02]), len(one))
    onset = onset.clip(0.0)
    held = (one.offset_s - one.onset_s) * 2.0 ** rng.uniform(-1.5, 0.7)
    order = np.lexsort((one.pitch, onset))
    changed = replace(
        one,
        onset_s=onset[order],
        offset_s=(onset + held.clip(0.03))[order],
        pitch=one.pitch[order],
        velocity=velocity[order].astype(np.int64),
        pedal_s=_pedal(one.pedal_s, rng),
    )
    cut = changed.excerpt(0.0, _LAST_ONSET_S)
    return None if cut is None or len(cut) < _FEWEST_NOTES // 2 else _released(cut)


def _released(one: Performance) -> Performance:
    return replace(one, offset_s=released_in_time(one.onset_s, one.offset_s, one.pitch))


def _from(one: Performance, start: float) -> Performance:
    return replace(
        one,
        onset_s=(one.onset_s - start).clip(0.0),
        offset_s=(one.offset_s - start).clip(1e-3),
        pedal_s=(one.pedal_s - start).clip(0.0),
    )


def _tempo(one: Performance, rng: np.random.Generator) -> Performance:
    end = max(one.end_s, EXCERPT_S) + 1.0
    grid = np.arange(0.0, end, _GRID_S)
    octaves = np.full(len(grid), rng.uniform(-0.32, 0.32))
    for _ in range(2):
        period, depth = 2.0 ** rng.uniform(1.0, 4.0), rng.exponential(0.09)
        octaves += min(depth, 0.35) * np.sin(2 * np.pi * grid / period + rng.uniform(0, 2 * np.pi))
    warped = np.concatenate([[0.0], np.cumsum(2.0 ** octaves[:-1] * _GRID_S)])

    def at(times: Floats) -> Floats:
        moved: Floats = np.interp(times, grid, warped)
        return moved

    return replace(one, onset_s=at(one.onset_s), offset_s=at(one.offset_s), pedal_s=at(one.pedal_s))


def _pedal(pedal_s: Floats, rng: np.random.Generator) -> Floats:
    """The pedal as it is, none, shorter, or changed every one or two seconds."""
    way = rng.integers(0, 4)
    if way == 1:
        return np.empty((0, 2))
    if way == 2 and len(pedal_s):
        share = rng.uniform(0.3, 0.9)
        return np.stack([pedal_s[:, 0], pedal_s[:, 0] + share * np.diff(pedal_s)[:, 0]], axis=1)
    if way == 3:
        down = np.arange(0.0, EXCERPT_S, rng.uniform(0.8, 2.5))
        return np.stack([down, down + rng.uniform(0.3, 0.9) * (down[1] - down[0])], axis=1)
    return pedal_s
