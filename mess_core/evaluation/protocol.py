"""One examination for all systems: who is asked what, on which side of which fold.

For every fold of a frozen split each system is fitted on the training tracks' clips and
asked about the test tracks' clips only (`mess_core.evaluation.ground_truth`), then the same
again on truths that were dealt anew (`mess_core.evaluation.permuted_labels`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from numpy.typing import NDArray

from mess_core.errors import MessError, TooLittleError
from mess_core.evaluation.data import Exam, Lesson, lesson_of
from mess_core.evaluation.ground_truth import Questions
from mess_core.evaluation.leaks import (
    Choice,
    Leak,
    assert_no_leaks,
    choice_leaks,
    segment_leaks,
    track_leaks,
)
from mess_core.evaluation.permuted_labels import DEALS, SHUFFLED, dealt_exam
from mess_core.evaluation.splits import Fold, Split
from mess_core.evaluation.systems import System
from mess_core.ranking.pairs import Objective

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["examine", "lesson_leaks"]

Floats = NDArray[np.float64]
Say = Callable[[str], None]


def examine(
    exam: Exam, split: Split, systems: Sequence[System], *, say: Say = lambda _: None
) -> pd.DataFrame:
    """Fit and ask every system in every fold, on the truth and on truths dealt anew.

    Parameters
    ----------
    exam : Exam
    split : Split
    systems : sequence of System
    say : callable
        Called with lines of progress.

    Returns
    -------
    DataFrame
        ``system, criterion, metric, fold, query, cluster, value``: one row per answer;
        clusters are works. Criteria that end with " (shuffled)" are of `dealt_exam`, dealt
        several times: systems are fitted to the very labels that they are asked about, each on
        what belongs to its objective.

    Raises
    ------
    DatasetError
        If the split, or a lesson that is made by it, leaks.
    TooLittleError
        If no fold has anything to learn from and anything to ask. A system that finds too
        little to learn from has no answers in that fold.
    """
    import pandas as pd

    for number, fold in enumerate(split.folds):
        assert_no_leaks(track_leaks(exam.tracks, fold, split.by), f"in fold {number}")
    found = _answers(exam, split, systems, None, say)
    if not found:
        raise TooLittleError(
            "no fold has passages on both sides: there is nothing to learn or to ask",
            remedy="Add performances of more works, with MIDI",
        )
    for objective, deal in itertools.product(get_args(Objective), range(DEALS)):
        say(f"on shuffled truths, deal {deal + 1} of {DEALS}: {objective}")
        dealt = dealt_exam(exam, split, objective, seed=split.seed + 1 + deal)
        found += _answers(dealt, split, systems, objective, say)
    columns = ["system", "criterion", "metric", "fold", "query", "cluster", "value"]
    return pd.DataFrame(found, columns=columns)


def lesson_leaks(exam: Exam, lesson: Lesson, fold: Fold) -> list[Leak]:
    """Whether a lesson holds anything of a fold's test tracks.

    Scalers, choices and weights come from the lesson alone, so that they are clean if it is.
    """
    learned = [track for track in lesson.tracks if track]
    found = choice_leaks([Choice("the lesson", fold.train[0], frozenset(learned))], fold.test)
    audio = dict(zip(exam.tracks["track_id"].astype(str), exam.tracks["audio_sha256"], strict=True))
    spans = exam.passages[["clip_id", "start_s", "end_s"]].assign(
        audio_sha256=exam.passages["track_id"].astype(str).map(audio)
    )
    spans = spans[spans["audio_sha256"].notna()]
    sides = [
        spans[spans["clip_id"].isin(ids)]
        for ids in (lesson.clips.ids, Questions(exam, fold, 0).clips.ids)
    ]
    return found + segment_leaks(*sides)


def _answers(
    exam: Exam, split: Split, systems: Sequence[System], dealt: Objective | None, say: Say
) -> list[dict[str, Any]]:
    """All folds; of a dealt examination only what was dealt is asked."""
    found: list[dict[str, Any]] = []
    for number, fold in enumerate(split.folds):
        questions = Questions(exam, fold, split.seed)
        try:
            lesson = lesson_of(exam, fold.train, seed=split.seed)
        except MessError as error:
            say(f"fold {number + 1} is passed over: {error.problem}")
            continue
        if len(questions.clips) == 0:
            continue
        assert_no_leaks(lesson_leaks(exam, lesson, fold), f"in the lesson of fold {number}")
        for system in systems:
            if dealt is not None and system.objective not in {None, dealt}:
                continue
            if dealt is None:
                say(f"fold {number + 1} of {len(split.folds)}: {system.name}")
            try:
                score = system.fit(lesson)
            except MessError as error:  # too little to learn from: it has no answers here
                say(f"{system.name} could not learn: {error.problem}")
                continue
            for row in questions.ask(score, shares_truth=system.shares_truth, objective=dealt):
                row["criterion"] += SHUFFLED if dealt else ""
                found.append({"system": system.name, "fold": number, **row})
    return found
