"""All systems on triplets that judges answered: do they side with the majority?

A system that learns answers only triplets whose three tracks are tested in one fold, fitted
on that fold's training tracks; the others answer all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mess_core.evaluation.protocol import Exam, lesson_of
from mess_core.evaluation.splits import Split
from mess_core.evaluation.systems import System

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CRITERION", "examine_judgements", "majority"]

CRITERION = "judged triplets"


def majority(judgements: pd.DataFrame) -> pd.Series:
    """Share of judges who said "a", by triplet: first answers of judges, attention checks left out.

    Parameters
    ----------
    judgements : DataFrame
        As `read_judgements` gives.
    """
    kept = judgements[~judgements["repeat"] & ~judgements["attention"]]
    share = (kept["answer"] == "a").groupby(kept["triplet_id"]).mean()
    return share[share != 0.5]


def examine_judgements(
    exam: Exam,
    split: Split,
    systems: Sequence[System],
    triplets: pd.DataFrame,
    judgements: pd.DataFrame,
) -> pd.DataFrame:
    """Ask every system what judges were asked.

    Parameters
    ----------
    exam : Exam
    split : Split
    systems : sequence of System
    triplets : DataFrame
        As `sample_triplets` gives, of the exam's passages; others are passed over.
    judgements : DataFrame

    Returns
    -------
    DataFrame
        ``system, criterion, metric, fold, query, cluster, value``; clusters are x's works.
    """
    import pandas as pd

    said = majority(judgements)
    row_of = {
        (str(row.track_id), round(float(row.start_s), 3)): number
        for number, row in enumerate(exam.passages.itertuples())
    }
    asked: list[tuple[str, tuple[int, int, int], bool]] = []
    for row in triplets.itertuples():
        sides = [
            row_of.get((getattr(row, f"{side}_track"), round(getattr(row, f"{side}_start_s"), 3)))
            for side in "xab"
        ]
        if row.triplet_id in said.index and None not in sides:
            x, a, b = (int(one) for one in sides if one is not None)
            asked.append((str(row.triplet_id), (x, a, b), bool(said[row.triplet_id] > 0.5)))
    fold_of = split.fold_of()
    tracks = exam.passages["track_id"].astype(str).tolist()
    works = exam.passages["work_id"].tolist()
    found: list[dict[str, Any]] = []
    lessons = [lesson_of(exam, fold.train, seed=split.seed) for fold in split.folds]
    for system in systems:
        learns = system.objective is not None
        scored: dict[int, Any] = {}
        for name, sides3, a_is_nearer in asked:
            folds = {fold_of.get(tracks[one]) for one in sides3}
            if learns and (len(folds) > 1 or None in folds):
                continue
            fold = fold_of.get(tracks[sides3[0]], 0)
            if fold not in scored:
                scored[fold] = system.fit(lessons[fold])
            similarity = scored[fold](exam.clips.take(sides3))
            difference = similarity[0, 1] - similarity[0, 2]
            right = 0.5 if difference == 0 else float((difference > 0) == a_is_nearer)
            found.append(
                {
                    "system": system.name,
                    "criterion": CRITERION,
                    "metric": "triplets",
                    "fold": fold,
                    "query": name,
                    "cluster": works[sides3[0]],
                    "value": right,
                }
            )
    columns = ["system", "criterion", "metric", "fold", "query", "cluster", "value"]
    return pd.DataFrame(found, columns=columns).astype({"value": np.float64})
