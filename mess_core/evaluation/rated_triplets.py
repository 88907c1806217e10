"""Triplets from human ratings (PercePiano): of a and b, which is nearer to x?

Within a passage, x, a and b are drawn from the players' performances. The ground truth is which of
a and b is nearer to x over the 19 scales, averaged over a random half of the passage's raters and
standardised within the passage. The other half of the raters, scored in the same way, is the
reference for systems: it is as noisy as the ground truth. A system that knew the true means without
noise could score higher.
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
        Ground truth from one half of the raters.
    other_half : ndarray, float64, shape [performances, performances]
        Distances from the other half.
    """

    passage: str
    split: int
    index: NDArray[np.int64]
    a_is_nearer: NDArray[np.bool_]
    other_half: Floats

    def accuracy(self, distances: Floats) -> float:
        """Return the share of triplets that distances order correctly; ties count half.

        Parameters
        ----------
        distances : ndarray, float64, shape [performances, performances]
        """
        x, a, b = self.index.T
        difference = distances[x, a] - distances[x, b]
        correct = np.where(difference == 0, 0.5, (difference < 0) == self.a_is_nearer)
        return float(correct.mean())


def mean_ratings(
    passages: Sequence[RatedPassage], answers: pd.DataFrame, *, prior: float = 5.0
) -> list[Floats]:
    """Return mean ratings per passage, corrected for each rater's bias.

    A rater's bias on a scale is the mean residual of their answers, shrunk towards zero as if they
    had given `prior` more answers without bias. Only answers to these passages are used.

    Parameters
    ----------
    passages : sequence of RatedPassage
    answers : DataFrame
        As returned by `read_ratings`.
    prior : float
        Strength of the shrinkage, in answers.

    Returns
    -------
    list of ndarray, float64, shape [performances, scales]
        Standardised within each passage.
    """
    scales = list(SCALES)
    answers = _per_rater(passages, answers)
    keys = [answers["passage"], answers["player"]]
    unbiased = answers[scales].copy()
    for _ in range(5):  # alternating means converge to three digits
        rest = answers[scales] - unbiased.groupby(keys).transform("mean")
        per_user = rest.groupby(answers["user"])
        unbiased = answers[scales] - per_user.transform("sum") / (
            per_user.transform("count") + prior
        )
    means = unbiased.groupby(keys).mean()
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
    """Draw triplets under several random splits of the raters.

    The raters of each passage are split into halves. Repeated answers by one rater to a performance
    are averaged first, so that no rater is in both halves. Performances that only one half has
    rated are not drawn under that split.

    Parameters
    ----------
    passages : sequence of RatedPassage
    answers : DataFrame
        As returned by `read_ratings`.
    splits, triplets : int
        Number of splits, and number of triplets per passage and split.
    seed : int

    Returns
    -------
    list of RatedTriplets
        One per split and passage with at least three rated performances.
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
            halves = [
                half.loc[one.passage].reindex(list(one.players)).to_numpy(dtype=np.float64)
                for half in means
            ]
            rated = np.flatnonzero(np.isfinite(halves).any(axis=2).all(axis=0))
            if len(rated) < _FEWEST:
                continue
            reference, other = (pair_distances(standardise(half)) for half in halves)
            index = rng.permuted(np.tile(rated, (triplets, 1)), axis=1)[:, :3]
            x, a, b = index.T
            a_is_nearer = reference[x, a] < reference[x, b]
            found.append(RatedTriplets(one.passage, split, index, a_is_nearer, other))
    return found


def _per_rater(passages: Sequence[RatedPassage], answers: pd.DataFrame) -> pd.DataFrame:
    """Return one row per passage, player and rater of these passages, without deadpan renders."""
    player = answers["player"].astype(str)
    wanted = answers["passage"].isin([one.passage for one in passages]) & ~player.isin(DEADPAN)
    selected = answers[wanted].assign(player=player[wanted])
    return selected.groupby(["passage", "player", "user"])[list(SCALES)].mean().reset_index()


def accuracy_per_passage(
    triplets: Sequence[RatedTriplets], distances: Mapping[str, Floats] | None
) -> dict[str, float]:
    """Return the mean accuracy over splits, by passage.

    Parameters
    ----------
    triplets : sequence of RatedTriplets
    distances : mapping of str to ndarray, or None
        Passage to distances between its performances; if None, the accuracy of the other half of
        the raters is returned.
    """
    found: dict[str, list[float]] = {}
    for one in triplets:
        chosen = one.other_half if distances is None else distances[one.passage]
        found.setdefault(one.passage, []).append(one.accuracy(chosen))
    return {passage: float(np.mean(values)) for passage, values in found.items()}
