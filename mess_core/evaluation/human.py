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

from mess_core.datasets.works import work_id
from mess_core.errors import MessError
from mess_core.evaluation.percepiano import (
    RatedPassage,
    RatedTriplets,
    accuracy_per_passage,
    mean_ratings,
    rated_passages,
    rated_triplets,
)
from mess_core.evaluation.ratings import read_ratings
from mess_core.evaluation.systems import Lesson, System
from mess_core.midi.performance import read_performance
from mess_core.probing.folds import grouped_folds
from mess_core.ranking.clips import Clips
from mess_core.ranking.descriptors import HALF_PEDAL, standardised
from mess_core.ranking.pairs import shuffled_within
from mess_core.ranking.perceived import (
    PassageDescription,
    PerceivedDistance,
    describe_passage,
    pair_distances,
)
from mess_core.ranking.shapes import CURVES

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["examine_ratings", "nested_distances", "rated_clips", "rated_works"]

CRITERION = "PercePiano"
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
    ratings: Sequence[Floats],
    *,
    by: Sequence[str],
    seed: int = 0,
) -> dict[str, Floats]:
    """Distances for each passage from a model that was fitted without its group.

    Parameters
    ----------
    passages, descriptions, ratings
        In the same order; ratings as `mean_ratings` gives.
    by : sequence of str
        Outer groups: ten folds of them, or one each where there are fewer. Inner choices
        (penalty, weights) keep passages that share bars together.
    seed : int
    """
    fold = grouped_folds(list(by), min(_FOLDS, len(set(by))), seed=seed)
    found = {}
    for number in np.unique(fold):
        inside = np.flatnonzero(fold != number).tolist()
        model = PerceivedDistance(seed=seed).fit(
            [descriptions[i] for i in inside],
            [ratings[i] for i in inside],
            [passages[i].group for i in inside],
        )
        for index in np.flatnonzero(fold == number).tolist():
            found[passages[index].passage] = model.distances(descriptions[index])
    return found


def examine_ratings(
    folder: str | PathLike[str],
    *,
    systems: Sequence[System] = (),
    lesson_without: Callable[[set[str]], Lesson] | None = None,
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
    lesson_without : callable, optional
        Works to a `Lesson` that holds none of them.
    make : callable, optional
        Names and performances to `Clips`; without it only notes are compared.
    seed : int
    say : callable
        Called with lines of progress.

    Returns
    -------
    DataFrame
        ``system, criterion, metric, fold, query, cluster, value``; queries are passages.

    Raises
    ------
    DatasetError
        If the folder is not PercePiano's.
    MidiError
        If a performance cannot be read.
    """
    import pandas as pd

    ratings, answers = read_ratings(folder)
    passages = rated_passages(ratings)
    triplets = rated_triplets(passages, answers, seed=seed)
    dealt = rated_triplets(passages, answers, seed=seed, shuffled=True)
    found = [_rows("raters, other half", CRITERION, passages, triplets, None)]
    found.append(_rows("raters, other half", f"{CRITERION} (shuffled)", passages, dealt, None))

    def tell(system: str, distances: Mapping[str, Floats], criterion: str = CRITERION) -> None:
        found.append(_rows(system, criterion, passages, triplets, distances))

    say("describing passages")
    described = [
        describe_passage([read_performance(path, pedal_down=HALF_PEDAL) for path in one.midi])
        for one in passages
    ]
    truth = mean_ratings(passages, answers)
    groups = [one.group for one in passages]
    movements = [one.movement for one in passages]
    names = [one.passage for one in passages]
    curves = [np.sum(list(one.curves.values()), axis=0) for one in described]
    tell("midi, curves", dict(zip(names, curves, strict=True)))
    say("learning from ratings, by passage")
    nested = nested_distances(passages, described, truth, by=groups, seed=seed)
    tell("midi, learned from ratings", nested)
    found.append(
        _rows("midi, learned from ratings", f"{CRITERION} (shuffled)", passages, dealt, nested)
    )
    say("learning from ratings, by movement")
    tell(
        "midi, learned from ratings",
        nested_distances(passages, described, truth, by=movements, seed=seed),
        f"{CRITERION}, by movement",
    )
    say("learning from shuffled ratings")
    wrong = [
        shuffled_within(one, ["all"] * len(one), seed=seed + number)
        for number, one in enumerate(truth)
    ]
    tell(
        "midi, learned from shuffled ratings",
        nested_distances(passages, described, wrong, by=groups, seed=seed),
    )
    if make is not None:
        clips = rated_clips(passages, make)
        by_ear = [_heard(clips[name]) for name in names]
        say("learning from ratings, audio alone")
        tell(
            "audio, learned from ratings",
            nested_distances(passages, by_ear, truth, by=groups, seed=seed),
        )
        lesson = None if lesson_without is None else lesson_without(rated_works(passages))
        for system in systems:
            say(f"ratings: {system.name}")
            if system.describe is not None:
                apart = {name: _described(system.describe(clips[name])) for name in names}
            elif lesson is not None:
                try:
                    score = system.fit(lesson)
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
    return pd.DataFrame(
        {
            "system": system,
            "criterion": criterion,
            "metric": "triplets",
            "fold": -1,
            "query": [one.passage for one in passages],
            "cluster": [one.passage for one in passages],
            "value": [per_passage[one.passage] for one in passages],
        }
    )
