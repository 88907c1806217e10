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
from mess_core.evaluation.data import TrainingSet
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

__all__ = ["MODELS", "Scorer", "System", "baselines", "fit_head", "model_sequence"]

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
        `TrainingSet` to `Scorer`.
    objective : {"content", "expression"} or None
        What a model is for; its own criterion.
    uses_ground_truth : bool
        Whether it reads the numbers that define the expression truth: not scored there.
    describe : callable or None
        Of systems that are descriptors: `Clips` to numbers, [clips, descriptors].
    learns : bool
        Whether anything of it depends on the training_set, if only scales.
    """

    name: str
    family: str
    fit: Callable[[TrainingSet], Scorer]
    objective: Objective | None = None
    uses_ground_truth: bool = False
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


MODELS: dict[str, Settings] = {
    "diagonal": Settings("diagonal", "triplet", learning_rate=0.03, weight_decay=0.0),
    "linear, InfoNCE": Settings("linear", "infonce"),
    "linear, SupCon": Settings("linear", "supcon"),
    "linear, centred": Settings("linear", "infonce", centred=True),
    "MLP": Settings("mlp", "infonce"),
}
"""The ladder's models in order; each is compared with the best one below it."""


def model_sequence(objective: Objective) -> list[System]:
    """The models for one objective, the reranker last."""
    models = [
        System(f"{objective}: {name}", "head", partial(_head, objective, name), objective)
        for name in MODELS
        if not (objective == "content" and MODELS[name].centred)
    ]
    models.append(
        System(f"{objective}: reranker", "head", partial(_reranked, objective), objective)
    )
    return models


def fit_head(
    training_set: TrainingSet,
    objective: Objective,
    model: str,
    *,
    made_from: dict[str, Any] | None = None,
) -> Trained:
    """Train one model on a training_set.

    Parameters
    ----------
    training_set : TrainingSet
    objective : {"content", "expression"}
    model : str
        Of `MODELS`.
    made_from : dict, optional
        For the head's manifest.

    Raises
    ------
    MessError
        If the training_set is too small.
    """
    settings = Settings(**{**vars(MODELS[model]), "seed": training_set.seed})
    library = range(training_set.library)
    if objective == "content":
        passages = [training_set.passages[row] for row in library]
        clips = training_set.clips.take(library)
        triplets = content_triplets(
            passages,
            [training_set.performers[row] for row in library],
            [training_set.tracks[row] for row in library],
            seed=training_set.seed,
        )
        works = [training_set.works[row] for row in library]
        material = Material(clips.vectors, triplets, passages, works, by_passage=True)
    else:
        triplets = np.concatenate([_expression(training_set), training_set.single_factor])
        material = Material(
            training_set.clips.vectors,
            triplets,
            training_set.passages,
            training_set.works,
            by_passage=False,
        )
    return train_head(material, settings, made_from=made_from)


def _expression(training_set: TrainingSet) -> NDArray[np.int64]:
    """Triplets of the library's passages."""
    values, passages = (
        training_set.values[: training_set.library],
        list(training_set.passages[: training_set.library]),
    )
    return expression_triplets(
        expression_distances(values, passages, expression_unit(values, passages))
    )


def _head(objective: Objective, model: str, training_set: TrainingSet) -> Scorer:
    return _scored(_fitted(objective, model, training_set).head)


@lru_cache(maxsize=8)  # the reranker begins with what the model below it has learned
def _fitted(objective: Objective, model: str, training_set: TrainingSet) -> Trained:
    return fit_head(training_set, objective, model)


def _scored(head: Head) -> Scorer:
    def score(clips: Clips) -> Floats:
        unit = head(clips.vectors).astype(np.float64)
        found: Floats = unit @ unit.T
        return found

    return score


def _reranked(objective: Objective, training_set: TrainingSet) -> Scorer:
    """The best linear head's first hits, ordered anew by what pairs have in common."""
    trained = _fitted(objective, "linear, InfoNCE", training_set)
    base = _scored(trained.head)
    library = range(training_set.library)
    clips = training_set.clips.take(library)
    passages = [training_set.passages[row] for row in library]
    scale = moments(clips.audio)
    if objective == "content":
        tracks = [training_set.tracks[row] for row in library]
        unseen = [training_set.works[row] in trained.held_out for row in library]
        if _recall(base(clips), passages, tracks, unseen) < _HIGH_RECALL:
            return base  # it could only order what is not there
        performers = [training_set.performers[row] for row in library]
        triplets = content_triplets(passages, performers, tracks, seed=training_set.seed)
        learned = clips
    else:
        triplets = np.concatenate([_expression(training_set), training_set.single_factor])
        learned = training_set.clips
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


def _random(training_set: TrainingSet) -> Scorer:
    def score(clips: Clips) -> Floats:
        named = hashlib.sha256("\n".join(clips.ids).encode()).digest()
        rng = np.random.default_rng([training_set.seed, int.from_bytes(named[:8])])
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


def _fixed_layer(place: int, _training_set: TrainingSet) -> Scorer:
    return partial(_layer, place)


def _chosen_layer(objective: Objective, training_set: TrainingSet) -> Scorer:
    """The layer that orders the training clips' triplets best."""
    library = range(training_set.library)
    clips = training_set.clips.take(library)
    passages = [training_set.passages[row] for row in library]
    if objective == "content":
        triplets = content_triplets(
            passages,
            [training_set.performers[row] for row in library],
            [training_set.tracks[row] for row in library],
            seed=training_set.seed,
        )
    else:
        triplets = _expression(training_set)
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
    return System(name, family, fit, uses_ground_truth=family == "midi", describe=describe)


def _by_numbers(describe: Callable[[Clips], Floats], training_set: TrainingSet) -> Scorer:
    """Minus the distance of descriptors that are standardised on the training clips."""
    scale = moments(describe(training_set.clips.take(range(training_set.library))))

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
