"""Evaluate systems on triplets from the listening test: do they agree with the majority?

Systems that learn are evaluated only on triplets whose three tracks are in the same test fold,
after being fitted on that fold's training tracks; the others are evaluated on all triplets.
Triplets that were selected because two systems disagree form a separate criterion: one of the
two systems is right by construction, so these triplets do not measure accuracy in general.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from mess_core.errors import TooLittleError
from mess_core.evaluation.data import BenchmarkData, TrainingSet, select_training_set
from mess_core.evaluation.splits import Split
from mess_core.evaluation.systems import System

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CRITERION", "DISAGREEMENT", "evaluate_on_listeners", "majority"]

CRITERION = "listener triplets"
DISAGREEMENT = "disagreement"
_FEWEST_VOTES = 3


def majority(judgements: pd.DataFrame, *, fewest: int = _FEWEST_VOTES) -> pd.Series:
    """Return the share of listeners who answered "a", by triplet; ties are left out.

    Parameters
    ----------
    judgements : DataFrame
        As returned by `read_judgements`. Repeats and attention checks are ignored.
    fewest : int
        Minimum number of listeners per triplet.

    Returns
    -------
    Series
        Share of "a", indexed by triplet id.
    """
    first = judgements[~judgements["repeat"] & ~judgements["attention"]]
    votes = (first["answer"] == "a").groupby(first["triplet_id"])
    share = votes.mean()[votes.size() >= fewest]
    return share[share != 0.5]


def evaluate_on_listeners(
    benchmark: BenchmarkData,
    split: Split,
    systems: Sequence[System],
    triplets: pd.DataFrame,
    judgements: pd.DataFrame,
    *,
    say: Callable[[str], None] = lambda _: None,
) -> pd.DataFrame:
    """Evaluate every system on the triplets that listeners answered.

    Parameters
    ----------
    benchmark : BenchmarkData
    split : Split
    systems : sequence of System
    triplets : DataFrame
        As returned by `sample_triplets`. Triplets of passages that the benchmark does not have
        are left out, and their number is reported.
    judgements : DataFrame
        As returned by `read_judgements`.
    say : callable
        Called with progress messages.

    Returns
    -------
    DataFrame
        ``system, criterion, metric, fold, query, cluster, value``; clusters are works of x.
        Criteria are "listener triplets" (all kinds except disagreement) and one per kind.
    """
    import pandas as pd

    queries = _listener_queries(benchmark, triplets, majority(judgements), say)
    fold_of = split.fold_of()
    tracks = benchmark.passages["track_id"].astype(str).tolist()
    works = benchmark.passages["work_id"].tolist()
    found: list[dict[str, Any]] = []
    # One training set per fold, so that the reranker finds the linear model already trained.
    training_set = cache(
        lambda fold: select_training_set(benchmark, split.folds[fold].train, seed=split.seed)
    )
    for system in systems:
        scorers: dict[int, Any] = {}
        for name, kind, rows, a_is_nearer in queries:
            folds = {fold_of.get(tracks[row]) for row in rows}
            if system.learns and (len(folds) > 1 or None in folds):
                continue
            fold = fold_of.get(tracks[rows[0]], 0)
            if fold not in scorers:
                scorers[fold] = _fit(system, partial(training_set, fold), say)
            if scorers[fold] is None:
                continue
            similarity = scorers[fold](benchmark.clips.take(rows))
            difference = similarity[0, 1] - similarity[0, 2]
            correct = 0.5 if difference == 0 else float((difference > 0) == a_is_nearer)
            pooled = [] if kind == DISAGREEMENT else [CRITERION]
            for criterion in (*pooled, f"{CRITERION}: {kind}"):
                found.append(
                    {
                        "system": system.name,
                        "criterion": criterion,
                        "metric": "triplets",
                        "fold": fold,
                        "query": name,
                        "cluster": works[rows[0]],
                        "value": correct,
                    }
                )
    columns = ["system", "criterion", "metric", "fold", "query", "cluster", "value"]
    return pd.DataFrame(found, columns=columns).astype({"value": np.float64})


def _listener_queries(
    benchmark: BenchmarkData, triplets: pd.DataFrame, share: pd.Series, say: Callable[[str], None]
) -> list[tuple[str, str, tuple[int, int, int], bool]]:
    """Return answered triplets as (id, kind, benchmark rows of x, a and b, whether a is nearer)."""
    row_of = {
        (str(row.track_id), round(float(row.start_s), 3)): number
        for number, row in enumerate(benchmark.passages.itertuples())
    }
    tracks = benchmark.passages["track_id"].astype(str).tolist()
    found, missing, heard = [], 0, 0
    for row in triplets[triplets["triplet_id"].isin(share.index)].itertuples():
        rows = [
            row_of.get(
                (str(getattr(row, f"{side}_track")), round(getattr(row, f"{side}_start_s"), 3))
            )
            for side in "xab"
        ]
        if None in rows:
            missing += 1
            continue
        x, a, b = (int(one) for one in rows if one is not None)
        if any(tracks[one] in benchmark.heard for one in (x, a, b)):
            heard += 1
            continue
        nearer = bool(share[row.triplet_id] > 0.5)
        found.append((str(row.triplet_id), str(row.kind), (x, a, b), nearer))
    if heard:
        say(f"{heard} listener triplets left out: the encoder was trained on their works")
    if missing:
        say(f"{missing} listener triplets left out: their passages are no longer stored")
    return found


def _fit(
    system: System, training_set: Callable[[], TrainingSet], say: Callable[[str], None]
) -> Any | None:
    """Fit a system on a fold's training tracks; return None if they are too few to learn from."""
    try:
        return system.fit(training_set())
    except TooLittleError as error:
        say(f"{system.name} could not be fitted: {error.problem}")
        return None
