"""Where titles and notes disagree on which music a track is, for a person to decide."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mess_core.datasets.shared_music import SharedNotes, same_music_pairs
from mess_core.datasets.works import leak_safe_groups
from mess_core.midi.note_sketches import Sketches

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["compare_labels"]

_ENOUGH = 24


def compare_labels(tracks: pd.DataFrame, sketches: Sequence[Sketches]) -> pd.DataFrame:
    """Return the tracks whose titles and notes disagree.

    Parameters
    ----------
    tracks : DataFrame
        ``track_id, work_id``, and ``composer, title`` if known.
    sketches : sequence of Sketches
        Of each track.

    Returns
    -------
    DataFrame
        ``finding, track_id, work_id, title, other, other_work, other_title, shared, share,
        semitones, confidence``, surest first; ``semitones`` is by how much the other is higher.
        Findings: "other title, same music", the pair of tracks of two works that share most; "same
        title, other music", a track that shares nothing with two or more of its work that share
        music with each other, with the track of another work that it does share music with, if
        there is one. The second may be another movement: its confidence is low unless its music
        has another title.
    """
    import pandas as pd

    pairs = same_music_pairs(sketches)
    groups = np.asarray(leak_safe_groups(tracks["work_id"].astype(str).tolist()))
    rows = _same_music(groups, pairs.take(groups[pairs.first] != groups[pairs.second]))
    works = tracks["work_id"].astype(str).to_numpy()
    rows += _other_music(works, sketches, pairs, {row[1] for row in rows})
    facts = tracks.reset_index(drop=True)
    named = facts.reindex(columns=["composer", "title"]).astype("string").fillna("")
    title = named["composer"].str.cat(named["title"], sep=": ").to_numpy()
    names = facts["track_id"].astype(str).to_numpy()
    found = [
        {
            "finding": finding,
            "track_id": names[one], "work_id": works[one], "title": title[one],
            "other": names[other], "other_work": works[other], "other_title": title[other],
            "shared": count, "share": part, "semitones": semitones, "confidence": confidence,
        }
        for finding, one, other, count, part, semitones, confidence in rows
    ]  # fmt: skip
    columns = ["finding", "track_id", "work_id", "title", "other", "other_work", "other_title"]
    table = pd.DataFrame(found, columns=[*columns, "shared", "share", "semitones", "confidence"])
    order = table["confidence"].map({"high": 0, "medium": 1, "low": 2})
    return (
        table.assign(order=order)
        .sort_values(["order", "share"], ascending=[True, False], kind="stable")
        .drop(columns="order")
        .reset_index(drop=True)
    )


_Row = tuple[str, int, int, int, float, int, str]


def _same_music(groups: NDArray[np.str_], pairs: SharedNotes) -> list[_Row]:
    """Return the surest pair of tracks for each pair of works that share music."""
    best: dict[tuple[str, str], _Row] = {}
    columns = (pairs.first, pairs.second, pairs.shared, pairs.share, pairs.semitones, pairs.sure)
    for a, b, count, part, semitones, sure in zip(*(one.tolist() for one in columns), strict=True):
        works = (min(groups[a], groups[b]), max(groups[a], groups[b]))
        if works not in best or part > best[works][4]:
            confidence = "high" if sure else "medium"
            best[works] = ("other title, same music", a, b, count, part, semitones, confidence)
    return list(best.values())


def _other_music(
    works: NDArray[np.str_],
    sketches: Sequence[Sketches],
    same: SharedNotes,
    elsewhere: set[int],
) -> list[_Row]:
    """Return tracks that share nothing with others of their work, which share music themselves."""
    linked = set(zip(same.first.tolist(), same.second.tolist(), strict=True))
    long = np.array([len(one.in_key) >= _ENOUGH for one in sketches], dtype=bool)
    found: list[_Row] = []
    for work in np.unique(works):
        members = np.flatnonzero((works == work) & long).tolist()
        pairs = {pair for pair in combinations(members, 2) if pair in linked}
        known = {one for pair in pairs for one in pair}
        for one in set(members) - known:
            sure = "medium" if one in elsewhere else "low"
            row = ("same title, other music", one, min(known, default=one), 0, 0.0, 0, sure)
            found += [row] if known else []
    return found
