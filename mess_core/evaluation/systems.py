"""The systems that are compared: each learns on training clips and scores pairs of clips.

From baselines to the ladder of learned heads. A system never sees a test clip before it
scores it, and scalers are fitted on training clips.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mess_core.errors import MessError
from mess_core.evaluation.first_published import first_published_targets
from mess_core.ranking.clips import Clips
from mess_core.ranking.pairs import (
    Objective,
    content_triplets,
    expression_distances,
    expression_triplets,
    shuffled_within,
)
from mess_core.ranking.perceived import pair_distances
from mess_core.ranking.rerank import Reranker, interactions
from mess_core.ranking.training import Material, Settings, Trained, train_head

__all__ = ["RUNGS", "Lesson", "Scorer", "System", "baselines", "fit_head", "ladder"]

Floats = NDArray[np.float64]
Scorer = Callable[[Clips], Floats]
"""Clips to similarity, [clips, clips]; higher is nearer."""

_RERANKED = 10
_HIGH_RECALL = 0.8


@dataclass(frozen=True)
class Lesson:
    """What systems may learn from: clips of training works.

    Attributes
    ----------
    clips : Clips
        Passages of the library, then single-factor clips.
    passages, performers, tracks, works : sequence of str, length clips
        A single-factor triplet is a passage of its own.
    values : ndarray, float64, shape [clips, descriptors]
        Expression; NaN for single-factor clips.
    planted : ndarray, int64, shape [triplets, 3]
        Single-factor triplets (x, nearer, farther) as rows of ``clips``.
    library : int
        Number of clips that are passages of the library: the first ones.
    seed : int
    """

    clips: Clips
    passages: Sequence[str]
    performers: Sequence[str]
    tracks: Sequence[str]
    works: Sequence[str]
    values: Floats
    planted: NDArray[np.int64]
    library: int
    seed: int = 0


@dataclass(frozen=True)
class System:
    """Something that scores pairs of clips.

    Attributes
    ----------
    name, family : str
        Family is "control", "midi", "audio", "encoder" or "head".
    fit : callable
        `Lesson` to `Scorer`.
    objective : {"content", "expression"} or None
        What a rung is for; its own criterion.
    shares_truth : bool
        Whether it reads the numbers that define the expression truth: not scored there.
    describe : callable or None
        Of systems that are descriptors: `Clips` to numbers, [clips, descriptors].
    """

    name: str
    family: str
    fit: Callable[[Lesson], Scorer]
    objective: Objective | None = None
    shares_truth: bool = False
    describe: Callable[[Clips], Floats] | None = None


def baselines(layers: Sequence[int], encoder: str) -> list[System]:
    """Systems that learn nothing but scales (and, one of them, which layer).

    Parameters
    ----------
    layers : sequence of int
        Names of the encoder's layers, in the order of the vectors.
    encoder : str
        For the names.
    """
    short = encoder.partition("@")[0]
    systems = [
        System("random", "control", _random),
        _described("midi, first published", "midi", _first_published),
        _described("midi, corrected", "midi", _corrected),
        _described("audio descriptors", "audio", _audio),
        System(f"{short}, mean layer", "encoder", lambda _: _mean_layer),
    ]
    for place, layer in enumerate(layers):
        fit = partial(_fixed_layer, place)
        systems.append(System(f"{short}, layer {layer}", "encoder", fit))
    for objective in ("content", "expression"):
        fit = partial(_chosen_layer, objective)
        systems.append(System(f"{short}, layer chosen for {objective}", "encoder", fit, objective))
    return systems


RUNGS: dict[str, Settings] = {
    "diagonal": Settings("diagonal", "triplet", learning_rate=0.03, weight_decay=0.0),
    "linear, InfoNCE": Settings("linear", "infonce"),
    "linear, SupCon": Settings("linear", "supcon"),
    "linear, centred": Settings("linear", "infonce", centred=True),
    "MLP": Settings("mlp", "infonce"),
}
"""The ladder's rungs in order; each is compared with the best one below it."""


def ladder(objective: Objective) -> list[System]:
    """The rungs for one objective, the reranker last, and the shuffled-label control."""
    rungs = [
        System(f"{objective}: {name}", "head", partial(_head, objective, name), objective)
        for name in RUNGS
        if not (objective == "content" and RUNGS[name].centred)
    ]
    rungs.append(System(f"{objective}: reranker", "head", partial(_reranked, objective), objective))
    control = partial(_head, objective, "linear, InfoNCE", shuffled=True)
    rungs.append(System(f"{objective}: shuffled labels", "control", control))
    return rungs


def fit_head(
    lesson: Lesson,
    objective: Objective,
    rung: str,
    *,
    shuffled: bool = False,
    made_from: dict[str, Any] | None = None,
) -> Trained:
    """Train one rung on a lesson.

    Parameters
    ----------
    lesson : Lesson
    objective : {"content", "expression"}
    rung : str
        Of `RUNGS`.
    shuffled : bool
        Deal the labels anew first: the control.
    made_from : dict, optional
        For the head's manifest.

    Raises
    ------
    MessError
        If the lesson is too small.
    """
    settings = Settings(**{**vars(RUNGS[rung]), "seed": lesson.seed})
    rng = np.random.default_rng(lesson.seed)
    library = range(lesson.library)
    if objective == "content":
        passages = [lesson.passages[row] for row in library]
        if shuffled:
            passages = [passages[row] for row in rng.permutation(lesson.library)]
        clips = lesson.clips.take(library)
        triplets = content_triplets(
            passages,
            [lesson.performers[row] for row in library],
            [lesson.tracks[row] for row in library],
            seed=lesson.seed,
        )
        works = [lesson.works[row] for row in library]
        material = Material(clips.vectors, triplets, passages, works, by_passage=True)
    else:
        values, planted = lesson.values, lesson.planted
        if shuffled:
            values = shuffled_within(values, lesson.passages, seed=lesson.seed)
            planted = np.array([rng.permutation(one) for one in planted]).reshape(-1, 3)
        apart = expression_distances(values, lesson.passages, library)
        apart[lesson.library :] = np.nan
        apart[:, lesson.library :] = np.nan
        triplets = np.concatenate([expression_triplets(apart), planted])
        material = Material(
            lesson.clips.vectors, triplets, lesson.passages, lesson.works, by_passage=False
        )
    return train_head(material, settings, made_from=made_from)


def _head(objective: Objective, rung: str, lesson: Lesson, *, shuffled: bool = False) -> Scorer:
    head = fit_head(lesson, objective, rung, shuffled=shuffled).head

    def score(clips: Clips) -> Floats:
        unit = head(clips.vectors).astype(np.float64)
        found: Floats = unit @ unit.T
        return found

    return score


def _reranked(objective: Objective, lesson: Lesson) -> Scorer:
    """The best linear head's first hits, ordered anew by what pairs have in common."""
    base = _head(objective, "linear, InfoNCE", lesson)
    library = range(lesson.library)
    clips = lesson.clips.take(library)
    passages = [lesson.passages[row] for row in library]
    centre, spread = _moments(clips.audio)
    if objective == "content":
        tracks = [lesson.tracks[row] for row in library]
        if _recall(base(clips), passages, tracks) < _HIGH_RECALL:
            return base  # it could only order what is not there
        performers = [lesson.performers[row] for row in library]
        triplets = content_triplets(passages, performers, tracks, seed=lesson.seed)
        learned = clips
    else:
        apart = expression_distances(lesson.values[: lesson.library], passages, library)
        triplets = np.concatenate([expression_triplets(apart), lesson.planted])
        learned = lesson.clips
    x, better, worse = triplets.T
    described = (learned.audio - centre) / spread
    reranker = Reranker().fit(
        interactions(learned.vectors, described, x, better),
        interactions(learned.vectors, described, x, worse),
    )

    def score(clips: Clips) -> Floats:
        first = base(clips)
        scaled = (clips.audio - centre) / spread
        found = first.copy()
        for query, row in enumerate(first):
            others = np.argsort(-row, kind="stable")
            hits = others[others != query][:_RERANKED]
            repeated = np.full(len(hits), query)
            again = reranker.score(interactions(clips.vectors, scaled, repeated, hits))
            # Above everything that was not reranked, in the new order.
            found[query, hits] = 2.0 + np.argsort(np.argsort(again)) / len(hits)
        return found

    return score


def _recall(similarity: Floats, passages: Sequence[str], tracks: Sequence[str]) -> float:
    names, own = np.asarray(passages), np.asarray(tracks)
    found = []
    for query, row in enumerate(similarity):
        relevant = (names == names[query]) & (own != own[query])
        candidates = np.flatnonzero(own != own[query])
        hits = candidates[np.argsort(-row[candidates], kind="stable")[:_RERANKED]]
        if relevant.any():
            found.append(relevant[hits].sum() / min(relevant.sum(), _RERANKED))
    return float(np.mean(found)) if found else 0.0


def _random(lesson: Lesson) -> Scorer:
    def score(clips: Clips) -> Floats:
        rng = np.random.default_rng([lesson.seed, len(clips)])
        found: Floats = rng.random((len(clips), len(clips)))
        return found

    return score


def _cosines(vectors: NDArray[np.float32]) -> Floats:
    unit = vectors.astype(np.float64)
    unit /= np.maximum(np.linalg.norm(unit, axis=-1, keepdims=True), 1e-12)
    found: Floats = unit @ unit.T
    return found


def _mean_layer(clips: Clips) -> Floats:
    return _cosines(clips.vectors.mean(axis=1))


def _layer(place: int, clips: Clips) -> Floats:
    return _cosines(clips.vectors[:, place])


def _fixed_layer(place: int, _lesson: Lesson) -> Scorer:
    return partial(_layer, place)


def _chosen_layer(objective: Objective, lesson: Lesson) -> Scorer:
    """The layer that orders the training clips' triplets best."""
    library = range(lesson.library)
    clips = lesson.clips.take(library)
    passages = [lesson.passages[row] for row in library]
    if objective == "content":
        triplets = content_triplets(
            passages,
            [lesson.performers[row] for row in library],
            [lesson.tracks[row] for row in library],
            seed=lesson.seed,
        )
    else:
        apart = expression_distances(lesson.values[: lesson.library], passages, library)
        triplets = expression_triplets(apart)
    if len(triplets) == 0:
        raise MessError("no training passage has three performances to choose a layer by")
    right = []
    for place in range(clips.vectors.shape[1]):
        similarity = _layer(place, clips)
        x, near, far = triplets.T
        right.append(float((similarity[x, near] > similarity[x, far]).mean()))
    return partial(_layer, int(np.argmax(right)))


def _described(name: str, family: str, describe: Callable[[Clips], Floats]) -> System:
    fit = partial(_by_numbers, describe)
    return System(name, family, fit, shares_truth=family == "midi", describe=describe)


def _by_numbers(describe: Callable[[Clips], Floats], lesson: Lesson) -> Scorer:
    """Minus the distance of descriptors that are standardised on the training clips."""
    centre, spread = _moments(describe(lesson.clips.take(range(lesson.library))))

    def score(clips: Clips) -> Floats:
        scaled = (describe(clips) - centre) / spread
        return -pair_distances(np.where(np.isfinite(scaled), scaled, 0.0))

    return score


def _moments(table: Floats) -> tuple[Floats, Floats]:
    """Mean and deviation of each column's finite values; 0 and 1 where there are none."""
    known = np.isfinite(table)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, table, 0.0).sum(axis=0) / count
    deviation = np.sqrt(np.square(np.where(known, table - mean, 0.0)).sum(axis=0) / count)
    return mean, np.where(deviation > 1e-9, deviation, 1.0)


def _first_published(clips: Clips) -> Floats:
    rows = [first_published_targets(one) for one in clips.performances]
    return np.array([list(row.values()) for row in rows], dtype=np.float64)


def _corrected(clips: Clips) -> Floats:
    from mess_core.targets.registry import targets

    chosen = [one.function for one in targets("midi")]
    rows = [[float(function(one)) for function in chosen] for one in clips.performances]
    return np.array(rows, dtype=np.float64)


def _audio(clips: Clips) -> Floats:
    return clips.audio
