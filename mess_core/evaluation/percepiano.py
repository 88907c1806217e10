"""Triplets from human ratings (PercePiano): of a and b, which is nearer to x?

Within a passage, x, a and b are drawn among players' performances. The truth is which of a
and b is nearer to x over the 19 scales, averaged over a random half of the passage's raters
and standardised within the passage. What the other half says by the same
measure is the yardstick: it holds the noise of as many raters. A system that knew the true
means without noise could be above it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mess_core.evaluation.ratings import DEADPAN, SCALES
from mess_core.midi.performance import read_performance
from mess_core.ranking.scaling import pair_distances, standardise

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "RatedPassage",
    "RatedTriplets",
    "accuracy_per_passage",
    "mean_ratings",
    "passage_groups",
    "passage_movements",
    "rated_passages",
    "rated_triplets",
]

_NAME = re.compile(r"(?P<piece>.+)_(?P<bars>\d+)bars_(?P<place>\d+)")
_VARIATION = re.compile(r"_var\d+$")
_FEWEST = 3
_SAME_NOTES = 0.05

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class RatedPassage:
    """A passage and the performances of it that count: players', in order of their names.

    Attributes
    ----------
    passage : str
    group : str
        Passages that share bars have the same one.
    movement : str
    players, midi : tuple of str
        Names and files.
    """

    passage: str
    group: str
    movement: str
    players: tuple[str, ...]
    midi: tuple[str, ...]


@dataclass(frozen=True)
class RatedTriplets:
    """Triplets of one passage under one split of the raters.

    Attributes
    ----------
    passage : str
    split : int
    index : ndarray, int64, shape [triplets, 3]
        Performances x, a, b.
    a_is_nearer : ndarray, bool, shape [triplets]
        By one half of the raters.
    other_half : ndarray, float64, shape [performances, performances]
        Distances by the other half.
    """

    passage: str
    split: int
    index: NDArray[np.int64]
    a_is_nearer: NDArray[np.bool_]
    other_half: Floats

    def accuracy(self, distances: Floats) -> float:
        """Share of triplets that distances [performances, performances] get right; ties half."""
        x, a, b = self.index.T
        difference = distances[x, a] - distances[x, b]
        right = np.where(difference == 0, 0.5, (difference < 0) == self.a_is_nearer)
        return float(right.mean())


def passage_groups(passages: Sequence[str]) -> dict[str, str]:
    """Passages that share bars, as PercePiano's names tell, get one group.

    ``<piece>_<n>bars_<k>`` is the k-th stretch of n bars of its piece.
    """
    spans: dict[str, list[tuple[int, int, str]]] = {}
    for passage in passages:
        found = _NAME.fullmatch(passage)
        if found is None:
            spans.setdefault(passage, []).append((0, 1, passage))
            continue
        bars, place = int(found["bars"]), int(found["place"])
        spans.setdefault(found["piece"], []).append(((place - 1) * bars, place * bars, passage))
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
    """The piece or movement of each passage; variations on one theme are one."""
    movements = {}
    for passage in passages:
        found = _NAME.fullmatch(passage)
        movements[passage] = _VARIATION.sub("", found["piece"] if found else passage)
    return movements


def rated_passages(ratings: pd.DataFrame) -> list[RatedPassage]:
    """Passages of at least three players, deadpan renders left out.

    Parameters
    ----------
    ratings : DataFrame
        As `read_ratings` gives.
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


def mean_ratings(
    passages: Sequence[RatedPassage], answers: pd.DataFrame, *, prior: float = 5.0
) -> list[Floats]:
    """Ratings to learn from: mean answers, freed of each rater's habit, per passage.

    A rater's habit is the mean of what remains of their answers on a scale, shrunk as if
    `prior` answers had been average. Only answers to these performances are looked at.

    Returns
    -------
    list of ndarray, float64, shape [performances, scales]
        Standardised within each passage.
    """
    scales = list(SCALES)
    answers = _per_rater(passages, answers)
    keys = [answers["passage"], answers["player"]]
    freed = answers[scales].copy()
    for _ in range(5):  # alternating means; they settle to three digits
        rest = answers[scales] - freed.groupby(keys).transform("mean")
        per_user = rest.groupby(answers["user"])
        freed = answers[scales] - per_user.transform("sum") / (per_user.transform("count") + prior)
    means = freed.groupby(keys).mean()
    return [
        standardise(means.loc[one.passage].reindex(list(one.players)).to_numpy(dtype=np.float64))
        for one in passages
    ]


def rated_triplets(
    passages: Sequence[RatedPassage],
    answers: pd.DataFrame,
    *,
    splits: int = 10,
    triplets: int = 200,
    seed: int = 0,
) -> list[RatedTriplets]:
    """Triplets under several random splits of the raters.

    The raters of a passage are halved, and what one of them said of a performance on two
    occasions is one answer: no rater is in both halves. Performances that only one half has
    rated are not drawn under that split.

    Parameters
    ----------
    passages : sequence of RatedPassage
    answers : DataFrame
        As `read_ratings` gives.
    splits, triplets : int
        Splits of the raters, and triplets drawn per passage and split.
    seed : int
    """
    rng = np.random.default_rng(seed)
    scales = list(SCALES)
    answers = _per_rater(passages, answers)
    raters = answers[["passage", "user"]].drop_duplicates()
    found = []
    for split in range(splits):
        drawn = raters.assign(draw=rng.random(len(raters)))
        drawn["first"] = drawn.groupby("passage")["draw"].rank(method="first") % 2 == 0
        first = answers.merge(drawn, on=["passage", "user"], how="left")["first"].to_numpy()
        means = [
            answers[side].groupby(["passage", "player"])[scales].mean() for side in (first, ~first)
        ]
        for one in passages:
            said = [
                half.loc[one.passage].reindex(list(one.players)).to_numpy(dtype=np.float64)
                for half in means
            ]
            rated = np.flatnonzero(np.isfinite(said).any(axis=2).all(axis=0))
            if len(rated) < _FEWEST:
                continue
            truth, other = (pair_distances(standardise(half)) for half in said)
            index = rng.permuted(np.tile(rated, (triplets, 1)), axis=1)[:, :3]
            x, a, b = index.T
            found.append(RatedTriplets(one.passage, split, index, truth[x, a] < truth[x, b], other))
    return found


def _per_rater(passages: Sequence[RatedPassage], answers: pd.DataFrame) -> pd.DataFrame:
    """One row per passage, player and rater of these passages; deadpan renders left out."""
    player = answers["player"].astype(str)
    wanted = answers["passage"].isin([one.passage for one in passages]) & ~player.isin(DEADPAN)
    kept = answers[wanted].assign(player=player[wanted])
    return kept.groupby(["passage", "player", "user"])[list(SCALES)].mean().reset_index()


def accuracy_per_passage(
    triplets: Sequence[RatedTriplets], distances: Mapping[str, Floats] | None
) -> dict[str, float]:
    """Mean accuracy over splits, by passage; of the other half of the raters if None is given."""
    found: dict[str, list[float]] = {}
    for one in triplets:
        apart = one.other_half if distances is None else distances[one.passage]
        found.setdefault(one.passage, []).append(one.accuracy(apart))
    return {passage: float(np.mean(values)) for passage, values in found.items()}


def _joined_by_notes(passages: list[RatedPassage]) -> list[RatedPassage]:
    """One group for passages in which a player's notes are the very same: one recording's.

    Names alone do not tell: stretches of 16 bars do not begin where two of 8 do.
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
    for place, (movement, player, number) in enumerate(keys):
        for other_movement, other_player, other in keys[place + 1 :]:
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
    """Three successive notes each, with velocity and length: a fingerprint of a recording."""
    played = read_performance(path)
    length = np.round((played.offset_s - played.onset_s) * 50).astype(int)
    notes = np.stack([played.pitch, played.velocity, length], axis=1)
    return {tuple(notes[at : at + 3].ravel().tolist()) for at in range(len(notes) - 2)}
