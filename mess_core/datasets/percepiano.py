"""PercePiano: performances of passages, rated by listeners on 19 scales.

Park et al., "PercePiano: a benchmark for perceptual evaluation of piano performance",
Scientific Reports, 2024; MIT. ``ratings.csv`` has the mean ratings, ``raters.csv`` the answers
of each rater, ``midi/`` the performances. PercePiano is benchmark data: it is read here, not
scanned into a library.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mess_core.errors import DatasetError
from mess_core.midi.reading import read_performance

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "DEADPAN",
    "SCALES",
    "RatedPassage",
    "passage_groups",
    "passage_movements",
    "rated_passages",
    "read_ratings",
]

_NAME = re.compile(r"(?P<piece>.+)_(?P<bars>\d+)bars_(?P<position>\d+)")
_VARIATION = re.compile(r"_var\d+$")
_FEWEST = 3
_SAME_NOTES = 0.05

SCALES = (
    "timing", "articulation_length", "articulation_touch", "pedal_amount", "pedal_cleanness",
    "timbre_variety", "timbre_depth", "timbre_brightness", "timbre_loudness",
    "dynamics_sophistication", "dynamic_range", "tempo", "space", "balance", "drama", "valence",
    "energy", "honesty", "interpretation",
)  # fmt: skip
"""Rating scales in the order of the raters' questionnaire."""

DEADPAN = ("Score", "Score2")
"""Player names of deadpan renderings of the score."""


@dataclass(frozen=True)
class RatedPassage:
    """A passage and its performances by human players, sorted by player name.

    Attributes
    ----------
    passage : str
    group : str
        Passages that share bars have the same group.
    movement : str
    players, midi : tuple of str
        Names and file paths.
    """

    passage: str
    group: str
    movement: str
    players: tuple[str, ...]
    midi: tuple[str, ...]


def read_ratings(folder: str | PathLike[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the mean ratings and the single answers of a PercePiano folder.

    Returns
    -------
    ratings : DataFrame
        ``passage, player, midi`` (path) and a column per scale, 0 to 1.
    answers : DataFrame
        ``passage, player, user`` and a column per scale, 1 to 7; NaN where not answered.
        Exact duplicates of a row are left out, since both halves of a split of the answers
        could otherwise contain the same answer.

    Raises
    ------
    DatasetError
        If a file is missing or its columns are not the published ones.
    """
    import pandas as pd

    root = Path(folder)
    try:
        ratings = pd.read_csv(root / "ratings.csv")
        raters = pd.read_csv(root / "raters.csv")
        questions = [name for name in raters.columns if name.startswith("Question")][: len(SCALES)]
        ratings = ratings[["passage", "player", "midi", *SCALES]]
        answers = raters[["user", "filename", *questions]].drop_duplicates()
        answers = answers.rename(columns=dict(zip(questions, SCALES, strict=True)))
    except (OSError, KeyError, ValueError) as error:
        raise DatasetError(
            f"is not a PercePiano folder ({error})",
            path=str(folder),
            remedy="Give the folder that holds ratings.csv, raters.csv and the MIDI files",
        ) from error
    by_name = {Path(path).stem: index for index, path in enumerate(ratings["midi"])}
    row = answers["filename"].map(lambda name: by_name.get(Path(name).stem, -1))
    answers = answers[row >= 0]
    rows = ratings.iloc[row[row >= 0]]
    answers = answers.assign(passage=rows["passage"].to_numpy(), player=rows["player"].to_numpy())
    return ratings.assign(midi=[str(root / path) for path in ratings["midi"]]), answers


def passage_groups(passages: Sequence[str]) -> dict[str, str]:
    """Return the group of each passage; passages that share bars, by their names, have one.

    ``<piece>_<n>bars_<k>`` is the k-th section of n bars of its piece.
    """
    spans: dict[str, list[tuple[int, int, str]]] = {}
    for passage in passages:
        found = _NAME.fullmatch(passage)
        if found is None:
            spans.setdefault(passage, []).append((0, 1, passage))
            continue
        bars, index = int(found["bars"]), int(found["position"])
        spans.setdefault(found["piece"], []).append(((index - 1) * bars, index * bars, passage))
    groups = {}
    for piece, stretches in spans.items():
        reached, group = -1, ""
        for start, end, passage in sorted(stretches):
            if start >= reached:
                group = f"{piece}:{start}"
            reached = max(reached, end)
            groups[passage] = group
    return groups


def passage_movements(passages: Sequence[str]) -> dict[str, str]:
    """Return the piece or movement of each passage; variations on one theme count as one."""
    movements = {}
    for passage in passages:
        found = _NAME.fullmatch(passage)
        movements[passage] = _VARIATION.sub("", found["piece"] if found else passage)
    return movements


def rated_passages(ratings: pd.DataFrame) -> list[RatedPassage]:
    """Return the passages of at least three players, without deadpan renderings.

    Parameters
    ----------
    ratings : DataFrame
        As returned by `read_ratings`.
    """
    real = ratings[~ratings["player"].astype(str).isin(DEADPAN)]
    names = [str(name) for name in real["passage"].unique()]
    groups, movements = passage_groups(names), passage_movements(names)
    found = []
    for name, rows in real.groupby("passage", sort=True):
        if len(rows) < _FEWEST:
            continue
        rows = rows.assign(player=rows["player"].astype(str)).sort_values("player")
        passage = str(name)
        found.append(
            RatedPassage(
                passage,
                groups[passage],
                movements[passage],
                tuple(rows["player"]),
                tuple(str(path) for path in rows["midi"]),
            )
        )
    return _joined_by_notes(found)


def _joined_by_notes(passages: list[RatedPassage]) -> list[RatedPassage]:
    """Merge groups of passages in which a player's notes are identical: cut from one recording.

    Names alone are not enough: sections of 16 bars do not begin where two of 8 bars do.
    """
    runs: dict[tuple[str, str, int], set[tuple[int, ...]]] = {}
    for number, one in enumerate(passages):
        for player, path in zip(one.players, one.midi, strict=True):
            runs[one.movement, player, number] = _note_runs(path)
    home = {one.group: one.group for one in passages}

    def root(name: str) -> str:
        while home[name] != name:
            name = home[name]
        return name

    keys = list(runs)
    for position, (movement, player, number) in enumerate(keys):
        for other_movement, other_player, other in keys[position + 1 :]:
            if (movement, player) != (other_movement, other_player):
                continue
            first, second = (
                runs[movement, player, number],
                runs[movement, player, other],
            )
            if len(first & second) > _SAME_NOTES * max(1, min(len(first), len(second))):
                home[root(passages[other].group)] = root(passages[number].group)
    return [replace(one, group=root(one.group)) for one in passages]


def _note_runs(path: str) -> set[tuple[int, ...]]:
    """Return all runs of three notes with velocity and length: a recording's fingerprint."""
    played = read_performance(path)
    length = np.round((played.offset_s - played.onset_s) * 50).astype(int)
    notes = np.stack([played.pitch, played.velocity, length], axis=1)
    return {tuple(notes[at : at + 3].ravel().tolist()) for at in range(len(notes) - 2)}
