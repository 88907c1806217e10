"""Stretches that only one of two aligned performances plays: repeats, cuts, encores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mess_core.midi.alignment import Alignment
from mess_core.midi.note_sketches import note_runs
from mess_core.midi.performance import Performance

__all__ = ["Unshared", "unshared_stretches"]

_AROUND = 9  # chords
_FEWEST = 12  # chords: less is an ornament or a slip of the player
_MATCHED = 0.5
_REPEATED = 0.3

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Unshared:
    """A stretch of one performance that the other does not play.

    Attributes
    ----------
    only : str
        "a" or "b": the performance that plays it.
    start_s, end_s : float
        First and last onset, in seconds of that performance.
    at_s : float
        Where the other one goes on without it, in seconds of the other.
    repeat : bool
        Whether the performance plays the same notes somewhere else too, so that the other one left
        out a repeat, and not a part of the music.

    Examples
    --------
    >>> str(Unshared("a", 61.0, 118.5, at_s=60.2, repeat=True))
    'only a plays 61 s to 118 s, a repeat'
    """

    only: str
    start_s: float
    end_s: float
    at_s: float
    repeat: bool

    def __str__(self) -> str:
        what = "a repeat" if self.repeat else "which the other leaves out"
        return f"only {self.only} plays {self.start_s:.0f} s to {self.end_s:.0f} s, {what}"


def unshared_stretches(a: Performance, b: Performance, alignment: Alignment) -> list[Unshared]:
    """Return the stretches of at least 12 chords that only one of two performances plays.

    Parameters
    ----------
    a, b : Performance
    alignment : Alignment
        As returned by `align` for the two.

    Returns
    -------
    list of Unshared
        In the order of time, those of `a` first.

    Examples
    --------
    >>> from mess_core.midi.alignment import align
    >>> rng = np.random.default_rng(0)
    >>> pitch = rng.integers(40, 80, 300)
    >>> def played(pitch):
    ...     onset, velocity = 0.25 * np.arange(len(pitch)), np.full(len(pitch), 64)
    ...     return Performance(onset, onset + 0.2, pitch, velocity, np.empty((0, 2)))
    >>> once, twice = played(pitch), played(np.concatenate([pitch[:100], pitch]))
    >>> found = unshared_stretches(once, twice, align(once, twice))
    >>> [(one.only, one.repeat) for one in found]
    [('b', True)]
    """
    there, back = (alignment.a_s, alignment.b_s), (alignment.b_s, alignment.a_s)
    return [
        *_of(a, "a", alignment.a_note, *there),
        *_of(b, "b", alignment.b_note, *back),
    ]


def _of(
    performance: Performance, name: str, matched: Ints, here_s: Floats, other_s: Floats
) -> list[Unshared]:
    onset_s = performance.chord_onset_s
    found = np.bincount(performance.chord_of_note[matched], minlength=len(onset_s)) > 0
    width = min(_AROUND, len(onset_s))
    near = np.convolve(found, np.ones(width), mode="same") / width
    alone = np.concatenate([[False], near < _MATCHED, [False]])
    edges = np.flatnonzero(np.diff(alone.astype(np.int8)))
    stretches = []
    for first, end in zip(edges[::2], edges[1::2], strict=True):
        low, high = max(0, first - _AROUND // 2), min(len(onset_s), end + _AROUND // 2)
        unmatched = low + np.flatnonzero(~found[low:high])
        if len(unmatched) < _FEWEST:
            continue
        start_s, end_s = float(onset_s[unmatched[0]]), float(onset_s[unmatched[-1]])
        at_s = float(np.interp(start_s, here_s, other_s))
        repeat = _plays_elsewhere(performance, start_s, end_s)
        stretches.append(Unshared(name, start_s, end_s, at_s, repeat))
    return stretches


def _plays_elsewhere(performance: Performance, start_s: float, end_s: float) -> bool:
    """Return whether most of the notes between two times come in the same order at another time."""
    hashes, onset_s = note_runs(performance)
    within = (onset_s >= start_s) & (onset_s <= end_s)
    return bool(within.any() and np.isin(hashes[within], hashes[~within]).mean() >= _REPEATED)
