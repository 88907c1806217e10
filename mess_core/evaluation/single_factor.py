"""Synthetic triplets with known ground truth, in which one factor of a performance is changed.

x is a performance; the other two clips are the same notes with one factor changed in the same
direction, by one and by two steps. The clip with the smaller change is nearer to x, whatever
listeners pay attention to. Changes stay within the range of what players do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mess_core.midi.performance import Performance

__all__ = ["FACTORS", "NOTICED", "SingleFactorTriplet", "single_factor_triplets"]

_BAR_S = 2.0
_SWAY_S = 4.0
_SHORTEST_S = 0.04
_CLEARLY, _MOST = 1.2, 0.75

Change = Callable[[Performance, float, float], Performance]


@dataclass(frozen=True)
class SingleFactorTriplet:
    """A performance (x) with a smaller (near) and a larger (far) change of one factor.

    Attributes
    ----------
    factor : str
        A key of `FACTORS`.
    source : str
        Name of the clip that x comes from.
    x, near, far : Performance
    """

    factor: str
    source: str
    x: Performance
    near: Performance
    far: Performance


def single_factor_triplets(
    clips: Sequence[tuple[str, Performance]], *, seed: int = 0
) -> list[SingleFactorTriplet]:
    """Make one triplet per clip and factor.

    Parameters
    ----------
    clips : sequence of (name, Performance)
    seed : int
        Random seed for the phases and directions of the changes.

    Returns
    -------
    list of SingleFactorTriplet
        If a change reaches the end of its range (velocities at 127, keys that are struck again
        at once), the opposite direction is tried; if that fails, too, there is no triplet.
    """
    found = []
    for number, (name, clip) in enumerate(clips):
        rng = np.random.default_rng([seed, number])
        for factor, (base, change, amount) in FACTORS.items():
            x = base(clip)
            phase, sign = float(rng.uniform(0, 2 * np.pi)), float(rng.choice([-1.0, 1.0]))
            for direction in (sign, -sign):
                near, far = (change(x, direction * step * amount, phase) for step in (1, 2))
                if _clearly_farther(x, near, far):
                    found.append(SingleFactorTriplet(factor, name, x, near, far))
                    break
    return found


def _clearly_farther(x: Performance, near: Performance, far: Performance) -> bool:
    """Return whether most changed notes (or, if none, the pedal) change more in `far`."""
    less, more = (
        np.abs(x.onset_s - other.onset_s)
        + np.abs(x.offset_s - other.offset_s)
        + np.abs(x.velocity - other.velocity)
        for other in (near, far)
    )
    changed = more > 1e-6
    if not changed.any():
        held = x.pedal_fraction
        return 0.0 < _CLEARLY * abs(held - near.pedal_fraction) < abs(held - far.pedal_fraction)
    return less.any() and float((more > _CLEARLY * less)[changed].mean()) >= _MOST


def _tempo_curve(one: Performance, amount: float, phase: float) -> Performance:
    """Modulate the local tempo by `amount` octaves with a period of 4 s; keep the duration."""
    start, end = float(one.onset_s[0]), one.end_s
    grid = np.arange(start, end + 0.1, 0.02)
    pace = 2.0 ** (-amount * np.sin(2 * np.pi * (grid - start) / _SWAY_S + phase))
    warped = np.concatenate([[0.0], np.cumsum((pace[1:] + pace[:-1]) / 2 * 0.02)])
    warped = start + warped * (grid[-1] - start) / warped[-1]

    def at(times: NDArray[np.float64]) -> NDArray[np.float64]:
        moved: NDArray[np.float64] = np.interp(times, grid, warped)
        return moved

    # Note lengths scale with the local tempo; the order of onsets must not change.
    onset = at(one.onset_s)
    return replace(
        one,
        onset_s=onset,
        offset_s=np.maximum(at(one.offset_s), onset + 1e-3),
        pedal_s=at(one.pedal_s),
    )


def _timing(one: Performance, amount: float, phase: float) -> Performance:
    """Displace every note by `amount` seconds times a random number; the order of notes stays.

    Keys are held as long as before, at most until they are struck again.
    """
    away = np.random.default_rng(round(phase * 1e6)).standard_normal(len(one)).clip(-2.0, 2.0)
    onset = np.sort((one.onset_s + amount * away).clip(one.onset_s[0]))
    moved = replace(one, onset_s=onset, offset_s=onset + one.offset_s - one.onset_s)
    held = np.minimum(moved.offset_s - onset, _until_again(moved))
    return replace(moved, offset_s=onset + held)


def _dynamics(one: Performance, amount: float, phase: float) -> Performance:
    """Modulate the velocity by `amount` MIDI units with a period of 6 s."""
    since = one.onset_s - one.onset_s[0]
    swell = amount * np.sin(2 * np.pi * since / 6.0 + phase)
    velocity = np.clip(np.round(one.velocity + swell), 1, 127).astype(np.int64)
    return replace(one, velocity=velocity)


def _articulation(one: Performance, amount: float, _phase: float) -> Performance:
    """Hold keys 2**amount times as long, at most until they are struck again."""
    held = (one.offset_s - one.onset_s) * 2.0**amount
    return replace(one, offset_s=one.onset_s + np.minimum(held, _until_again(one)))


def _until_again(one: Performance) -> NDArray[np.float64]:
    """Return the seconds from each onset to the next one of the same key; infinite for the last."""
    left = np.full(len(one), np.inf)
    order = np.lexsort((one.onset_s, one.pitch))
    same = one.pitch[order[1:]] == one.pitch[order[:-1]]
    left[order[:-1][same]] = np.diff(one.onset_s[order])[same].clip(1e-3)
    return left


def _pedal(one: Performance, amount: float, _phase: float) -> Performance:
    """Hold the pedal for a share of 0.5 + `amount` of every two seconds."""
    share = (0.5 + amount) * _BAR_S
    down = np.arange(one.onset_s[0], one.end_s, _BAR_S)
    if share <= 0.0:
        return replace(one, pedal_s=np.empty((0, 2)))
    return replace(one, pedal_s=np.stack([down, down + share], axis=1))


def _as_played(one: Performance) -> Performance:
    return one


def _dry(one: Performance) -> Performance:
    """Remove the pedal, which would mask how long keys are held, and hold keys at least 40 ms.

    Half of that, the shortest note in the far clip, is still audible.
    """
    held = np.minimum((one.offset_s - one.onset_s).clip(_SHORTEST_S), _until_again(one))
    return replace(one, offset_s=one.onset_s + held, pedal_s=np.empty((0, 2)))


def _half_pedalled(one: Performance) -> Performance:
    """Hold the pedal for half of every two seconds, so that it can change in both directions."""
    return _pedal(one, 0.0, 0.0)


FACTORS: dict[str, tuple[Callable[[Performance], Performance], Change, float]] = {
    "tempo_curve": (_as_played, _tempo_curve, 0.15),
    "dynamics": (_as_played, _dynamics, 8.0),
    "articulation": (_dry, _articulation, 0.5),
    "pedal": (_half_pedalled, _pedal, 0.22),
    "timing": (_as_played, _timing, 0.015),
}
"""Factor to (preparation of the clip, change, size of one step)."""

NOTICED = {"tempo_curve": 73.0, "articulation": 68.5, "timing": 57.0, "dynamics": 52.0}
"""Factor to the percentage of altered performances that listeners told from the original.

Mean of two strengths of randomisation, 50 and 90 % (listening test of arXiv 2401.00471). They are
not the changes of `FACTORS`, so that only the order can be compared.
"""
