"""Evaluate systems on triplets from human ratings (PercePiano), with nested cross-validation.

Distances that are learned from ratings are cross-validated by passage, with all passages that share
bars in the same fold, and also by movement, which is harder. Systems that are fitted on a library
do not see its recordings of the rated works.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mess_core.datasets.percepiano import RatedPassage, rated_passages, read_ratings
from mess_core.datasets.works import work_id
from mess_core.errors import TooLittleError
from mess_core.evaluation.data import TrainingSet
from mess_core.evaluation.leaks import assert_no_leaks, overlap
from mess_core.evaluation.permuted_labels import PERMUTED, permuted_players
from mess_core.evaluation.rated_triplets import (
    RatedTriplets,
    accuracy_per_passage,
    mean_ratings,
    rated_triplets,
)
from mess_core.evaluation.systems import System, fit_head
from mess_core.midi.reading import read_performance
from mess_core.probing.folds import grouped_folds
from mess_core.ranking.clips import Clips
from mess_core.ranking.descriptors import HALF_PEDAL, standardised
from mess_core.ranking.frame_alignment import PAIR_FEATURES, PairAlignments
from mess_core.ranking.perceived import (
    PassageDescription,
    PerceivedDistance,
    describe_passage,
)
from mess_core.ranking.scaling import pair_distances
from mess_core.search.served_heads import Head

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["evaluate_on_ratings", "nested_distances", "rated_clips", "rated_works"]

CRITERION = "PercePiano"
BY_MOVEMENT = f"{CRITERION}, by movement"
_FOLDS = 10

Floats = NDArray[np.float64]
Say = Callable[[str], None]
MakeClips = Callable[[Sequence[str], Sequence[Any]], Clips]


def rated_works(passages: Sequence[RatedPassage]) -> set[str]:
    """Return the work ids of rated passages, spelled as in the track table."""
    found = set()
    for one in passages:
        composer, _, title = one.movement.partition("_")
        found.add(work_id(composer, title.partition("_")[0]))
    return found


def rated_clips(passages: Sequence[RatedPassage], make: MakeClips) -> dict[str, Clips]:
    """Return the clips of all performances, by passage.

    Parameters
    ----------
    passages : sequence of RatedPassage
    make : callable
        Takes names and performances and returns `Clips`, such as a partial `rendered_clips`.
    """
    names = [f"{one.passage}:{player}" for one in passages for player in one.players]
    performances = [
        read_performance(path, pedal_down=HALF_PEDAL) for one in passages for path in one.midi
    ]
    clips, found, start = make(names, performances), {}, 0
    for one in passages:
        stop = start + len(one.players)
        found[one.passage] = clips.take(range(start, stop))
        start = stop
    return found


def nested_distances(
    passages: Sequence[RatedPassage],
    descriptions: Sequence[PassageDescription],
    answers: pd.DataFrame,
    *,
    by: Sequence[str],
    seed: int = 0,
) -> dict[str, Floats]:
    """Return the distances within each passage, from a model fitted without the passage's group.

    Everything that is fitted (raters' biases, penalty, weights, regressors) is fitted to answers
    on passages of other groups.

    Parameters
    ----------
    passages : sequence of RatedPassage
    descriptions : sequence of PassageDescription
        In the order of ``passages``.
    answers : DataFrame
        As returned by `read_ratings`.
    by : sequence of str
        Group of each passage for the outer folds: ten folds, or one per group if there are fewer
        groups. The inner folds (penalty, weights) always group passages that share bars.
    seed : int

    Returns
    -------
    dict of str to ndarray, float64, shape [performances, performances]
        Passage to distances between its performances.

    Raises
    ------
    DatasetError
        If passages that share bars are in different outer groups.
    """
    fold = grouped_folds(list(by), min(_FOLDS, len(set(by))), seed=seed)
    found = {}
    for number in np.unique(fold):
        inside = np.flatnonzero(fold != number).tolist()
        outside = np.flatnonzero(fold == number).tolist()
        groups = ([passages[i].group for i in side] for side in (inside, outside))
        assert_no_leaks(overlap("passage", *groups), f"in fold {number}")
        model = PerceivedDistance(seed=seed).fit(
            [descriptions[i] for i in inside],
            mean_ratings([passages[i] for i in inside], answers),
            [passages[i].group for i in inside],
        )
        for index in outside:
            found[passages[index].passage] = model.distances(descriptions[index])
    return found


def evaluate_on_ratings(
    folder: str | PathLike[str],
    *,
    systems: Sequence[System] = (),
    training_set_without: Callable[[set[str]], TrainingSet] | None = None,
    make: MakeClips | None = None,
    seed: int = 0,
    say: Say = lambda _: None,
) -> pd.DataFrame:
    """Evaluate systems on the triplets of a PercePiano folder.

    Parameters
    ----------
    folder : path-like
    systems : sequence of System
        Systems to evaluate on rendered clips; they need ``training_set_without`` and ``make``.
    training_set_without : callable, optional
        Takes works and returns a `TrainingSet` without them.
    make : callable, optional
        Takes names and performances and returns `Clips`. Without it, only systems that compare
        MIDI are evaluated.
    seed : int
    say : callable
        Called with progress messages.

    Returns
    -------
    DataFrame
        ``system, criterion, metric, fold, query, cluster, value``. Queries are passages; clusters
        are groups of passages that share bars. For criteria "(permuted)", the players of each
        passage are permuted once, for fitting and for evaluation alike.

    Raises
    ------
    DatasetError
        If the folder is not a PercePiano folder.
    MidiError
        If a performance cannot be read.
    """
    import pandas as pd

    ratings, answers = read_ratings(folder)
    permuted = permuted_players(answers, seed=seed + 1)
    passages = rated_passages(ratings)
    triplets = {
        CRITERION: rated_triplets(passages, answers, seed=seed),
        f"{CRITERION}{PERMUTED}": rated_triplets(passages, permuted, seed=seed),
    }
    for suffix in ("", PERMUTED):
        triplets[f"{BY_MOVEMENT}{suffix}"] = triplets[f"{CRITERION}{suffix}"]
    groups, movements = [one.group for one in passages], [one.movement for one in passages]
    names = [one.passage for one in passages]
    found = [_rows("raters, other half", CRITERION, passages, triplets[CRITERION], None)]

    def evaluate(system: str, distances: Mapping[str, Floats], *criteria: str) -> None:
        for criterion in criteria or (CRITERION, f"{CRITERION}{PERMUTED}"):
            found.append(_rows(system, criterion, passages, triplets[criterion], distances))

    def cross_validate(system: str, descriptions: Sequence[PassageDescription]) -> None:
        for criterion, by in ((CRITERION, groups), (BY_MOVEMENT, movements)):
            for suffix, ratings in (("", answers), (PERMUTED, permuted)):
                say(f"{system}: {criterion}{suffix}")
                distances = nested_distances(passages, descriptions, ratings, by=by, seed=seed)
                evaluate(system, distances, f"{criterion}{suffix}")

    say("describing passages")
    descriptions = [
        describe_passage([read_performance(path, pedal_down=HALF_PEDAL) for path in one.midi])
        for one in passages
    ]
    curves = [np.sum(list(one.curves.values()), axis=0) for one in descriptions]
    evaluate("midi, curves", dict(zip(names, curves, strict=True)))
    cross_validate("midi, learned from ratings", descriptions)
    if make is None:
        return pd.concat(found, ignore_index=True)
    clips = rated_clips(passages, make)
    training_set, head = None, None
    if training_set_without is not None:
        try:
            training_set = training_set_without(rated_works(passages))
            head = fit_head(training_set, "expression", "regression").head
        except TooLittleError as error:
            say(f"no training set without the rated works: {error.problem}")
    from_audio = [_describe_audio(clips[name], head) for name in names]
    cross_validate("audio, learned from ratings", from_audio)
    for system in systems:
        say(f"ratings: {system.name}")
        if system.describe is not None:
            distances = {
                name: _descriptor_distances(system.describe(clips[name])) for name in names
            }
        elif training_set is not None:
            try:
                score = system.fit(training_set)
            except TooLittleError as error:
                say(f"{system.name} could not be fitted: {error.problem}")
                continue
            distances = {name: -score(clips[name]) for name in names}
        else:
            continue
        evaluate(system.name, distances)
    return pd.concat(found, ignore_index=True)


def _descriptor_distances(table: Floats) -> Floats:
    """Return distances between descriptors, standardised over the performances of the passage."""
    rows = [{str(column): float(v) for column, v in enumerate(row)} for row in table]
    return pair_distances(standardised(rows))


def _describe_audio(clips: Clips, head: Head | None) -> PassageDescription:
    """Describe a passage by what its recordings tell.

    Audio targets, the encoder's mean layer, the descriptors that a regression on other works
    predicts, and distances by the alignment of frames.
    """
    parts = [clips.audio, clips.vectors.mean(axis=1)]
    if head is not None:
        parts.append(head(clips.vectors)[:, :-1])
    rows = [
        {f"{column:04d}": float(value) for column, value in enumerate(row)}
        for row in np.hstack(parts)
    ]
    curves = {}
    if clips.frames:
        aligned = PairAlignments().matrix(clips)
        curves = {name: aligned[:, :, column] for column, name in enumerate(PAIR_FEATURES)}
        curves = {name: one / max(one.mean(), 1e-9) for name, one in curves.items()}
    return PassageDescription(tuple(rows[0]), standardised(rows), curves)


def _rows(
    system: str,
    criterion: str,
    passages: Sequence[RatedPassage],
    triplets: Sequence[RatedTriplets],
    distances: Mapping[str, Floats] | None,
) -> pd.DataFrame:
    import pandas as pd

    per_passage = accuracy_per_passage(triplets, distances)
    scored = [one for one in passages if one.passage in per_passage]
    return pd.DataFrame(
        {
            "system": system,
            "criterion": criterion,
            "metric": "triplets",
            "fold": -1,
            "query": [one.passage for one in scored],
            "cluster": [one.group for one in scored],
            "value": [per_passage[one.passage] for one in scored],
        }
    )
