"""Performances that several data sets contain: the same notes with the same velocities.

ASAP, for instance, is cut from recordings that MAESTRO contains whole. Two performances of a work
hardly ever agree on twelve velocities in a row; a copy or a cut of one agrees on nearly all.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray

from mess_core.errors import MessError
from mess_core.midi.performance import Performance
from mess_core.midi.reading import read_performance

__all__ = ["copies_of_others", "same_performance", "velocity_runs"]

_RUN = 12
_SHARE = 0.5

Runs = NDArray[np.uint64]


def velocity_runs(performance: Performance) -> Runs:
    """Hash every run of twelve notes with their velocities, in the order of pitch within chords.

    Returns
    -------
    ndarray, uint64, shape [any]
        Sorted, each once; empty if there are fewer notes, or all velocities are equal.
    """
    notes = performance.pitch.astype(np.uint64) * np.uint64(128)
    notes += performance.velocity.astype(np.uint64)
    order = np.lexsort((performance.pitch, performance.chord_of_note))
    if len(notes) < _RUN or len(np.unique(performance.velocity)) < 2:
        return np.empty(0, dtype=np.uint64)
    runs = np.lib.stride_tricks.sliding_window_view(notes[order], _RUN)
    weights = np.uint64(6_364_136_223_846_793_005) ** np.arange(_RUN, dtype=np.uint64)
    found: Runs = np.unique((runs * weights).sum(axis=1))
    return found


def same_performance(first: Runs, second: Runs) -> bool:
    """Return whether at least half of the runs of the shorter performance are in the other.

    Parameters
    ----------
    first, second : ndarray, uint64
        As returned by `velocity_runs`.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> onset = np.arange(200) * 0.25
    >>> pitch, velocity = rng.integers(40, 80, 200), rng.integers(30, 90, 200)
    >>> whole = Performance(onset, onset + 0.2, pitch, velocity, np.empty((0, 2)))
    >>> cut, louder = whole.excerpt(10.0, 30.0), whole
    >>> same_performance(velocity_runs(whole), velocity_runs(cut))
    True
    """
    fewest = min(len(first), len(second))
    common = len(np.intersect1d(first, second, assume_unique=True))
    return fewest > 0 and common >= _SHARE * fewest


def copies_of_others(
    paths: Sequence[str], works: Sequence[str], *, workers: int = 2
) -> dict[int, int]:
    """Find the files that hold a performance which an earlier file of the same work holds, too.

    Parameters
    ----------
    paths : sequence of str
        MIDI files; one that cannot be read is no copy.
    works : sequence of str
        Work of each file: only files of one work are compared.
    workers : int
        Processes that read.

    Returns
    -------
    dict of int to int
        Number of the copy to that of the file it repeats.
    """
    names, counts = np.unique(np.asarray(works, dtype=str), return_counts=True)
    several = set(names[counts > 1])
    chosen = [number for number, work in enumerate(works) if work in several]
    jobs = (delayed(_runs)(paths[number]) for number in chosen)
    runs = dict(zip(chosen, Parallel(n_jobs=workers)(jobs), strict=True))
    kept: dict[str, list[int]] = {}
    copies = {}
    for number in chosen:
        of_work = kept.setdefault(works[number], [])
        original = next((one for one in of_work if same_performance(runs[one], runs[number])), None)
        if original is None:
            of_work.append(number)
        else:
            copies[number] = original
    return copies


def _runs(path: str) -> Runs:
    try:
        return velocity_runs(read_performance(path))
    except MessError:
        return np.empty(0, dtype=np.uint64)
