"""All systems on triplets that listeners answered: do they side with the majority?

A system that learns anything answers only triplets whose three tracks are tested in one
fold, fitted on that fold's training tracks; the others answer all. Triplets that were
chosen because two systems disagree are a criterion of their own: of those two, one is
right by construction, so they say nothing about how good either is in general.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mess_core.errors import MessError
from mess_core.evaluation.data import BenchmarkData, select_training_set
from mess_core.evaluation.splits import Split
from mess_core.evaluation.systems import System

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CRITERION", "DISAGREEMENT", "evaluate_on_listeners", "majority"]

CRITERION = "judged triplets"
DISAGREEMENT = "disagreement"
_FEWEST_VOTES = 3


def majority(judgements: pd.DataFrame, *, fewest: int = _FEWEST_VOTES) -> pd.Series:
    """Share of listeners who said "a", by triplet; ties are left out.

    Parameters
    ----------
    judgements : DataFrame
        As `read_judgements` gives. First answers count; repeats and attention checks do not.
    fewest : int
        Judges that a triplet needs: one vote is no majority.
    """
    kept = judgements[~judgements["repeat"] & ~judgements["attention"]]
    said = (kept["answer"] == "a").groupby(kept["triplet_id"])
    share = said.mean()[said.size() >= fewest]
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
    """Ask every system what listeners were asked.

    Parameters
    ----------
    benchmark : BenchmarkData
    split : Split
    systems : sequence of System
    triplets : DataFrame
        As `sample_triplets` gives, of the benchmark's passages; how many are of others is said.
    judgements : DataFrame
    say : callable
        Called with lines of progress.

    Returns
    -------
    DataFrame
        ``system, criterion, metric, fold, query, cluster, value``; clusters are x's works.
        Criteria are "judged triplets" (all but those of disagreement) and one per kind.
    """
    import pandas as pd

    asked = _asked(benchmark, triplets, majority(judgements), say)
    fold_of = split.fold_of()
    tracks = benchmark.passages["track_id"].astype(str).tolist()
    works = benchmark.passages["work_id"].tolist()
    found: list[dict[str, Any]] = []
    for system in systems:
        scored: dict[int, Any] = {}
        for name, kind, sides, a_is_nearer in asked:
            folds = {fold_of.get(tracks[one]) for one in sides}
            if system.learns and (len(folds) > 1 or None in folds):
                continue
            fold = fold_of.get(tracks[sides[0]], 0)
            if fold not in scored:
                scored[fold] = _fitted(system, benchmark, split, fold, say)
            if scored[fold] is None:
                continue
            similarity = scored[fold](benchmark.clips.take(sides))
            difference = similarity[0, 1] - similarity[0, 2]
            right = 0.5 if difference == 0 else float((difference > 0) == a_is_nearer)
            pooled = [] if kind == DISAGREEMENT else [CRITERION]
            for criterion in (*pooled, f"{CRITERION}: {kind}"):
                found.append(
                    {
                        "system": system.name,
                        "criterion": criterion,
                        "metric": "triplets",
                        "fold": fold,
                        "query": name,
                        "cluster": works[sides[0]],
                        "value": right,
                    }
                )
    columns = ["system", "criterion", "metric", "fold", "query", "cluster", "value"]
    return pd.DataFrame(found, columns=columns).astype({"value": np.float64})


def _asked(
    benchmark: BenchmarkData, triplets: pd.DataFrame, said: pd.Series, say: Callable[[str], None]
) -> list[tuple[str, str, tuple[int, int, int], bool]]:
    """Answered triplets: name, kind, rows of x, a and b in the benchmark, whether a is nearer."""
    row_of = {
        (str(row.track_id), round(float(row.start_s), 3)): number
        for number, row in enumerate(benchmark.passages.itertuples())
    }
    found, gone = [], 0
    for row in triplets[triplets["triplet_id"].isin(said.index)].itertuples():
        places = [
            row_of.get(
                (str(getattr(row, f"{side}_track")), round(getattr(row, f"{side}_start_s"), 3))
            )
            for side in "xab"
        ]
        if None in places:
            gone += 1
            continue
        x, a, b = (int(one) for one in places if one is not None)
        nearer = bool(said[row.triplet_id] > 0.5)
        found.append((str(row.triplet_id), str(row.kind), (x, a, b), nearer))
    if gone:
        say(f"{gone} judged triplets are of passages that are no longer there: left out")
    return found


def _fitted(
    system: System, benchmark: BenchmarkData, split: Split, fold: int, say: Callable[[str], None]
) -> Any | None:
    """A system fitted on a fold's training tracks; None if it finds too little to learn."""
    try:
        return system.fit(select_training_set(benchmark, split.folds[fold].train, seed=split.seed))
    except MessError as error:
        say(f"{system.name} could not learn: {error.problem}")
        return None
