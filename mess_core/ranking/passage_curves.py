"""Expression curves of performances of one passage on a common grid, and their distances.

All performances are aligned to the one with the median number of notes. The passage is divided into
parts of equal median duration, so that part *i* of every curve is the same music.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mess_core.errors import MidiError
from mess_core.midi.alignment import align
from mess_core.midi.performance import Performance
from mess_core.ranking.descriptors import resonance

__all__ = ["CURVES", "curve_distances", "passage_curves", "shape_descriptors"]

CURVES = ("tempo", "velocity", "held", "sounding", "pedal", "loudness")
"""log2 tempo, MIDI velocity, log2 key-down s, log2 sounding s, share with pedal, log loudness."""

_FEWEST = 4

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Matched:
    """The reference's notes as played in every performance, [performances, notes]."""

    chord: NDArray[np.int64]
    onset_s: Floats
    velocity: Floats
    held: Floats
    sounding: Floats
    missing: Floats


def passage_curves(performances: Sequence[Performance], *, parts: int = 16) -> dict[str, Floats]:
    """Compute the curves of several performances of one passage on a common grid.

    Parameters
    ----------
    performances : sequence of Performance
        At least two.
    parts : int
        Number of parts of the passage.

    Returns
    -------
    dict of str to ndarray, float64, shape [performances, parts]
        The curves named in `CURVES`, NaN for parts without matched notes, and ``missing``,
        [performances, 1], the share of notes without a counterpart.

    Raises
    ------
    MidiError
        If there are fewer than two performances, or one has no notes in common with the others.
    """
    if len(performances) < 2:
        raise MidiError("one performance alone cannot be compared")
    matched = _match(performances)
    chord_s = _chord_times(matched)  # [performances, chords]
    elapsed = chord_s - np.nanmin(chord_s, axis=1, keepdims=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # chords without a match
        typical = np.nanmedian(elapsed, axis=0)
    typical = np.maximum.accumulate(np.where(np.isfinite(typical), typical, 0.0))
    edges = np.linspace(0.0, typical[-1], parts + 1)
    part = np.clip(np.searchsorted(edges, typical[matched.chord], side="right") - 1, 0, parts - 1)
    curves: dict[str, list[Floats]] = {name: [] for name in CURVES}
    for row, one in enumerate(performances):
        known = np.isfinite(chord_s[row])
        at_s = np.interp(edges, typical[known], np.maximum.accumulate(chord_s[row][known]))
        curves["tempo"].append(-np.log2(np.diff(at_s).clip(0.01)))
        curves["pedal"].append(_pedal_share(one, at_s))
        rings = resonance(one)
        inside = np.searchsorted(at_s, rings.time_s, side="right") - 1
        during = (inside >= 0) & (inside < parts)
        curves["loudness"].append(_means(rings.loudness[during], inside[during], parts))
        for name in ("velocity", "held", "sounding"):
            values = getattr(matched, name)[row]
            matches = np.isfinite(values)
            curves[name].append(_means(values[matches], part[matches], parts))
    found = {name: np.stack(rows) for name, rows in curves.items()}
    return {**found, "missing": matched.missing[:, None]}


def shape_descriptors(curves: Mapping[str, Floats]) -> list[dict[str, float]]:
    """Describe each performance's curves relative to the mean of the others.

    Parameters
    ----------
    curves : mapping of str to ndarray
        As returned by `passage_curves`.

    Returns
    -------
    list of dict
        One per performance, with these values for each curve: ``mean``; ``std``; ``gain``
        (regression on the others' mean shape; above 1 is exaggerated), ``correlation`` and
        ``residual`` with that shape; ``slope`` and ``end`` of the difference from it; ``jump``
        between neighbouring parts. Also ``missing``.
    """
    count = len(curves["missing"])
    rows: list[dict[str, float]] = [
        {"missing": float(curves["missing"][row, 0])} for row in range(count)
    ]
    for name in CURVES:
        curve = curves[name]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # parts without notes
            level = np.nanmean(curve, axis=1, keepdims=True)
            shape = curve - level
            for row in range(count):
                others = np.nanmean(np.delete(shape, row, axis=0), axis=0)
                rows[row][f"{name}_mean"] = float(level[row, 0])
                rows[row] |= _against(name, shape[row], others)
    return rows


def curve_distances(curves: Mapping[str, Floats]) -> dict[str, Floats]:
    """Compute the root mean square difference of each curve between performances.

    Parameters
    ----------
    curves : mapping of str to ndarray
        As returned by `passage_curves`.

    Returns
    -------
    dict of str to ndarray, float64, shape [performances, performances]
        Divided by the mean over pairs, so that the distances of different curves can be summed;
        zeros if all performances are equal. Pairs without a common part get the mean.
    """
    found = {}
    for name in CURVES:
        curve = curves[name]
        difference = curve[:, None] - curve[None]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # no common part
            distance = np.sqrt(np.nanmean(np.square(difference), axis=2))
            off_diagonal = ~np.eye(len(curve), dtype=bool)
            mean = np.nanmean(distance[off_diagonal])
        distance = np.where(np.isfinite(distance), distance, mean)
        np.fill_diagonal(distance, 0.0)
        found[name] = distance / mean if mean > 1e-12 else np.zeros_like(distance)
    return found


def _match(performances: Sequence[Performance]) -> _Matched:
    by_notes = np.argsort([len(one) for one in performances], kind="stable")
    reference = int(by_notes[len(by_notes) // 2])
    first = performances[reference]
    shape = (len(performances), len(first))
    onset, velocity, held, sounding = (np.full(shape, np.nan) for _ in range(4))
    missing = np.zeros(len(performances))
    for row, other in enumerate(performances):
        if row == reference:
            a_note = b_note = np.arange(len(first))
        else:
            alignment = align(first, other)
            a_note, b_note = alignment.a_note, alignment.b_note
        onset[row, a_note] = other.onset_s[b_note]
        velocity[row, a_note] = other.velocity[b_note]
        held[row, a_note] = np.log2(other.offset_s[b_note] - other.onset_s[b_note])
        sounding[row, a_note] = np.log2(other.sounding_offset_s[b_note] - other.onset_s[b_note])
        missing[row] = 1.0 - 2.0 * len(a_note) / (len(first) + len(other))
    return _Matched(first.chord_of_note, onset, velocity, held, sounding, missing)


def _chord_times(matched: _Matched) -> Floats:
    """Return the mean onset of each chord of the reference, ascending, [performances, chords]."""
    rows = []
    for onset in matched.onset_s:
        known = np.isfinite(onset)
        mean = _means(onset[known], matched.chord[known], int(matched.chord[-1]) + 1)
        matches = np.isfinite(mean)
        mean[matches] = np.maximum.accumulate(mean[matches])
        rows.append(mean)
    return np.stack(rows)


def _pedal_share(one: Performance, edges_s: Floats) -> Floats:
    """Return the share of each part with the pedal down, [parts]."""
    grid = np.clip(one.pedal_s[:, :, None], edges_s[:-1], edges_s[1:])  # [presses, 2, parts]
    down: Floats = (grid[:, 1] - grid[:, 0]).sum(axis=0) / np.diff(edges_s).clip(1e-3)
    return down


def _means(values: Floats, bins: NDArray[np.int64], count: int) -> Floats:
    number = np.bincount(bins, minlength=count)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean: Floats = np.bincount(bins, weights=values, minlength=count) / number
    return mean


def _against(name: str, shape: Floats, others: Floats) -> dict[str, float]:
    known = np.isfinite(shape) & np.isfinite(others)
    if known.sum() < _FEWEST:
        return {}
    own, common = shape[known], others[known]
    power = float(np.square(common).mean())
    gain = float((own * common).mean()) / max(power, 1e-9)
    rest = own - common
    position = np.linspace(-1.0, 1.0, len(own))
    both = own.std() * common.std()
    centred = ((own - own.mean()) * (common - common.mean())).mean()
    return {
        f"{name}_std": float(own.std()),
        f"{name}_gain": gain,
        f"{name}_correlation": float(centred / both) if both > 1e-12 else 0.0,
        f"{name}_residual": float(rest.std()),
        f"{name}_slope": float(np.polyfit(position, rest, 1)[0]),
        f"{name}_end": float(rest[-2:].mean()),
        f"{name}_jump": float(np.abs(np.diff(own)).mean()),
    }
