"""Validation of asynchrony against the chords that several performances agree on.

There is no score in the shared data, but other performances: notes that the players together strike
at one time are a chord, although one of them spreads it. Foscarin et al., "ASAP", ISMIR 2020, for
the performances.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mess_core.midi.alignment import align
from mess_core.midi.chords import asynchrony_ms
from mess_core.midi.performance import Performance
from mess_core.midi.reading import read_performance
from mess_core.targets.expression import onset_timing_std

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["asynchrony_table", "chords_in_common"]

_FEWEST = 5  # performances of a piece
_MOST = 8
_MOST_NOTES = 4000
_NEIGHBOURS = 7  # notes that follow one and may be of its chord
_TOGETHER_S = 0.04  # the players' median: melody and bass are often that far apart
_AGREED_S = 0.04  # the players' median deviation from it
_FEWEST_KNOWN = 4

Floats = NDArray[np.float64]


def asynchrony_table(
    performances: pd.DataFrame, *, seed: int = 0, say: Callable[[str], None] = lambda _: None
) -> pd.DataFrame:
    """Measure asynchrony with and without knowledge of the chords.

    Parameters
    ----------
    performances : DataFrame
        As returned by `read_asap`. Pieces with fewer than five performances are left out; of
        others, up to eight of at most 4,000 notes are drawn.
    seed : int
    say : callable
        Called with progress messages.

    Returns
    -------
    DataFrame
        ``piece, ground_truth_ms, measured_ms, fixed_ms``: from `chords_in_common`, the target
        onset_timing_std, and chords of 30 ms.
    """
    import pandas as pd

    rng = np.random.default_rng(seed)
    rows = []
    for piece, part in performances.groupby("piece", sort=True):
        paths = rng.permutation(part["midi"].to_numpy())[:_MOST].tolist()
        read = [one for one in map(read_performance, paths) if len(one) <= _MOST_NOTES]
        if len(read) < _FEWEST:
            continue
        for one, ground_truth_ms in zip(read, chords_in_common(read), strict=True):
            fixed_ms = asynchrony_ms(one.onset_s, one.chord_of_note)
            rows.append((piece, ground_truth_ms, onset_timing_std(one), fixed_ms))
        say(str(piece))
    return pd.DataFrame(rows, columns=["piece", "ground_truth_ms", "measured_ms", "fixed_ms"])


def chords_in_common(performances: Sequence[Performance]) -> list[float]:
    """Return the asynchrony of each performance within the chords that they have in common.

    All are aligned to the first. Two notes are of one chord if the players' median interval between
    them is under 40 ms and most deviate little from it.

    Parameters
    ----------
    performances : sequence of Performance

    Returns
    -------
    list of float
        Root mean square deviation from the mean onset of the chord, in ms.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    reference = performances[0]
    time_s = np.full((len(performances), len(reference)), np.nan)
    time_s[0] = reference.onset_s
    for row, other in enumerate(performances[1:], start=1):
        found = align(reference, other)
        trusted = found.trusted(reference.onset_s[found.a_note])
        time_s[row, found.a_note[trusted]] = other.onset_s[found.b_note[trusted]]
    pairs = [_pairs(time_s, reference.pitch, ahead) for ahead in range(1, _NEIGHBOURS + 1)]
    first, second = np.hstack(pairs)
    links = coo_matrix((np.ones(len(first)), (first, second)), shape=(len(reference),) * 2)
    _, chord = connected_components(links, directed=False)
    known = np.isfinite(time_s)
    return [asynchrony_ms(row[has], chord[has]) for row, has in zip(time_s, known, strict=True)]


def _pairs(time_s: Floats, pitch: NDArray[np.int64], ahead: int) -> NDArray[np.int64]:
    """Return notes and the notes so many places after them that are of their chords, [2, pairs]."""
    interval = time_s[:, ahead:] - time_s[:, :-ahead]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # notes that no other performance has
        usual = np.nanmedian(interval, axis=0)
        deviation = np.nanmedian(np.abs(interval - usual), axis=0)
    together = (np.abs(usual) < _TOGETHER_S) & (deviation < _AGREED_S)
    together &= np.isfinite(interval).sum(axis=0) >= _FEWEST_KNOWN
    together &= pitch[ahead:] != pitch[:-ahead]
    first = np.flatnonzero(together)
    return np.stack([first, first + ahead])
