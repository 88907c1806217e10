"""Systems that compare clips over time, by aligning their frames."""

from __future__ import annotations

from functools import partial
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from mess_core.evaluation.data import TrainingSet
from mess_core.evaluation.systems import Scorer, System
from mess_core.ranking.clips import Clips
from mess_core.ranking.frame_alignment import PAIR_FEATURES, PairAlignments
from mess_core.ranking.rerank import Reranker, interactions
from mess_core.ranking.scaling import moments, standardise
from mess_core.ranking.triplets import Objective

__all__ = ["aligned_systems"]

_MOST_TRIPLETS = 50_000

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def aligned_systems(encoder: str) -> list[System]:
    """Return the systems that align frames; they share the alignments of the clips they score.

    Two learn nothing: the cost of the alignment, and how far one clip's time bends against the
    other's. The others weigh both, the ratio of durations, the cosine of every layer and audio
    descriptors, as triplets of the training works say.

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
    ]


def _by_one(pairs: PairAlignments, feature: int, _training_set: TrainingSet) -> Scorer:
    def score(clips: Clips) -> Floats:
        found: Floats = -pairs.matrix(clips)[:, :, feature]
        return found

    return score


def _weighted(pairs: PairAlignments, objective: Objective, training_set: TrainingSet) -> Scorer:
    clips = training_set.clips
    scale = moments(clips.take(range(training_set.library)).audio)
    if objective == "content":
        triplets = training_set.content
    else:
        triplets = np.concatenate([training_set.expression, training_set.single_factor])
    if len(triplets) > _MOST_TRIPLETS:
        rng = np.random.default_rng(training_set.seed)
        triplets = triplets[np.sort(rng.permutation(len(triplets))[:_MOST_TRIPLETS])]
    x, nearer, farther = triplets.T
    described = standardise(clips.audio, scale)

    def features(clips: Clips, described: Floats, first: Ints, second: Ints) -> Floats:
        aligned = pairs.features(clips, first.tolist(), second.tolist())
        return np.hstack([interactions(clips.vectors, described, first, second), -aligned])

    model = Reranker().fit(
        features(clips, described, x, nearer), features(clips, described, x, farther)
    )

    def score(clips: Clips) -> Floats:
        count = len(clips)
        first, second = np.triu_indices(count, k=1)
        scores = model.score(features(clips, standardise(clips.audio, scale), first, second))
        found = np.zeros((count, count))
        found[first, second] = scores
        found[second, first] = scores
        return found

    return score
