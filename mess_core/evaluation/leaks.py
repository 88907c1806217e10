"""Checks for train/test leakage: works, recordings, performers, segments, scalers, choices."""

from __future__ import annotations

import contextlib
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

import numpy as np
from numpy.typing import NDArray

from mess_core.errors import DatasetError, StoreError
from mess_core.evaluation.splits import (
    Fold,
    Split,
    SplitBy,
    load_split,
    shared_music,
    spelled_works,
)
from mess_core.store.findings import EXAMPLES, Finding
from mess_core.store.layout import Layout
from mess_core.store.tables import read_table

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Choice",
    "Leak",
    "assert_no_leaks",
    "check_frozen_splits",
    "choice_leaks",
    "overlap",
    "scaler_leaks",
    "segment_leaks",
    "split_leaks",
    "track_leaks",
]


@dataclass(frozen=True)
class Leak:
    """An item that training and test data have in common.

    Attributes
    ----------
    kind : str
        "work", "audio", "performer", "track", "passage", "segment", "scaler" or "choice".
    what : str
        Names of what is on both sides.
    """

    kind: str
    what: str


@dataclass(frozen=True)
class Choice:
    """A hyperparameter (K, a layer, a penalty) and the tracks it was chosen on.

    Attributes
    ----------
    name : str
    value : float or str
    tracks : frozenset of str
        Tracks whose scores the choice was based on.
    """

    name: str
    value: float | str
    tracks: frozenset[str]


def track_leaks(tracks: pd.DataFrame, fold: Fold, by: SplitBy) -> list[Leak]:
    """Find works, performers and recordings on both sides of a fold.

    Works are compared both by work id and by composer and title, so that a work with two ids
    is found, too.

    Parameters
    ----------
    tracks : DataFrame
        ``track_id, work_id, composer, title, performer, audio_sha256``.
    fold : Fold
    by : {"work", "performer", "both", "recording"}
        What the split keeps apart; recordings are always kept apart.

    Raises
    ------
    DatasetError
        If the fold names a track that the table lacks.
    """
    from mess_core.datasets.works import leak_safe_groups

    known = tracks.assign(track_id=tracks["track_id"].astype(str)).set_index("track_id")
    missing = [one for one in (*fold.train, *fold.test) if one not in known.index]
    if missing:
        raise DatasetError(
            f"the split names tracks that the table lacks: {', '.join(missing[:3])}",
            remedy="Make the split again from the present table",
        )
    found = overlap("track", fold.train, fold.test)
    sides = [known.loc[list(side)] for side in (fold.train, fold.test)]
    found += overlap("audio", *(side["audio_sha256"].dropna() for side in sides))
    if by in {"work", "both"}:
        count = len(fold.train)
        ids = [str(name) for side in sides for name in side["work_id"]]
        groups = leak_safe_groups(ids)
        found += overlap("work", groups[:count], groups[count:])
        spelled = [[one for one in spelled_works(side) if one is not None] for side in sides]
        found += overlap("work", *spelled)
        music = [[one for one in shared_music(side) if one is not None] for side in sides]
        found += overlap("music", *music)
    if by in {"performer", "both"}:
        found += overlap("performer", *(side["performer"].dropna() for side in sides))
    return list(dict.fromkeys(found))


def segment_leaks(train: pd.DataFrame, test: pd.DataFrame) -> list[Leak]:
    """Find overlapping training and test segments of the same recording.

    Parameters
    ----------
    train, test : DataFrame
        ``audio_sha256`` (or another id of the recording), ``start_s``, ``end_s``.
    """
    both = train.merge(test, on="audio_sha256", suffixes=("", "_test"))
    overlap = (both["start_s"] < both["end_s_test"]) & (both["start_s_test"] < both["end_s"])
    return [
        Leak("segment", f"{row.audio_sha256}: {row.start_s:g} to {row.end_s:g} s")
        for row in both[overlap].itertuples()
    ]


def scaler_leaks(
    mean: NDArray[np.floating], rows: NDArray[np.floating], train: Sequence[int]
) -> list[Leak]:
    """Check that a scaler's mean is the mean of the training rows.

    Parameters
    ----------
    mean : ndarray, shape [features]
        Mean of the scaler in use.
    rows : ndarray, shape [rows, features]
        All rows, before scaling.
    train : sequence of int
        Indices of the training rows.
    """
    own = np.asarray(rows, dtype=np.float64)[list(train)]
    expected = own.mean(axis=0)
    tolerance = 1e-4 * np.maximum(own.std(axis=0), 1e-6) + 1e-6 * np.abs(expected)
    off = np.abs(np.asarray(mean, dtype=np.float64) - expected) > tolerance
    if not off.any():
        return []
    return [Leak("scaler", f"the mean of {int(off.sum())} features is not the training rows'")]


def choice_leaks(choices: Iterable[Choice], test: Iterable[str]) -> list[Leak]:
    """Find choices that were based on scores of test tracks."""
    tested = set(test)
    return [
        Leak("choice", f"{one.name} = {one.value} was chosen on {', '.join(sorted(seen)[:3])}")
        for one in choices
        if (seen := one.tracks & tested)
    ]


def split_leaks(tracks: pd.DataFrame, split: Split) -> list[Leak]:
    """Find all leaks in all folds of a split."""
    found = [leak for fold in split.folds for leak in track_leaks(tracks, fold, split.by)]
    return list(dict.fromkeys(found))


def check_frozen_splits(layout: Layout) -> Finding:
    """Check that no work, performer or recording is on both sides and that no file was changed."""
    tracks = read_table(layout.tracks)
    facts: dict[str, object] = {}
    for by in get_args(SplitBy):
        with contextlib.suppress(StoreError):
            leaks = split_leaks(tracks, load_split(layout.splits / f"{by}.json"))
            facts[by] = [f"{leak.kind}: {leak.what}" for leak in leaks[:EXAMPLES]]
    return Finding("work" in facts and not any(facts.values()), facts)


def assert_no_leaks(leaks: Sequence[Leak], where: str = "") -> None:
    """Raise an error if there are any leaks.

    Parameters
    ----------
    leaks : sequence of Leak
    where : str
        Context for the error message, such as "in fold 0".

    Raises
    ------
    DatasetError
        If there is a leak; the message names the first three.
    """
    if leaks:
        shown = "; ".join(f"{leak.kind}: {leak.what}" for leak in leaks[:3])
        more = f" and {len(leaks) - 3} more" if len(leaks) > 3 else ""
        raise DatasetError(
            f"training and test data overlap{' ' * bool(where)}{where} ({shown}{more})",
            remedy="Make the split again, or correct the work, performer or audio of these tracks",
        )


def overlap(kind: str, train: Iterable[Hashable], test: Iterable[Hashable]) -> list[Leak]:
    """Return a leak of this kind for each name that is on both sides."""
    shared = set(map(str, train)) & set(map(str, test))
    return [Leak(kind, name) for name in sorted(shared)]
