"""Which tracks share music, by their notes.

A title may be spelled in another way, be wrong, or name a part of what another one names whole. The
notes tell: tracks that share many runs of notes are of the same music, whatever they are called
and in whatever key (`mess_core.midi.note_sketches`). Folds keep such tracks together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mess_core.midi.note_sketches import Sketch, Sketches, incidence, note_runs, same_music
from mess_core.midi.performance import Performance

__all__ = [
    "SharedNotes",
    "Stretch",
    "music_groups",
    "same_music_pairs",
    "shared_pairs",
    "shared_stretches",
    "transposed_pairs",
]

_SURE, _SURE_SHARE = 12, 0.12
_COMMON, _MOST = 0.05, 20
_MOSTLY = 0.5
_GAP_S = 20.0
_FEWEST_RUNS = 12
_PITCH_BITS = np.uint64(7)

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class SharedNotes:
    """Pairs of tracks that have any runs of notes in common; each pair once.

    Attributes
    ----------
    first, second : ndarray, int64, shape [pairs]
        Row numbers, ``first < second``.
    shared : ndarray, int64, shape [pairs]
        Runs in common.
    smaller : ndarray, int64, shape [pairs]
        Runs of the shorter track.
    semitones : ndarray, int64, shape [pairs]
        By how much the second is higher than the first.
    """

    first: Ints
    second: Ints
    shared: Ints
    smaller: Ints
    semitones: Ints

    @property
    def share(self) -> NDArray[np.float64]:
        """Runs in common as a share of the shorter track's."""
        found: NDArray[np.float64] = self.shared / np.maximum(self.smaller, 1)
        return found

    @property
    def same(self) -> NDArray[np.bool_]:
        """Whether so many runs in common mean the same music; more are needed in another key."""
        found: NDArray[np.bool_] = (self.semitones == 0) | self.sure
        return found & same_music(self.shared, self.smaller)

    @property
    def sure(self) -> NDArray[np.bool_]:
        """Whether there are so many that chance is out of the question."""
        found: NDArray[np.bool_] = (self.shared >= _SURE) & (self.share >= _SURE_SHARE)
        return found

    def take(self, rows: NDArray[Any]) -> SharedNotes:
        """Return some of the pairs."""
        return SharedNotes(*(getattr(self, one.name)[rows] for one in fields(self)))


def shared_pairs(sketches: Sequence[Sketch]) -> SharedNotes:
    """Return the pairs of tracks that have runs of notes in common.

    Runs in over 5 % of all tracks (and in 20 at least) are figures that much music has, and do not
    count; tracks that share most of their runs count as one here, so that a piece is not taken for
    a figure because many play it. Time and memory grow with the number of notes and of pairs that
    share any.

    Parameters
    ----------
    sketches : sequence of ndarray, uint64
        As returned by `note_sketch`; empty for tracks without MIDI.

    Returns
    -------
    SharedNotes

    Examples
    --------
    >>> a, b = np.arange(100, dtype=np.uint64), np.arange(90, 200, dtype=np.uint64)
    >>> pairs = shared_pairs([a, b, np.arange(500, 600, dtype=np.uint64)])
    >>> pairs.first.tolist(), pairs.second.tolist(), pairs.shared.tolist(), pairs.same.tolist()
    ([0], [1], [10], [True])
    """
    from scipy.sparse import triu

    vocabulary = np.unique(np.concatenate([np.empty(0, dtype=np.uint64), *sketches]))
    if not len(vocabulary):
        empty = np.empty(0, dtype=np.int64)
        return SharedNotes(empty, empty, empty, empty, empty)
    runs = _without_figures(incidence(sketches, vocabulary))
    sizes = np.asarray(runs.sum(axis=1)).ravel().astype(np.int64)
    common = triu(runs @ runs.T, k=1).tocoo()
    first, second = common.row.astype(np.int64), common.col.astype(np.int64)
    smaller = np.minimum(sizes[first], sizes[second])
    return SharedNotes(first, second, common.data.astype(np.int64), smaller, np.zeros_like(smaller))


def transposed_pairs(sketches: Sequence[Sketch]) -> SharedNotes:
    """Return the pairs of tracks of which one is the other's music in another key.

    Parameters
    ----------
    sketches : sequence of ndarray, uint64
        As returned by `transposable_sketch`; empty for tracks without MIDI.

    Returns
    -------
    SharedNotes
        Runs in common are those that the same number of semitones parts.

    Examples
    --------
    >>> one = np.arange(60, dtype=np.uint64) << np.uint64(7)
    >>> pairs = transposed_pairs([one + np.uint64(60), one + np.uint64(65)])
    >>> pairs.shared.tolist(), pairs.semitones.tolist()
    ([60], [5])
    """
    candidates = shared_pairs([np.unique(one >> _PITCH_BITS) for one in sketches])
    candidates = candidates.take(candidates.sure)
    counted = [
        _at_one_distance(sketches[a], sketches[b])
        for a, b in zip(candidates.first.tolist(), candidates.second.tolist(), strict=True)
    ]
    shared, semitones = np.array(counted, dtype=np.int64).reshape(-1, 2).T
    found = replace(candidates, shared=shared, semitones=semitones)
    return found.take((semitones != 0) & found.same)


def same_music_pairs(sketches: Sequence[Sketches]) -> SharedNotes:
    """Return the pairs of tracks that are of the same music, in one key or in two.

    Parameters
    ----------
    sketches : sequence of Sketches
        Of each track, as returned by `sketches_of`; `NO_NOTES` for tracks without MIDI.
    """
    in_key = shared_pairs([one.in_key for one in sketches])
    in_key = in_key.take(in_key.same)
    other_key = transposed_pairs([one.in_any_key for one in sketches])
    known = set(zip(in_key.first.tolist(), in_key.second.tolist(), strict=True))
    pairs = zip(other_key.first.tolist(), other_key.second.tolist(), strict=True)
    other_key = other_key.take(np.array([pair not in known for pair in pairs], dtype=bool))
    return SharedNotes(
        *(
            np.concatenate([getattr(in_key, one.name), getattr(other_key, one.name)])
            for one in fields(SharedNotes)
        )
    )


def music_groups(sketches: Sequence[Sketches], names: Sequence[str]) -> list[str | None]:
    """Return a name for each track's music: tracks that share music, also by way of others.

    Parameters
    ----------
    sketches : sequence of Sketches
    names : sequence of str
        Names of the tracks; a group is named after its first.

    Returns
    -------
    list of str or None
        None for tracks without notes to go by.

    Examples
    --------
    >>> from mess_core.midi.note_sketches import NO_NOTES, Sketches
    >>> one, other = (
    ...     Sketches(np.arange(n, n + 100, dtype=np.uint64), NO_NOTES.in_any_key) for n in (0, 500)
    ... )
    >>> music_groups([one, other, one, NO_NOTES], ["x", "y", "z", "w"])
    ['x', 'y', 'x', None]
    """
    pairs = same_music_pairs(sketches)
    group = _components(pairs.first, pairs.second, len(sketches))
    first: dict[int, str] = {}
    for number, name in zip(group.tolist(), names, strict=True):
        first.setdefault(number, name)
    return [
        first[number] if len(one.in_key) else None
        for number, one in zip(group.tolist(), sketches, strict=True)
    ]


def _without_figures(runs: Any) -> Any:
    """Return the columns of runs that are not figures which much music has."""
    count = runs.shape[0]
    sizes = np.asarray(runs.sum(axis=1)).ravel()
    common = _common(runs)
    # Only tracks that are mostly of common runs may be of a piece that many play.
    crowded = np.asarray(runs[:, common].sum(axis=1)).ravel()
    near = np.flatnonzero((sizes > 0) & (crowded >= _MOSTLY * sizes))
    if common.any() and len(near):
        pairs = (runs[near] @ runs.T).tocoo()
        first, second = near[pairs.row], pairs.col
        smaller = np.minimum(sizes[first], sizes[second])
        same = same_music(pairs.data, smaller) & (pairs.data >= _MOSTLY * smaller)
        common = _common(runs, _components(first[same], second[same], count))
    return runs[:, ~common]


def _common(runs: Any, group: Ints | None = None) -> NDArray[np.bool_]:
    """Return which runs over 5 % of the groups of tracks have."""
    from scipy.sparse import csr_matrix

    if group is not None:
        count = len(group)
        ones = np.ones(count, dtype=np.int32)
        members = csr_matrix((ones, (group, np.arange(count))), shape=(group.max() + 1, count))
        runs = (members @ runs) > 0
    found: NDArray[np.bool_] = np.asarray(runs.sum(axis=0)).ravel() > max(
        _MOST, _COMMON * runs.shape[0]
    )
    return found


def _components(first: Ints, second: Ints, count: int) -> Ints:
    """Return the number of each row's group, given pairs that belong together."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    edges = coo_matrix((np.ones(len(first)), (first, second)), shape=(count, count))
    group: Ints = connected_components(edges, directed=False)[1].astype(np.int64)
    return group


def _at_one_distance(first: Sketch, second: Sketch) -> tuple[int, int]:
    """Return how many runs lie apart by one number of semitones, the commonest, and that number."""
    steps, other_steps = first >> _PITCH_BITS, second >> _PITCH_BITS
    low, high = np.searchsorted(other_steps, steps), np.searchsorted(other_steps, steps, "right")
    which = np.repeat(np.arange(len(first)), high - low)
    nth = np.arange(len(which)) - np.repeat(np.cumsum(high - low) - (high - low), high - low)
    apart = second[low[which] + nth].astype(np.int64) - first[which].astype(np.int64)
    distances, count = np.unique(apart, return_counts=True)
    return int(count.max()), int(distances[count.argmax()])


@dataclass(frozen=True)
class Stretch:
    """A stretch of music that two performances share, in seconds of each.

    Attributes
    ----------
    start_s, end_s : float
        Of the first performance.
    other_start_s, other_end_s : float
        Of the second.
    runs : int
        Runs of notes in common, in the same order.
    """

    start_s: float
    end_s: float
    other_start_s: float
    other_end_s: float
    runs: int


def shared_stretches(first: Performance, second: Performance) -> list[Stretch]:
    """Return the stretches that two performances share, in the order of the first.

    Runs of notes that occur once in each are matched; a stretch is a chain of them that advances
    in both, without a gap of over 20 s in either. A repeat that one of the two leaves out is not
    found, since its runs occur twice in the other.

    Parameters
    ----------
    first, second : Performance

    Returns
    -------
    list of Stretch
        Of at least twelve runs each.
    """
    ours, theirs = (_once(*note_runs(one)) for one in (first, second))
    common = sorted(set(ours) & set(theirs), key=ours.__getitem__)
    chains: list[Stretch] = []
    for run in common:
        here, there = ours[run], theirs[run]
        # The last chain that it continues: a run of chance between two others parts nothing.
        for number in range(len(chains) - 1, max(-1, len(chains) - 6), -1):
            one = chains[number]
            if here - one.end_s < _GAP_S and 0 < there - one.other_end_s < _GAP_S:
                chains[number] = replace(one, end_s=here, other_end_s=there, runs=one.runs + 1)
                break
        else:
            chains.append(Stretch(here, here, there, there, 1))
    return [one for one in chains if one.runs >= _FEWEST_RUNS]


def _once(hashes: Sketch, onset_s: NDArray[np.float64]) -> dict[int, float]:
    """Return when each run begins that occurs once."""
    known, index, count = np.unique(hashes, return_index=True, return_counts=True)
    single = count == 1
    return dict(zip(known[single].tolist(), onset_s[index[single]].tolist(), strict=True))
