"""Which tracks share music, by their notes, and where their titles say otherwise.

A title may be spelled in another way, be wrong, or name a part of what another one names whole. The
notes tell: tracks that share many runs of notes are of the same music, whatever they are called
(`mess_core.midi.note_sketches`). Folds keep such tracks together; where titles and notes disagree,
`compare_labels` says so, for a person to decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mess_core.datasets.works import leak_safe_groups
from mess_core.midi.note_sketches import Sketch, incidence, note_runs
from mess_core.midi.performance import Performance

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "SharedNotes",
    "Stretch",
    "compare_labels",
    "music_groups",
    "shared_pairs",
    "shared_stretches",
]

_FEWEST, _SHARE = 8, 0.07
_FEWEST_OF_EXCERPT, _SHARE_OF_EXCERPT = 4, 0.5
_SURE, _SURE_SHARE = 12, 0.12
_COMMON = 0.05
_ENOUGH = 24
_GAP_S = 20.0
_FEWEST_RUNS = 12

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
    """

    first: Ints
    second: Ints
    shared: Ints
    smaller: Ints

    @property
    def share(self) -> NDArray[np.float64]:
        """Runs in common as a share of the shorter track's."""
        found: NDArray[np.float64] = self.shared / np.maximum(self.smaller, 1)
        return found

    @property
    def same(self) -> NDArray[np.bool_]:
        """Whether so many runs in common mean the same music."""
        long = (self.shared >= _FEWEST) & (self.share >= _SHARE)
        excerpt = (self.shared >= _FEWEST_OF_EXCERPT) & (self.share >= _SHARE_OF_EXCERPT)
        return long | excerpt


def shared_pairs(sketches: Sequence[Sketch]) -> SharedNotes:
    """Return the pairs of tracks that have runs of notes in common.

    Runs in over 5 % of all tracks (and in 20 at least) are figures that much music has, and do not
    count. Time and memory grow with the number of notes and of pairs that share any.

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
        return SharedNotes(empty, empty, empty, empty)
    runs = incidence(sketches, vocabulary)
    tracks_with = np.asarray(runs.sum(axis=0)).ravel()
    runs = runs[:, tracks_with <= max(20, _COMMON * len(sketches))]
    sizes = np.asarray(runs.sum(axis=1)).ravel().astype(np.int64)
    common = triu(runs @ runs.T, k=1).tocoo()
    first, second = common.row.astype(np.int64), common.col.astype(np.int64)
    smaller = np.minimum(sizes[first], sizes[second])
    return SharedNotes(first, second, common.data.astype(np.int64), smaller)


def music_groups(sketches: Sequence[Sketch], names: Sequence[str]) -> list[str | None]:
    """Return a name for each track's music: tracks that share music, also by way of others.

    Parameters
    ----------
    sketches : sequence of ndarray, uint64
    names : sequence of str
        Names of the tracks; a group is named after its first.

    Returns
    -------
    list of str or None
        None for tracks without a sketch.

    Examples
    --------
    >>> a, b = np.arange(100, dtype=np.uint64), np.arange(500, 600, dtype=np.uint64)
    >>> music_groups([a, b, a, np.empty(0, dtype=np.uint64)], ["x", "y", "z", "w"])
    ['x', 'y', 'x', None]
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    pairs = shared_pairs(sketches)
    same, count = pairs.same, len(sketches)
    edges = (np.ones(int(same.sum())), (pairs.first[same], pairs.second[same]))
    _, group = connected_components(coo_matrix(edges, shape=(count, count)), directed=False)
    first: dict[int, str] = {}
    for number, name in zip(group.tolist(), names, strict=True):
        first.setdefault(number, name)
    return [
        first[number] if len(sketch) else None
        for number, sketch in zip(group.tolist(), sketches, strict=True)
    ]


def compare_labels(tracks: pd.DataFrame, sketches: Sequence[Sketch]) -> pd.DataFrame:
    """Return the tracks whose titles and notes disagree.

    Parameters
    ----------
    tracks : DataFrame
        ``track_id, work_id``, and ``composer, title`` if known.
    sketches : sequence of ndarray, uint64
        Of each track, as returned by `note_sketch`.

    Returns
    -------
    DataFrame
        ``finding, track_id, work_id, title, other, other_work, other_title, shared, share,
        confidence``, surest first. Findings: "other title, same music", the pair of tracks of two
        works that share most; "same title, other music", a track that shares nothing with two or
        more of its work that share music with each other, with the track of another work that it
        does share music with, if there is one. The second may be another movement: its confidence
        is low unless its music has another title.
    """
    import pandas as pd

    pairs = shared_pairs(sketches)
    groups = np.asarray(leak_safe_groups(tracks["work_id"].astype(str).tolist()))
    same = pairs.same
    first, second = pairs.first[same], pairs.second[same]
    shared, share = pairs.shared[same], pairs.share[same]
    apart = groups[first] != groups[second]
    rows = _same_music(groups, first[apart], second[apart], shared[apart], share[apart])
    works = tracks["work_id"].astype(str).to_numpy()
    rows += _other_music(works, sketches, first, second, {row[1] for row in rows})
    facts = tracks.reset_index(drop=True)
    named = facts.reindex(columns=["composer", "title"]).astype("string").fillna("")
    title = named["composer"].str.cat(named["title"], sep=": ").to_numpy()
    names = facts["track_id"].astype(str).to_numpy()
    found = [
        {
            "finding": finding,
            "track_id": names[one], "work_id": works[one], "title": title[one],
            "other": names[other], "other_work": works[other], "other_title": title[other],
            "shared": int(count), "share": float(part), "confidence": confidence,
        }
        for finding, one, other, count, part, confidence in rows
    ]  # fmt: skip
    columns = ["finding", "track_id", "work_id", "title", "other", "other_work", "other_title"]
    table = pd.DataFrame(found, columns=[*columns, "shared", "share", "confidence"])
    order = table["confidence"].map({"high": 0, "medium": 1, "low": 2})
    return (
        table.assign(order=order)
        .sort_values(["order", "share"], ascending=[True, False], kind="stable")
        .drop(columns="order")
        .reset_index(drop=True)
    )


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


_Row = tuple[str, int, int, int, float, str]


def _same_music(
    groups: NDArray[np.str_], first: Ints, second: Ints, shared: Ints, share: NDArray[np.float64]
) -> list[_Row]:
    """Return the surest pair of tracks for each pair of works that share music."""
    best: dict[tuple[str, str], _Row] = {}
    for a, b, count, part in zip(
        first.tolist(), second.tolist(), shared.tolist(), share.tolist(), strict=True
    ):
        works = (min(groups[a], groups[b]), max(groups[a], groups[b]))
        if works not in best or part > best[works][4]:
            sure = "high" if count >= _SURE and part >= _SURE_SHARE else "medium"
            best[works] = ("other title, same music", a, b, count, part, sure)
    return list(best.values())


def _other_music(
    works: NDArray[np.str_],
    sketches: Sequence[Sketch],
    first: Ints,
    second: Ints,
    elsewhere: set[int],
) -> list[_Row]:
    """Return tracks that share nothing with others of their work, which share music themselves."""
    linked = set(zip(first.tolist(), second.tolist(), strict=True))
    long = np.array([len(one) >= _ENOUGH for one in sketches], dtype=bool)
    found: list[_Row] = []
    for work in np.unique(works):
        members = np.flatnonzero((works == work) & long).tolist()
        pairs = {pair for pair in combinations(members, 2) if pair in linked}
        known = {one for pair in pairs for one in pair}
        for one in set(members) - known:
            sure = "medium" if one in elsewhere else "low"
            found += [("same title, other music", one, min(known), 0, 0.0, sure)] if known else []
    return found
