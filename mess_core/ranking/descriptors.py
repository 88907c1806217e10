"""Descriptors of how a passage is played: dynamics, voicing, articulation, pedal, timing.

Most descriptors depend on the notes as much as on the player, so they should be compared only
between performances of the same passage (see `standardised`). Pedal and resonance use the
controller value at which the dampers actually lift (`HALF_PEDAL`), because in recordings from a
reproducing piano that is the pedalling that listeners hear.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mess_core.midi.performance import Performance
from mess_core.ranking.scaling import standardise
from mess_core.targets.expression import onset_timing_std, overlap_ratios

__all__ = ["HALF_PEDAL", "Resonance", "describe_expression", "resonance", "standardised"]

HALF_PEDAL = 30
"""Controller value at which the dampers of a Disklavier are taken to leave the strings."""

_STEP_S = 0.05
_LONGEST_RING_S = 6.0
_DECAY_S = {True: 3.0, False: 1.5}  # below and above middle C
_MIDDLE_C = 60
_LIMIT = 3.0
_PARTS = 8

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Resonance:
    """Sounding notes, as held by keys and pedal, on a grid of 50 ms.

    Attributes
    ----------
    time_s : ndarray, float64, shape [steps]
    ringing : ndarray, float64, shape [steps]
        Number of sounding notes.
    loudness : ndarray, float64, shape [steps]
        Natural log of the sum of their decayed velocities.
    clash : ndarray, float64, shape [steps]
        Strength of simultaneous semitones and whole tones.
    pitch_classes : ndarray, float64, shape [steps]
        Number of sounding pitch classes.
    """

    time_s: Floats
    ringing: Floats
    loudness: Floats
    clash: Floats
    pitch_classes: Floats


def resonance(performance: Performance) -> Resonance:
    """Compute resonance and dissonance of the sounding notes, with an exponential decay."""
    onset, pitch = performance.onset_s, performance.pitch
    end = np.minimum(performance.sounding_offset_s, onset + _LONGEST_RING_S)
    time_s = np.arange(onset[0], performance.end_s + _STEP_S, _STEP_S)
    decay = np.where(pitch <= _MIDDLE_C, _DECAY_S[True], _DECAY_S[False])
    strength = np.zeros((len(time_s), 128))
    ringing = np.zeros(len(time_s))
    first, last = np.searchsorted(time_s, onset), np.searchsorted(time_s, end)
    for note in range(len(onset)):
        span = slice(int(first[note]), int(last[note]))
        ringing[span] += 1
        fading = np.exp(-(time_s[span] - onset[note]) / decay[note])
        fading *= performance.velocity[note] / 64.0
        key = int(pitch[note])
        strength[span, key] = np.maximum(strength[span, key], fading)
    semitone = np.minimum(strength[:, 1:], strength[:, :-1]).sum(axis=1)
    whole_tone = np.minimum(strength[:, 2:], strength[:, :-2]).sum(axis=1)
    classes = np.stack([strength[:, one::12].max(axis=1) for one in range(12)], axis=1)
    return Resonance(
        time_s=time_s,
        ringing=ringing,
        loudness=np.log(strength.sum(axis=1) + 0.1),
        clash=semitone + 0.6 * whole_tone,
        pitch_classes=(classes > 0.2).sum(axis=1).astype(np.float64),
    )


def describe_expression(performance: Performance) -> dict[str, float]:
    """Compute the descriptors of one performance of a passage.

    Parameters
    ----------
    performance : Performance
        Notes of the passage alone, read with ``pedal_down=HALF_PEDAL``.

    Returns
    -------
    dict of str to float
        NaN where a descriptor is undefined for these notes.
    """
    return {
        **_dynamics(performance),
        **_voicing(performance),
        **_articulation(performance),
        **_pedal(performance),
        **_timing(performance),
    }


def standardised(rows: Sequence[dict[str, float]], names: Sequence[str] | None = None) -> Floats:
    """Standardise descriptors over the performances of one passage.

    Parameters
    ----------
    rows : sequence of dict
        One per performance.
    names : sequence of str, optional
        Columns and their order; the keys of the first row by default.

    Returns
    -------
    ndarray, float64, shape [performances, descriptors]
        Zero mean and unit standard deviation over the performances, clipped to [-3, 3]; 0 for
        missing values and constant columns.
    """
    names = list(rows[0]) if names is None else names
    table = np.array([[row.get(name, np.nan) for name in names] for row in rows], dtype=np.float64)
    limited: Floats = np.clip(standardise(table), -_LIMIT, _LIMIT)
    return limited


def _dynamics(one: Performance) -> dict[str, float]:
    velocity = one.velocity.astype(np.float64)
    low, quarter, three, high = np.percentile(velocity, [5, 25, 75, 95])
    since = one.onset_s - one.onset_s[0]
    span = max(float(since[-1]), 1e-3)
    part = np.minimum((since / span * _PARTS).astype(int), _PARTS - 1)
    count = np.bincount(part, minlength=_PARTS)
    level = np.bincount(part, weights=velocity, minlength=_PARTS) / np.maximum(count, 1)
    middle = (np.arange(_PARTS) + 0.5) * span / _PARTS
    occupied = count > 0  # between two long chords, a part may have no onset
    level = level[occupied]
    slow = np.interp(since, middle[occupied], level)
    chord = np.bincount(one.chord_of_note, weights=velocity) / np.bincount(one.chord_of_note)
    return {
        "velocity_mean": float(velocity.mean()),
        "velocity_std": float(velocity.std()),
        "velocity_p05": float(low),
        "velocity_p25": float(quarter),
        "velocity_p75": float(three),
        "velocity_p95": float(high),
        "velocity_range": float(high - low),
        "velocity_slow_std": float(level.std()),
        "velocity_fast_std": float((velocity - slow).std()),
        "velocity_slope": _slope(since / span, velocity),
        "velocity_begin": float(level[:2].mean() - velocity.mean()),
        "velocity_end": float(level[-2:].mean() - velocity.mean()),
        "velocity_jump": _mean(np.abs(np.diff(chord))),
    }


def _voicing(one: Performance) -> dict[str, float]:
    velocity, pitch, chord = one.velocity.astype(np.float64), one.pitch, one.chord_of_note
    order = np.lexsort((pitch, chord))
    first = np.flatnonzero(np.diff(chord[order], prepend=-1))
    top = order[np.append(first[1:], len(order)) - 1]  # notes of a chord are sorted by pitch
    bottom = order[first]
    several = top != bottom
    top_many, bottom_many = top[several], bottom[several]
    together = np.bincount(chord)[chord] > 1
    inner = together.copy()
    inner[top] = inner[bottom] = False
    treble = pitch >= _MIDDLE_C
    lead_s = one.chord_onset_s[several] - one.onset_s[top_many]
    spread = _mean(velocity[treble]) - _mean(velocity[~treble])
    return {
        "top_velocity": _mean(velocity[top]),
        "bottom_velocity": _mean(velocity[bottom]),
        "top_over_bottom": _mean(velocity[top_many] - velocity[bottom_many]),
        "top_over_inner": _mean(velocity[top_many]) - _mean(velocity[inner]),
        "treble_over_bass": spread,
        "top_velocity_std": float(velocity[top].std()),
        "bottom_velocity_std": float(velocity[bottom].std()),
        "top_velocity_jump": _mean(np.abs(np.diff(velocity[top]))),
        "melody_lead_ms": 1000.0 * _mean(lead_s),
        "asynchrony_ms": onset_timing_std(one),
    }


def _articulation(one: Performance) -> dict[str, float]:
    held = one.offset_s - one.onset_s
    sounding = one.sounding_offset_s - one.onset_s
    found = {
        "log_held": float(np.log2(held.clip(0.02)).mean()),
        "log_held_std": float(np.log2(held.clip(0.02)).std()),
        "log_sounding": float(np.log2(sounding.clip(0.02)).mean()),
        "log_held_treble": _mean(np.log2(held.clip(0.02))[one.pitch >= _MIDDLE_C]),
        "log_held_bass": _mean(np.log2(held.clip(0.02))[one.pitch < _MIDDLE_C]),
    }
    for name, offset_s in (("key", one.offset_s), ("sounding", one.sounding_offset_s)):
        ratio = overlap_ratios(one, offset_s).clip(0.05, 10.0)
        quarter, half, three = (
            np.percentile(ratio, [25, 50, 75]) if len(ratio) else (np.nan, np.nan, np.nan)
        )
        found |= {
            f"overlap_{name}": float(half),
            f"overlap_{name}_p25": float(quarter),
            f"overlap_{name}_p75": float(three),
            f"overlap_{name}_std": float(np.log2(ratio).std()) if len(ratio) else np.nan,
            f"staccato_{name}": _mean((ratio < 0.6).astype(np.float64)),
            f"legato_{name}": _mean((ratio > 1.02).astype(np.float64)),
        }
    return found


def _pedal(one: Performance) -> dict[str, float]:
    down, up = one.pedal_s[:, 0], one.pedal_s[:, 1]
    span = max(float(one.onset_s[-1] - one.onset_s[0]), 1e-3)
    rings = resonance(one)
    before = np.searchsorted(one.onset_s, down, side="right") - 1
    struck = np.searchsorted(one.onset_s, up) - np.searchsorted(one.onset_s, down)
    return {
        "pedal_fraction": one.pedal_fraction,
        "pedal_rate": len(down) / span,
        "pedal_log_length": float(np.log2(np.median(up - down) + 0.05)) if len(down) else np.nan,
        "pedal_notes": _mean(struck.astype(np.float64)),
        "pedal_delay": _mean((down - one.onset_s[before.clip(0)])[before >= 0]),
        "ringing": float(rings.ringing.mean()),
        "loudness": float(rings.loudness.mean()),
        "loudness_std": float(rings.loudness.std()),
        "clash": float(rings.clash.mean()),
        "clash_p90": float(np.percentile(rings.clash, 90)),
        "pitch_classes": float(rings.pitch_classes.mean()),
        "silence": float((rings.ringing == 0).mean()),
        "alone": float((rings.ringing <= 1).mean()),
    }


def _timing(one: Performance) -> dict[str, float]:
    span = max(float(one.onset_s[-1] - one.onset_s[0]), 1e-3)
    interval = np.log2(np.diff(one.chord_onset_s).clip(1e-3))
    return {
        "log_duration": float(np.log2(span)),
        "log_notes_per_second": float(np.log2(len(one) / span)),
        "log_ioi_std": float(interval.std()) if len(interval) else np.nan,
        "log_ioi_jump": _mean(np.abs(np.diff(interval))),
    }


def _slope(x: Floats, y: Floats) -> float:
    centred = x - x.mean()
    power = float(np.square(centred).sum())
    return float((centred * y).sum() / power) if power > 1e-12 else float("nan")


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else float("nan")
