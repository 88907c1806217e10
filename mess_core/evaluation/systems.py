"""The systems that are compared: each learns on training clips and scores pairs of clips.

From baselines to the ladder of learned heads. A system never sees a test clip before it
scores it, and scalers are fitted on training clips.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mess_core.errors import MessError
from mess_core.evaluation.data import Lesson
from mess_core.ranking.clips import Clips
from mess_core.ranking.pairs import (
    Objective,
    content_triplets,
    expression_distances,
    expression_triplets,
    expression_unit,
)
from mess_core.ranking.rerank import Reranker, interactions
from mess_core.ranking.scaling import moments, pair_distances, standardise
from mess_core.ranking.training import Material, Settings, Trained, train_head
from mess_core.search.served_heads import Head
from mess_core.targets.first_published import first_published_targets

__all__ = ["RUNGS", "Scorer", "System", "baselines", "fit_head", "ladder"]

Floats = NDArray[np.float64]
Scorer = Callable[[Clips], Floats]
"""Clips to similarity, [clips, clips]; higher is nearer."""

_RERANKED = 10
_HIGH_RECALL = 0.8


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
    learns : bool
        Whether anything of it depends on the lesson, if only scales.
    """

    name: str
    family: str
    fit: Callable[[Lesson], Scorer]
    objective: Objective | None = None
    shares_truth: bool = False
    describe: Callable[[Clips], Floats] | None = None
    learns: bool = True


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
        System("random", "control", _random, learns=False),
        _described("midi, first published", "midi", _first_published),
        _described("midi, corrected", "midi", _corrected),
        _described("audio descriptors", "audio", _audio),
        System(f"{short}, mean layer", "encoder", lambda _: _mean_layer, learns=False),
    ]
    for place, layer in enumerate(layers):
        fit = partial(_fixed_layer, place)
        systems.append(System(f"{short}, layer {layer}", "encoder", fit, learns=False))
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
    """The rungs for one objective, the reranker last."""
    rungs = [
        System(f"{objective}: {name}", "head", partial(_head, objective, name), objective)
        for name in RUNGS
        if not (objective == "content" and RUNGS[name].centred)
    ]
    rungs.append(System(f"{objective}: reranker", "head", partial(_reranked, objective), objective))
    return rungs


def fit_head(
    lesson: Lesson,
    objective: Objective,
    rung: str,
    *,
    made_from: dict[str, Any] | None = None,
) -> Trained:
    """Train one rung on a lesson.

    Parameters
    ----------
    lesson : Lesson
    objective : {"content", "expression"}
    rung : str
        Of `RUNGS`.
    made_from : dict, optional
        For the head's manifest.

    Raises
    ------
    MessError
        If the lesson is too small.
    """
    settings = Settings(**{**vars(RUNGS[rung]), "seed": lesson.seed})
    library = range(lesson.library)
    if objective == "content":
        passages = [lesson.passages[row] for row in library]
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
        triplets = np.concatenate([_expression(lesson), lesson.planted])
        material = Material(
            lesson.clips.vectors, triplets, lesson.passages, lesson.works, by_passage=False
        )
    return train_head(material, settings, made_from=made_from)


def _expression(lesson: Lesson) -> NDArray[np.int64]:
    """Triplets of the library's passages."""
    values, passages = lesson.values[: lesson.library], list(lesson.passages[: lesson.library])
    return expression_triplets(
        expression_distances(values, passages, expression_unit(values, passages))
    )


def _head(objective: Objective, rung: str, lesson: Lesson) -> Scorer:
    return _scored(_fitted(objective, rung, lesson).head)


@lru_cache(maxsize=8)  # the reranker begins with what the rung below it has learned
def _fitted(objective: Objective, rung: str, lesson: Lesson) -> Trained:
    return fit_head(lesson, objective, rung)


def _scored(head: Head) -> Scorer:
    def score(clips: Clips) -> Floats:
        unit = head(clips.vectors).astype(np.float64)
        found: Floats = unit @ unit.T
        return found

    return score


def _reranked(objective: Objective, lesson: Lesson) -> Scorer:
    """The best linear head's first hits, ordered anew by what pairs have in common."""
    trained = _fitted(objective, "linear, InfoNCE", lesson)
    base = _scored(trained.head)
    library = range(lesson.library)
    clips = lesson.clips.take(library)
    passages = [lesson.passages[row] for row in library]
    scale = moments(clips.audio)
    if objective == "content":
        tracks = [lesson.tracks[row] for row in library]
        unseen = [lesson.works[row] in trained.held_out for row in library]
        if _recall(base(clips), passages, tracks, unseen) < _HIGH_RECALL:
            return base  # it could only order what is not there
        performers = [lesson.performers[row] for row in library]
        triplets = content_triplets(passages, performers, tracks, seed=lesson.seed)
        learned = clips
    else:
        triplets = np.concatenate([_expression(lesson), lesson.planted])
        learned = lesson.clips
    x, better, worse = triplets.T
    described = standardise(learned.audio, scale)
    reranker = Reranker().fit(
        interactions(learned.vectors, described, x, better),
        interactions(learned.vectors, described, x, worse),
    )

    def score(clips: Clips) -> Floats:
        first = base(clips)
        scaled = standardise(clips.audio, scale)
        own = np.asarray(clips.recordings)
        found = first.copy()
        for query, row in enumerate(first):
            others = np.flatnonzero(own != own[query])  # its own recording is never asked for
            hits = others[np.argsort(-row[others], kind="stable")][:_RERANKED]
            repeated = np.full(len(hits), query)
            again = reranker.score(interactions(clips.vectors, scaled, repeated, hits))
            # Above everything that was not reranked, in the new order.
            found[query, hits] = 2.0 + np.argsort(np.argsort(again)) / len(hits)
        return found

    return score


def _recall(
    similarity: Floats, passages: Sequence[str], tracks: Sequence[str], asked: Sequence[bool]
) -> float:
    """Mean recall of the first hits, of the queries that are asked, among all clips."""
    names, own = np.asarray(passages), np.asarray(tracks)
    found = []
    for query in np.flatnonzero(asked):
        row = similarity[query]
        relevant = (names == names[query]) & (own != own[query])
        candidates = np.flatnonzero(own != own[query])
        hits = candidates[np.argsort(-row[candidates], kind="stable")[:_RERANKED]]
        if relevant.any():
            found.append(relevant[hits].sum() / min(relevant.sum(), _RERANKED))
    return float(np.mean(found)) if found else 0.0


def _random(lesson: Lesson) -> Scorer:
    def score(clips: Clips) -> Floats:
        named = hashlib.sha256("\n".join(clips.ids).encode()).digest()
        rng = np.random.default_rng([lesson.seed, int.from_bytes(named[:8])])
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
        triplets = _expression(lesson)
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
    scale = moments(describe(lesson.clips.take(range(lesson.library))))

    def score(clips: Clips) -> Floats:
        return -pair_distances(standardise(describe(clips), scale))

    return score


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
