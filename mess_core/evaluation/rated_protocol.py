"""All systems on triplets from human ratings, each without having seen what it is asked.

A distance that learns from ratings is nested by passage: passages that share bars with one
that is asked about are left out of everything that is fitted or chosen; and, harder, by
movement. Systems that learn from a library are fitted without the works that are rated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mess_core.datasets.percepiano import RatedPassage, rated_passages, read_ratings
from mess_core.datasets.works import work_id
from mess_core.errors import MessError
from mess_core.evaluation.data import TrainingSet
from mess_core.evaluation.leaks import Choice, assert_no_leaks, choice_leaks
from mess_core.evaluation.permuted_labels import PERMUTED, permuted_players
from mess_core.evaluation.rated_triplets import (
    RatedTriplets,
    accuracy_per_passage,
    mean_ratings,
    rated_triplets,
)
from mess_core.evaluation.systems import System
from mess_core.midi.performance import read_performance
from mess_core.probing.folds import grouped_folds
from mess_core.ranking.clips import Clips
from mess_core.ranking.descriptors import HALF_PEDAL, standardised
from mess_core.ranking.perceived import (
    PassageDescription,
    PerceivedDistance,
    describe_passage,
)
from mess_core.ranking.scaling import pair_distances
from mess_core.ranking.shapes import CURVES

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
    """Work ids of rated passages, as the track table spells them."""
    found = set()
    for one in passages:
        composer, _, title = one.movement.partition("_")
        found.add(work_id(composer, title.partition("_")[0]))
    return found


def rated_clips(passages: Sequence[RatedPassage], make: MakeClips) -> dict[str, Clips]:
    """Clips of all performances of each passage.

    Parameters
    ----------
    passages : sequence of RatedPassage
    make : callable
        Names and performances to `Clips`, such as a partial `rendered_clips`.
    """
    names = [f"{one.passage}:{player}" for one in passages for player in one.players]
    read = [read_performance(path, pedal_down=HALF_PEDAL) for one in passages for path in one.midi]
    clips, found, start = make(names, read), {}, 0
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
    """Distances for each passage from a model that was fitted without its group.

    Whatever is fitted (ratings freed of raters' habits, penalty, weights, regressors) is
    fitted to the answers of the other groups' passages alone.

    Parameters
    ----------
    passages, descriptions
        In the same order.
    answers : DataFrame
        As `read_ratings` gives.
    by : sequence of str
        Outer groups: ten folds of them, or one each where there are fewer. Inner choices
        (penalty, weights) keep passages that share bars together.
    seed : int

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
        learned = Choice(
            "the distance", f"fold {number}", frozenset(passages[i].group for i in inside)
        )
        assert_no_leaks(choice_leaks([learned], [passages[i].group for i in outside]))
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
    """Examine on a PercePiano folder.

    Parameters
    ----------
    folder : path-like
    systems : sequence of System
        Asked about rendered clips; needs the next two.
    training_set_without : callable, optional
        Works to a `TrainingSet` that holds none of them.
    make : callable, optional
        Names and performances to `Clips`; without it only notes are compared.
    seed : int
    say : callable
        Called with lines of progress.

    Returns
    -------
    DataFrame
        ``system, criterion, metric, fold, query, cluster, value``; queries are passages,
        clusters those that share bars. "PercePiano (permuted)" is of ratings that were given
        to other players of their passage once: learned from them and asked about them.

    Raises
    ------
    DatasetError
        If the folder is not PercePiano's.
    MidiError
        If a performance cannot be read.
    """
    import pandas as pd

    ratings, answers = read_ratings(folder)
    permuted = permuted_players(answers, seed=seed + 1)
    passages = rated_passages(ratings)
    asked = {
        CRITERION: rated_triplets(passages, answers, seed=seed),
        f"{CRITERION}{PERMUTED}": rated_triplets(passages, permuted, seed=seed),
    }
    asked[BY_MOVEMENT] = asked[CRITERION]
    groups, movements = [one.group for one in passages], [one.movement for one in passages]
    names = [one.passage for one in passages]
    found = [_rows("raters, other half", CRITERION, passages, asked[CRITERION], None)]

    def tell(system: str, distances: Mapping[str, Floats], *criteria: str) -> None:
        for criterion in criteria or (CRITERION, f"{CRITERION}{PERMUTED}"):
            found.append(_rows(system, criterion, passages, asked[criterion], distances))

    def learn(
        system: str,
        descriptions: Sequence[PassageDescription],
        what: pd.DataFrame,
        by: Sequence[str],
        criterion: str,
    ) -> None:
        say(f"{system}: {criterion}")
        tell(system, nested_distances(passages, descriptions, what, by=by, seed=seed), criterion)

    say("describing passages")
    described = [
        describe_passage([read_performance(path, pedal_down=HALF_PEDAL) for path in one.midi])
        for one in passages
    ]
    curves = [np.sum(list(one.curves.values()), axis=0) for one in described]
    tell("midi, curves", dict(zip(names, curves, strict=True)))
    learned = "midi, learned from ratings"
    learn(learned, described, answers, groups, CRITERION)
    learn(learned, described, answers, movements, BY_MOVEMENT)
    learn(learned, described, permuted, groups, f"{CRITERION}{PERMUTED}")
    if make is None:
        return pd.concat(found, ignore_index=True)
    clips = rated_clips(passages, make)
    by_ear = [_heard(clips[name]) for name in names]
    learn("audio, learned from ratings", by_ear, answers, groups, CRITERION)
    training_set = None
    if training_set_without is not None:
        try:
            training_set = training_set_without(rated_works(passages))
        except MessError as error:
            say(f"nothing to learn from without the rated works: {error.problem}")
    for system in systems:
        say(f"ratings: {system.name}")
        if system.describe is not None:
            apart = {name: _described(system.describe(clips[name])) for name in names}
        elif training_set is not None:
            try:
                score = system.fit(training_set)
            except MessError as error:
                say(f"{system.name} could not learn: {error.problem}")
                continue
            apart = {name: -score(clips[name]) for name in names}
        else:
            continue
        tell(system.name, apart)
    return pd.concat(found, ignore_index=True)


def _described(table: Floats) -> Floats:
    """Distances of descriptors that are standardised among the passage's performances."""
    rows = [{str(column): float(v) for column, v in enumerate(row)} for row in table]
    return pair_distances(standardised(rows))


def _heard(clips: Clips) -> PassageDescription:
    """A passage as audio tells it: targets, and the encoder's mean layer."""
    table = np.hstack([clips.audio, clips.vectors.mean(axis=1)])
    rows = [{f"{column:04d}": float(v) for column, v in enumerate(row)} for row in table]
    nothing = np.zeros((len(clips), len(clips)))
    return PassageDescription(tuple(rows[0]), standardised(rows), dict.fromkeys(CURVES, nothing))


def _rows(
    system: str,
    criterion: str,
    passages: Sequence[RatedPassage],
    triplets: Sequence[RatedTriplets],
    distances: Mapping[str, Floats] | None,
) -> pd.DataFrame:
    import pandas as pd

    per_passage = accuracy_per_passage(triplets, distances)
    asked = [one for one in passages if one.passage in per_passage]
    return pd.DataFrame(
        {
            "system": system,
            "criterion": criterion,
            "metric": "triplets",
            "fold": -1,
            "query": [one.passage for one in asked],
            "cluster": [one.group for one in asked],
            "value": [per_passage[one.passage] for one in asked],
        }
    )
