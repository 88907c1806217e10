"""One examination for all systems: who is asked what, on which side of which fold.

For every fold of a frozen split each system is fitted on the training tracks' clips and
asked about the test tracks' clips only (`mess_core.evaluation.truths`), then the same
again on truths that were dealt anew (`mess_core.evaluation.controls`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from numpy.typing import NDArray

from mess_core.errors import MessError, TooLittleError
from mess_core.evaluation.controls import DEALS, SHUFFLED, dealt_exam
from mess_core.evaluation.leaks import (
    Choice,
    Leak,
    assert_no_leaks,
    choice_leaks,
    segment_leaks,
    track_leaks,
)
from mess_core.evaluation.splits import Fold, Split
from mess_core.evaluation.systems import Lesson, System
from mess_core.evaluation.truths import Questions
from mess_core.ranking.clips import Clips
from mess_core.ranking.pairs import Objective

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Exam", "examine", "lesson_leaks", "lesson_of"]

Floats = NDArray[np.float64]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Exam:
    """Everything that systems are examined on.

    Attributes
    ----------
    tracks : DataFrame
        The track table.
    passages : DataFrame
        As `find_passages` gives; one row per clip of the library.
    clips : Clips
        In the order of ``passages``.
    values : ndarray, float64, shape [clips, descriptors]
        Expression descriptors.
    planted : DataFrame
        ``factor, clip_id`` (of the source) per single-factor triplet.
    planted_clips : Clips
        x, near, far of each triplet, one after another.
    """

    tracks: pd.DataFrame
    passages: pd.DataFrame
    clips: Clips
    values: Floats
    planted: pd.DataFrame
    planted_clips: Clips


def lesson_of(exam: Exam, train: Sequence[str], *, seed: int = 0) -> Lesson:
    """What may be learned from some tracks.

    Raises
    ------
    MessError
        If none of them has a passage.
    """
    wanted = set(train)
    rows = np.flatnonzero(exam.passages["track_id"].astype(str).isin(wanted)).tolist()
    if not rows:
        raise MessError("no training track has a passage that others play, too")
    table = exam.passages.iloc[rows]
    track_of = dict(zip(exam.passages["clip_id"], exam.passages["track_id"], strict=True))
    work_of = dict(zip(exam.passages["clip_id"], exam.passages["work_id"], strict=True))
    kept = [
        number
        for number, clip in enumerate(exam.planted["clip_id"])
        if str(track_of.get(clip)) in wanted
    ]
    planted_rows = [3 * number + part for number in kept for part in range(3)]
    sources = [str(exam.planted["clip_id"].iloc[number]) for number in kept]
    library, planted = exam.clips.take(rows), exam.planted_clips.take(planted_rows)
    count = len(rows)
    return Lesson(
        clips=library + planted,
        passages=[*table["passage_id"], *(f"planted:{n}" for n in kept for _ in range(3))],
        performers=[*table["performer"], *([""] * len(planted_rows))],
        tracks=[*table["track_id"].astype(str), *([""] * len(planted_rows))],
        works=[*table["work_id"], *(str(work_of[one]) for one in sources for _ in range(3))],
        values=np.concatenate(
            [exam.values[rows], np.full((len(planted_rows), exam.values.shape[1]), np.nan)]
        ),
        planted=count + np.arange(len(planted_rows), dtype=np.int64).reshape(-1, 3),
        library=count,
        seed=seed,
    )


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
