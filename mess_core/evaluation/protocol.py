"""Cross-validated comparison of systems on a frozen split.

In every fold, each system is fitted on clips of the training tracks and evaluated on clips of the
test tracks only (`mess_core.evaluation.ground_truth`). The comparison is then repeated with
permuted labels as a control (`mess_core.evaluation.permuted_labels`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from numpy.typing import NDArray

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
    found = _evaluate_folds(benchmark, split, systems, None, say)
    if not found:
        raise TooLittleError(
            "no fold has both training and test passages",
            remedy="Add performances of more works, with MIDI",
        )
    count = PERMUTATIONS if permutations is None else permutations
    for objective, number in itertools.product(get_args(Objective), range(count)):
        say(f"permuted {objective} labels: permutation {number + 1} of {count}")
        permuted = permuted_benchmark(benchmark, split, objective, seed=split.seed + 1 + number)
        found += _evaluate_folds(permuted, split, systems, objective, say)
    columns = ["system", "criterion", "metric", "fold", "query", "cluster", "value"]
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


def _evaluate_folds(
    benchmark: BenchmarkData,
    split: Split,
    systems: Sequence[System],
    permuted: Objective | None,
    say: Say,
) -> list[dict[str, Any]]:
    """Evaluate all folds; with permuted labels, only on the criteria that were permuted."""
    found: list[dict[str, Any]] = []
    for number, fold in enumerate(split.folds):
        queries = FoldQueries(benchmark, fold, split.seed)
        try:
            training_set = select_training_set(benchmark, fold.train, seed=split.seed)
        except TooLittleError as error:
            say(f"fold {number + 1} is skipped: {error.problem}")
            continue
        if len(queries.clips) == 0:
            continue
        assert_no_leaks(
            training_set_leaks(benchmark, training_set, fold),
            f"in the training set of fold {number}",
        )
        for system in systems:
            if permuted is not None and system.objective not in {None, permuted}:
                continue
            if permuted is None:
                say(f"fold {number + 1} of {len(split.folds)}: {system.name}")
            try:
                score = system.fit(training_set)
            except TooLittleError as error:  # too little to learn from in this fold
                say(f"{system.name} could not be fitted: {error.problem}")
                continue
            for row in queries.evaluate(
                score, uses_ground_truth=system.uses_ground_truth, objective=permuted
            ):
                row["criterion"] += PERMUTED if permuted else ""
                found.append({"system": system.name, "fold": number, **row})
    return found
