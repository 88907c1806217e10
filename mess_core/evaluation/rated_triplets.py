"""Triplets from human ratings (PercePiano): of a and b, which is nearer to x?

Within a passage, x, a and b are drawn among players' performances. The truth is which of a
and b is nearer to x over the 19 scales, averaged over a random half of the passage's raters
and standardised within the passage. What the other half says by the same
measure is the yardstick: it holds the noise of as many raters. A system that knew the true
means without noise could be above it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mess_core.datasets.percepiano import DEADPAN, SCALES, RatedPassage
from mess_core.ranking.scaling import pair_distances, standardise

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "RatedTriplets",
    "accuracy_per_passage",
    "mean_ratings",
    "rated_triplets",
]

_FEWEST = 3

Floats = NDArray[np.float64]


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
