"""Train/test splits by work, by performer, by both, or by recording.

A split is frozen as a file that contains its own hash. The hash identifies the split that a result
was computed on, and a file that was changed afterwards is rejected. Segments have no split of their
own; they are on the side of their track.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from mess_core.errors import DatasetError, StoreError
from mess_core.store.tables import read_json, write_json

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Fold",
    "Split",
    "SplitBy",
    "load_split",
    "make_split",
    "save_split",
    "shared_music",
    "spelled_works",
    "work_groups",
]

SplitBy = Literal["work", "performer", "both", "recording"]
FORMAT = 1


@dataclass(frozen=True)
class Fold:
    """Track ids to train and to test on; tracks in neither would leak."""

    train: tuple[str, ...]
    test: tuple[str, ...]


@dataclass(frozen=True)
class Split:
    """Cross-validation folds; every track is tested once, except those left out.

    Attributes
    ----------
    by : {"work", "performer", "both", "recording"}
        What no training and test track have in common. "recording" is the weakest: only the
        audio itself.
    seed : int
    folds : tuple of Fold
    left_out : dict of str to str
        Track to the reason why it is in no fold.
    """

    by: SplitBy
    seed: int
    folds: tuple[Fold, ...]
    left_out: Mapping[str, str]

    @property
    def sha256(self) -> str:
        """Hash of everything that determines the side of each track."""
        return hashlib.sha256(json.dumps(self._content(), sort_keys=True).encode()).hexdigest()

    def fold_of(self) -> dict[str, int]:
        """Return a mapping from track to the fold in which it is tested."""
        return {track: index for index, fold in enumerate(self.folds) for track in fold.test}

    def _content(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "by": self.by,
            "seed": self.seed,
            "folds": [{"train": list(f.train), "test": list(f.test)} for f in self.folds],
            "left_out": dict(self.left_out),
        }


def make_split(
    tracks: pd.DataFrame,
    by: SplitBy = "work",
    *,
    folds: int = 5,
    seed: int = 0,
) -> Split:
    """Split a track table into folds.

    Works that share a recording, or composer and title, count as one work, whatever their ids
    (`mess_core.datasets.works.leak_safe_groups`). With "both", folds are made by work, and tracks
    by a fold's test performers are removed from its training tracks.

    Parameters
    ----------
    tracks : DataFrame
        As returned by `mess_core.datasets.base.track_table`.
    by : {"work", "performer", "both", "recording"}
    folds : int
        Number of folds; one per group if there are fewer groups.
    seed : int

    Raises
    ------
    DatasetError
        If `by` is unknown, there are fewer than two groups, or (by performer or both) too few
        tracks have a performer.
    """
    from mess_core.probing.folds import grouped_folds

    if by not in get_args(SplitBy):
        raise DatasetError(f"cannot split by {by!r}", remedy=f"Use one of {get_args(SplitBy)}")
    ids = tracks["track_id"].astype(str).tolist()
    named = tracks["performer"].notna().to_numpy()
    left_out: dict[str, str] = {}
    if by in {"performer", "both"}:
        left_out = {
            track: "performer unknown" for track, known in zip(ids, named, strict=True) if not known
        }
        tracks = tracks[named]
        ids = [track for track in ids if track not in left_out]
    groups = _groups(tracks, by)
    count = min(folds, len(set(groups)))
    if count < 2:
        raise DatasetError(
            f"a split by {by} needs at least two groups, there are {len(set(groups))}",
            remedy="Add tracks, or fill in their performers in the metadata",
        )
    fold = grouped_folds(groups, count, seed=seed)
    performer = tracks["performer"].astype(object).to_numpy()
    made = []
    for index in range(count):
        test = fold == index
        train = ~test
        if by == "both":
            train &= ~np.isin(performer.astype(str), np.unique(performer[test].astype(str)))
        made.append(
            Fold(tuple(np.asarray(ids)[train].tolist()), tuple(np.asarray(ids)[test].tolist()))
        )
    if any(not fold.train for fold in made):
        raise DatasetError(
            "a fold has no training track of another work and performer than its test tracks",
            remedy="Split by work or by performer alone",
        )
    return Split(by, seed, tuple(made), left_out)


def save_split(split: Split, path: Any) -> None:
    """Write a split with its hash as JSON; `path` is a UPath."""
    write_json(path, {**split._content(), "sha256": split.sha256})


def load_split(path: Any) -> Split:
    """Read a frozen split.

    Raises
    ------
    StoreError
        If it is missing, was written by another version, or does not match its hash.
    """
    record = read_json(path)
    try:
        if record["format"] != FORMAT:
            raise KeyError("format")
        folds = tuple(Fold(tuple(one["train"]), tuple(one["test"])) for one in record["folds"])
        split = Split(record["by"], record["seed"], folds, record["left_out"])
        stated = record["sha256"]
    except (KeyError, TypeError) as error:
        raise StoreError(
            f"is not a split of this version ({error})", path=str(path), remedy="Make it again"
        ) from error
    if split.sha256 != stated:
        raise StoreError(
            "was changed after it was frozen: its hash does not match",
            path=str(path),
            remedy="Make it again, or restore the file that results were computed on",
        )
    return split


def spelled_works(tracks: pd.DataFrame) -> list[str | None]:
    """Return the work id from composer and title of each track, or None if either is missing."""
    from mess_core.datasets.works import work_id

    return [
        work_id(row.composer, row.title)
        if isinstance(row.title, str) and isinstance(row.composer, str)
        else None
        for row in tracks.itertuples()
    ]


def work_groups(tracks: pd.DataFrame) -> list[str]:
    """Return a group per track; tracks that may contain the same music have the same group.

    Tracks are grouped by work id, by composer and title, by recording, and by shared notes.
    """
    from mess_core.datasets.works import joined_by, leak_safe_groups

    works = tracks["work_id"].astype(str).tolist()
    groups = leak_safe_groups(works, _audio(tracks), shared_music(tracks))
    return joined_by(groups, spelled_works(tracks))


def shared_music(tracks: pd.DataFrame) -> list[str | None]:
    """Return the music of each track by its notes, or None where it is not known."""
    if "music" not in tracks:
        return [None] * len(tracks)
    return [one if isinstance(one, str) else None for one in tracks["music"]]


def _audio(tracks: pd.DataFrame) -> list[str | None]:
    return [str(digest) if isinstance(digest, str) else None for digest in tracks["audio_sha256"]]


def _groups(tracks: pd.DataFrame, by: str) -> list[str]:
    from mess_core.datasets.works import joined_by

    if by in {"work", "both"}:
        return work_groups(tracks)
    column = "performer" if by == "performer" else "track_id"
    return joined_by(tracks[column].astype(str).tolist(), _audio(tracks))
