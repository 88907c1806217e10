"""The systems that are compared, from baselines to a sequence of learned heads.

A system is fitted on training clips, including any scaler, and then scores pairs of test clips that
it has not seen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mess_core.errors import TooLittleError
from mess_core.evaluation.data import TrainingSet
from mess_core.ranking.attention import AttentionSettings, fit_attention
from mess_core.ranking.clips import Clips
from mess_core.ranking.invariance import erase_works
from mess_core.ranking.regression import fit_regression
from mess_core.ranking.rerank import Reranker, interactions
from mess_core.ranking.scaling import moments, pair_distances, standardise
from mess_core.ranking.training import Material, Settings, Trained, train_head
from mess_core.ranking.triplets import Objective
from mess_core.search.served_heads import Head
from mess_core.targets.first_published import first_published_targets

__all__ = ["MODELS", "Scorer", "System", "baselines", "fit_head", "fitted_head", "model_sequence"]

Floats = NDArray[np.float64]
Scorer = Callable[[Clips], Floats]
"""Takes clips and returns their similarity, [clips, clips]; higher is nearer."""

_RERANKED = 10
_HIGH_RECALL = 0.8


@dataclass(frozen=True)
class System:
    """A system that scores the similarity of pairs of clips.

    Attributes
    ----------
    name, family : str
        Family is "control", "midi", "audio", "encoder" or "head".
    fit : callable
        Takes a `TrainingSet` and returns a `Scorer`.
    objective : {"content", "expression"} or None
        The objective that the system is trained for, and so the criterion it is compared on.
    uses_ground_truth : bool
        Whether it uses the descriptors that define the expression ground truth. Such a system is
        not evaluated on the expression criterion.
    describe : callable or None
        For systems that are descriptors: takes `Clips` and returns numbers, [clips, descriptors].
    learns : bool
        Whether anything is fitted on the training set, even if only the scales.
    """

    name: str
    family: str
    fit: Callable[[TrainingSet], Scorer]
    objective: Objective | None = None
    uses_ground_truth: bool = False
    describe: Callable[[Clips], Floats] | None = None
    learns: bool = True


def baselines(layers: Sequence[int], encoder: str) -> list[System]:
    """Return the baselines, which learn only scales or the choice of a layer.

    Parameters
    ----------
    layers : sequence of int
        Numbers of the encoder's layers, in the order of the vectors.
    encoder : str
        Name of the encoder.
    """
    short = encoder.partition("@")[0]
    systems = [
        System("random", "control", _random, learns=False),
        _descriptor_system("midi, first published", "midi", _first_published),
        _descriptor_system("midi, corrected", "midi", _corrected),
        _descriptor_system("audio descriptors", "audio", _audio),
        System(f"{short}, mean layer", "encoder", lambda _: _mean_layer, learns=False),
    ]
    for index, layer in enumerate(layers):
        fit = partial(_fixed_layer, index)
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
    "regression": Settings("regression", "triplet", centred=True),
    "MLP": Settings("mlp", "infonce"),
}
"""The sequence of models, simplest first; each is compared with the best earlier one."""


def model_sequence(objective: Objective) -> list[System]:
    """Return the models for one objective, simplest first, ending with the reranker."""
    models = [
        System(f"{objective}: {name}", "head", partial(_head, objective, name), objective)
        for name in MODELS
        if not (objective == "content" and MODELS[name].centred)
    ]
    if objective == "expression":
        more: dict[str, Callable[[TrainingSet], Scorer]] = {
            "linear, adversary": _against_adversary,
            "linear, works erased": _erased,
            "attention over time": _attended,
        }
        for name, fit in more.items():
            models.append(System(f"expression: {name}", "head", fit, objective))
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
    """Train one model on a training set.

    Parameters
    ----------
    training_set : TrainingSet
    objective : {"content", "expression"}
    model : str
        A key of `MODELS`.
    made_from : dict, optional
        Provenance to record in the head's manifest.

    Returns
    -------
    Trained

    Raises
    ------
    TooLittleError
        If the training set is too small.
    """
    settings = Settings(**{**vars(MODELS[model]), "seed": training_set.seed})
    count = training_set.library
    if settings.kind == "regression":
        head, score = fit_regression(
            training_set.clips.take(range(count)).vectors,
            training_set.values[:count],
            training_set.passages[:count],
            training_set.works[:count],
            made_from=made_from,
        )
        return Trained(head, 0, score, (), frozenset())
    if objective == "content":
        material = Material(
            training_set.clips.take(range(count)).vectors,
            training_set.content,
            training_set.passages[:count],
            training_set.works[:count],
            by_passage=True,
        )
    else:
        material = _expression_material(training_set)
    return train_head(material, settings, made_from=made_from)


def _expression_material(training_set: TrainingSet) -> Material:
    return Material(
        training_set.clips.vectors,
        np.concatenate([training_set.expression, training_set.single_factor]),
        training_set.passages,
        training_set.works,
        by_passage=False,
    )


def _against_adversary(training_set: TrainingSet) -> Scorer:
    settings = Settings("linear", "infonce", adversary=1.0, seed=training_set.seed)
    return _head_scorer(train_head(_expression_material(training_set), settings).head)


def _erased(training_set: TrainingSet) -> Scorer:
    """Train the linear head on vectors that tell the training works apart no more."""
    material = _expression_material(training_set)
    erase = erase_works(material.vectors, material.groups)
    settings = Settings("linear", "infonce", seed=training_set.seed)
    material = replace(material, vectors=erase(material.vectors))
    head = train_head(material, settings).head
    return lambda clips: _cosines(head(erase(clips.vectors)))


def _attended(training_set: TrainingSet) -> Scorer:
    count = training_set.library
    predict = fit_attention(
        training_set.clips.frames[:count],
        training_set.values[:count],
        training_set.passages[:count],
        training_set.works[:count],
        AttentionSettings(seed=training_set.seed),
    )
    return lambda clips: -pair_distances(predict(clips.frames))


def _head(objective: Objective, model: str, training_set: TrainingSet) -> Scorer:
    return _head_scorer(fitted_head(objective, model, training_set).head)


@lru_cache(maxsize=8)
def fitted_head(objective: Objective, model: str, training_set: TrainingSet) -> Trained:
    """Train one model, or return what was trained before: several systems build on it."""
    return fit_head(training_set, objective, model)


def _head_scorer(head: Head) -> Scorer:
    def score(clips: Clips) -> Floats:
        unit = head(clips.vectors).astype(np.float64)
        found: Floats = unit @ unit.T
        return found

    return score


def _reranked(objective: Objective, training_set: TrainingSet) -> Scorer:
    """Rerank the first hits of the linear head by interaction features of the pairs."""
    trained = fitted_head(objective, "linear, InfoNCE", training_set)
    base = _head_scorer(trained.head)
    count = training_set.library
    clips = training_set.clips.take(range(count))
    scale = moments(clips.audio)
    if objective == "content":
        passages, tracks = training_set.passages[:count], training_set.tracks[:count]
        unseen = [work in trained.held_out for work in training_set.works[:count]]
        if _recall(base(clips), passages, tracks, unseen) < _HIGH_RECALL:
            return base  # too few relevant clips among the first hits to rerank
        triplets = training_set.content
        learned = clips
    else:
        triplets = np.concatenate([training_set.expression, training_set.single_factor])
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
            others = np.flatnonzero(own != own[query])  # never its own recording
            hits = others[np.argsort(-row[others], kind="stable")][:_RERANKED]
            repeated = np.full(len(hits), query)
            rescored = reranker.score(interactions(clips.vectors, scaled, repeated, hits))
            # Reranked hits come before all others, in their new order.
            found[query, hits] = 2.0 + np.argsort(np.argsort(rescored)) / len(hits)
        return found

    return score


def _recall(
    similarity: Floats, passages: Sequence[str], tracks: Sequence[str], queries: Sequence[bool]
) -> float:
    """Return the mean recall of the first hits over the chosen queries, among all clips."""
    names, own = np.asarray(passages), np.asarray(tracks)
    found = []
    for query in np.flatnonzero(queries):
        row = similarity[query]
        relevant = (names == names[query]) & (own != own[query])
        candidates = np.flatnonzero(own != own[query])
        hits = candidates[np.argsort(-row[candidates], kind="stable")[:_RERANKED]]
        if relevant.any():
            found.append(relevant[hits].sum() / min(relevant.sum(), _RERANKED))
    return float(np.mean(found)) if found else 0.0


def _random(training_set: TrainingSet) -> Scorer:
    def score(clips: Clips) -> Floats:
        digest = hashlib.sha256("\n".join(clips.ids).encode()).digest()
        rng = np.random.default_rng([training_set.seed, int.from_bytes(digest[:8])])
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


def _layer(index: int, clips: Clips) -> Floats:
    return _cosines(clips.vectors[:, index])


def _fixed_layer(index: int, _training_set: TrainingSet) -> Scorer:
    return partial(_layer, index)


def _chosen_layer(objective: Objective, training_set: TrainingSet) -> Scorer:
    """Choose the layer that orders the training triplets best."""
    clips = training_set.clips.take(range(training_set.library))
    triplets = training_set.content if objective == "content" else training_set.expression
    if len(triplets) == 0:
        raise TooLittleError(
            "no training passage has three performances, which choosing a layer requires"
        )
    accuracy = []
    for index in range(clips.vectors.shape[1]):
        similarity = _layer(index, clips)
        x, near, far = triplets.T
        accuracy.append(float((similarity[x, near] > similarity[x, far]).mean()))
    return partial(_layer, int(np.argmax(accuracy)))


def _descriptor_system(name: str, family: str, describe: Callable[[Clips], Floats]) -> System:
    fit = partial(_fit_descriptors, describe)
    return System(name, family, fit, uses_ground_truth=family == "midi", describe=describe)


def _fit_descriptors(describe: Callable[[Clips], Floats], training_set: TrainingSet) -> Scorer:
    """Score by minus the distance of descriptors, standardised on the training clips."""
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
