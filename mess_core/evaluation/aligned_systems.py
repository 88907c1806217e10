"""Systems that compare clips over time, by aligning their frames."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from mess_core.evaluation.data import TrainingSet
from mess_core.evaluation.systems import Scorer, System, fitted_head
from mess_core.ranking.clips import Clips
from mess_core.ranking.frame_alignment import PAIR_FEATURES, PairAlignments
from mess_core.ranking.rerank import Reranker, interactions
from mess_core.ranking.scaling import moments, standardise
from mess_core.ranking.triplets import Objective

__all__ = ["aligned_systems"]

_MOST_TRIPLETS = 10_000

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
PairScorer = Callable[[Clips, Ints, Ints], Floats]
"""Takes clips and row numbers of the two clips of each pair, and returns their similarity."""


def aligned_systems(encoder: str) -> list[System]:
    """Return the systems that align frames; they share the alignments of the clips they score.

    Two learn nothing: the cost of the alignment, and how far one clip's time bends against the
    other's. Two weigh both, the ratio of durations, the cosine of every layer and audio
    descriptors, as triplets of the training works say. The last adds what the regression on the
    notes' descriptors says.

    Parameters
    ----------
    encoder : str
        Name of the encoder.
    """
    short, pairs = encoder.partition("@")[0], PairAlignments()
    cost, bend = PAIR_FEATURES.index("cost"), PAIR_FEATURES.index("bend")
    return [
        System(f"{short}, aligned frames", "encoder", partial(_by_one, pairs, cost), learns=False),
        System(
            f"{short}, timing of aligned frames",
            "encoder",
            partial(_by_one, pairs, bend),
            learns=False,
        ),
        *(
            System(f"{one}: aligned pairs", "head", partial(_weighted, pairs, one), one)
            for one in get_args(Objective)
        ),
        System(
            "expression: aligned pairs and regression",
            "head",
            partial(_with_regression, pairs),
            "expression",
        ),
    ]


def _by_one(pairs: PairAlignments, feature: int, _training_set: TrainingSet) -> Scorer:
    def score(clips: Clips) -> Floats:
        found: Floats = -pairs.matrix(clips)[:, :, feature]
        return found

    return score


def _weighted(pairs: PairAlignments, objective: Objective, training_set: TrainingSet) -> Scorer:
    return _all_pairs(_fit_pairs(pairs, training_set, _triplets(objective, training_set)))


def _with_regression(pairs: PairAlignments, training_set: TrainingSet) -> Scorer:
    """Add the scores of two systems, each in units of its spread on the training triplets."""
    triplets = _triplets("expression", training_set)
    aligned = _fit_pairs(pairs, training_set, triplets)
    head = fitted_head("expression", "regression", training_set).head

    def by_regression(clips: Clips, first: Ints, second: Ints) -> Floats:
        unit = head(clips.vectors).astype(np.float64)
        found: Floats = (unit[first] * unit[second]).sum(axis=1)
        return found

    x, nearer, farther = triplets.T
    parts = []
    for score in (aligned, by_regression):
        differences = score(training_set.clips, x, nearer) - score(training_set.clips, x, farther)
        parts.append((score, max(float(differences.std()), 1e-9)))

    def total(clips: Clips, first: Ints, second: Ints) -> Floats:
        found: Floats = np.sum(
            [score(clips, first, second) / spread for score, spread in parts], axis=0
        )
        return found

    return _all_pairs(total)


def _triplets(objective: Objective, training_set: TrainingSet) -> Ints:
    if objective == "content":
        triplets = training_set.content
    else:
        triplets = np.concatenate([training_set.expression, training_set.single_factor])
    if len(triplets) > _MOST_TRIPLETS:
        rng = np.random.default_rng(training_set.seed)
        triplets = triplets[np.sort(rng.permutation(len(triplets))[:_MOST_TRIPLETS])]
    return triplets


def _fit_pairs(pairs: PairAlignments, training_set: TrainingSet, triplets: Ints) -> PairScorer:
    clips = training_set.clips
    scale = moments(clips.take(range(training_set.library)).audio)

    def features(clips: Clips, first: Ints, second: Ints) -> Floats:
        aligned = pairs.features(clips, first.tolist(), second.tolist())
        described = standardise(clips.audio, scale)
        return np.hstack([interactions(clips.vectors, described, first, second), -aligned])

    x, nearer, farther = triplets.T
    model = Reranker().fit(features(clips, x, nearer), features(clips, x, farther))
    return lambda clips, first, second: model.score(features(clips, first, second))


def _all_pairs(score_pairs: PairScorer) -> Scorer:
    def score(clips: Clips) -> Floats:
        count = len(clips)
        first, second = np.triu_indices(count, k=1)
        scores = score_pairs(clips, first, second)
        found = np.zeros((count, count))
        found[first, second] = scores
        found[second, first] = scores
        return found

    return score
