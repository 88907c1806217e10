"""Cross-validated comparison of systems on a frozen split.

In every fold, each system is fitted on clips of the training tracks and evaluated on clips of the
test tracks only (`mess_core.evaluation.ground_truth`). The comparison is then repeated with
permuted labels as a control (`mess_core.evaluation.permuted_labels`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from mess_core.errors import TooLittleError
from mess_core.evaluation.data import BenchmarkData, TrainingSet, select_training_set
from mess_core.evaluation.ground_truth import FoldQueries
from mess_core.evaluation.leaks import (
    Leak,
    assert_no_leaks,
    overlap,
    segment_leaks,
    track_leaks,
)
from mess_core.evaluation.permuted_labels import PERMUTATIONS, PERMUTED, permuted_benchmark
from mess_core.evaluation.splits import Fold, Split
from mess_core.evaluation.systems import System
from mess_core.processes import in_processes
from mess_core.ranking.triplets import Objective

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["evaluate_systems", "training_set_leaks"]

Floats = NDArray[np.float64]
Say = Callable[[str], None]


def evaluate_systems(
    benchmark: BenchmarkData,
    split: Split,
    systems: Sequence[System],
    *,
    permutations: int | None = None,
    workers: int | None = None,
    say: Say = lambda _: None,
) -> pd.DataFrame:
    """Fit and evaluate every system in every fold, on true and on permuted labels.

    Parameters
    ----------
    benchmark : BenchmarkData
    split : Split
    systems : sequence of System
    permutations : int, optional
        Permutations of each objective's labels, the control; `PERMUTATIONS` by default.
    workers : int, optional
        Processes, see `mess_core.processes.in_processes`; scores do not depend on their number.
    say : callable
        Called with progress messages.

    Returns
    -------
    DataFrame
        ``system, criterion, metric, fold, query, cluster, value``: one row per query and metric;
        clusters are works. Criteria that end with " (permuted)" use several permutations of the
        labels (`permuted_benchmark`), for fitting and for evaluation alike; models are evaluated
        only on permutations of their own objective.

    Raises
    ------
    DatasetError
        If the split, or a training set made with it, leaks.
    TooLittleError
        If no fold has both training and test passages. A system that has too little to learn
        from in a fold has no rows for it.
    """
    import pandas as pd

    for number, fold in enumerate(split.folds):
        assert_no_leaks(track_leaks(benchmark.tracks, fold, split.by), f"in fold {number}")
    count = PERMUTATIONS if permutations is None else permutations
    seeds = [split.seed + 1 + number for number in range(count)]
    content, expression = (
        tuple(_Labels(one, seed) for seed in seeds) for one in get_args(Objective)
    )
    jobs = [
        _Job(benchmark, split, systems, number, labels)
        for number in range(len(split.folds))
        for labels in ((_TRUE, *content), expression)
        if labels
    ]
    found: list[dict[str, Any]] = []
    for number, (job, (rows, problems)) in enumerate(
        zip(jobs, in_processes(_evaluate, jobs, workers=workers), strict=True)
    ):
        for problem in problems:
            say(problem)
        say(f"fold {job.number + 1} of {len(split.folds)}: part {number + 1} of {len(jobs)} done")
        found += rows
    if not any(row["labels"] == _TRUE for row in found):
        raise TooLittleError(
            "no fold has both training and test passages",
            remedy="Add performances of more works, with MIDI",
        )
    order = {labels: place for place, labels in enumerate((_TRUE, *content, *expression))}
    columns = ["system", "criterion", "metric", "fold", "query", "cluster", "value"]
    found.sort(key=lambda row: order[row["labels"]])  # stable: by fold within
    return pd.DataFrame(found, columns=columns)


def training_set_leaks(
    benchmark: BenchmarkData, training_set: TrainingSet, fold: Fold
) -> list[Leak]:
    """Find test tracks and test segments of a fold in a training set.

    Scalers, hyperparameters and weights are derived from the training set alone, so that they do
    not leak if it does not.
    """
    found = overlap("track", filter(None, training_set.tracks), fold.test)
    audio = dict(
        zip(benchmark.tracks["track_id"].astype(str), benchmark.tracks["audio_sha256"], strict=True)
    )
    track = benchmark.passages["track_id"].astype(str)
    spans = benchmark.passages[["clip_id", "start_s", "end_s"]].assign(
        audio_sha256=track.map(audio), tested=track.isin(fold.test)
    )
    spans = spans[spans["audio_sha256"].notna()]
    learned = spans["clip_id"].isin(training_set.clips.ids)
    return found + segment_leaks(spans[learned], spans[spans["tested"]])


class _Labels(NamedTuple):
    """Which labels a part of an evaluation has: true ones, or permuted ones of an objective."""

    permuted: Objective | None
    seed: int = 0


_TRUE = _Labels(None)


@dataclass(frozen=True)
class _Job:
    """The evaluation of one fold with several labels, one after the other.

    They share a process, since the alignments of the test clips are the same for all.
    """

    benchmark: BenchmarkData
    split: Split
    systems: Sequence[System]
    number: int
    labels: tuple[_Labels, ...]


def _evaluate(job: _Job) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the rows of all labels of a job, and what could not be fitted."""
    found: list[dict[str, Any]] = []
    problems: list[str] = []
    with threadpool_limits(1):  # rounding must not depend on the number of processes
        for labels in job.labels:
            benchmark = job.benchmark
            if labels.permuted is not None:
                benchmark = permuted_benchmark(
                    benchmark, job.split, labels.permuted, seed=labels.seed
                )
            rows = _evaluate_fold(benchmark, job, labels.permuted, problems.append)
            found += [{**row, "labels": labels} for row in rows]
    return found, problems


def _evaluate_fold(
    benchmark: BenchmarkData, job: _Job, permuted: Objective | None, say: Say
) -> list[dict[str, Any]]:
    """Evaluate a fold; with permuted labels, only on the criteria that were permuted."""
    fold, seed = job.split.folds[job.number], job.split.seed
    queries = FoldQueries(benchmark, fold, seed)
    try:
        training_set = select_training_set(benchmark, fold.train, seed=seed)
    except TooLittleError as error:
        say(f"fold {job.number + 1} is skipped: {error.problem}")
        return []
    if len(queries.clips) == 0:
        return []
    assert_no_leaks(
        training_set_leaks(benchmark, training_set, fold),
        f"in the training set of fold {job.number}",
    )
    found: list[dict[str, Any]] = []
    for system in job.systems:
        if permuted is not None and system.objective not in {None, permuted}:
            continue
        try:
            rows = queries.evaluate(
                system.fit(training_set),
                uses_ground_truth=system.uses_ground_truth,
                objective=permuted,
            )
        except TooLittleError as error:  # too little to learn from, or nothing to align
            say(f"{system.name} could not be fitted: {error.problem}")
            continue
        for row in rows:
            row["criterion"] += PERMUTED if permuted else ""
            found.append({"system": system.name, "fold": job.number, **row})
    return found
