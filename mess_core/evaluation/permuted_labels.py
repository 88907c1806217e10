"""Shuffled truths: what must be at chance if nothing of the test side is known in training.

The truth is permuted anew; systems are fitted to the permuted labels of training tracks and asked
about the labels of test tracks under the same deal. A system that saw a test label in training
knows it under the deal, too, and is above chance; one that hears anything true is not.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mess_core.evaluation.splits import Split
from mess_core.ranking.pairs import Objective, shuffled_within
from mess_core.statistics import clustered_mean
from mess_core.store.cache import CachedTable
from mess_core.store.findings import EXAMPLES, Finding
from mess_core.store.layout import Layout
from mess_core.store.tables import read_table

if TYPE_CHECKING:
    import pandas as pd

    from mess_core.evaluation.data import BenchmarkData

__all__ = [
    "PERMUTATIONS",
    "PERMUTED",
    "check_controls",
    "control_table",
    "permuted_benchmark",
    "permuted_players",
]

PERMUTED = " (permuted)"
"""What the names of such criteria end with."""

PERMUTATIONS = 3
"""Deals of an examination: after one alone, all that is alike is above or below chance alike."""

_FEWEST_CLUSTERS = 6
_SURE = 3.5  # standard errors: one in two thousand


def permuted_benchmark(
    benchmark: BenchmarkData, split: Split, objective: Objective, *, seed: int
) -> BenchmarkData:
    """An examination whose truth of one kind is permuted anew.

    Parameters
    ----------
    benchmark : BenchmarkData
    split : Split
        Labels of content stay on the side of the fold that they are on.
    objective : {"content", "expression"}
        Which clips are of one passage; or which way each performance of a passage is played,
        and which of two planted clips is the nearer one.
    seed : int
    """
    rng = np.random.default_rng(seed)
    if objective == "content":
        fold = split.fold_of()
        side = [str(fold.get(track, -1)) for track in benchmark.passages["track_id"].astype(str)]
        order = np.arange(len(side))
        for name in np.unique(side):
            rows = np.flatnonzero(np.asarray(side) == name)
            order[rows] = rng.permutation(rows)
        label = benchmark.passages["passage_id"].to_numpy()[order]
        return replace(benchmark, passages=benchmark.passages.assign(passage_id=label))
    values = shuffled_within(benchmark.values, benchmark.passages["passage_id"].tolist(), seed=seed)
    swapped = rng.random(len(benchmark.single_factor)) < 0.5
    triplet = np.arange(3 * len(swapped)).reshape(-1, 3)
    triplet[swapped] = triplet[swapped][:, [0, 2, 1]]
    planted = benchmark.single_factor_clips.take(triplet.ravel().tolist())
    return replace(benchmark, values=values, single_factor_clips=planted)


def permuted_players(answers: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    """Raters' answers with the players of each passage given each other's ratings."""
    rng = np.random.default_rng(seed)
    player = answers["player"].astype(str)
    permuted = player.copy()
    for _, rows in player.groupby(answers["passage"], sort=True):
        names = np.unique(rows)
        permuted.loc[rows.index] = rows.map(dict(zip(names, rng.permutation(names), strict=True)))
    return answers.assign(player=permuted)


def control_table(answers: pd.DataFrame, passage_of: dict[str, str]) -> pd.DataFrame:
    """How far each system is from chance on shuffled truths.

    Parameters
    ----------
    answers : DataFrame
        ``system, criterion, metric, query, value``.
    passage_of : dict of str to str
        Query to the passage whose truth was permuted: queries of one are not independent.

    Returns
    -------
    DataFrame
        ``system, criterion, metric, off`` (mean minus chance), ``error`` (its standard error),
        ``clusters, suspicious``: more than 3.5 errors *above* chance, in at least six passages.
        Chance is 0.5 for triplets, else what the system "random" has on the same queries.
    """
    import pandas as pd

    shuffled = answers[answers["criterion"].str.endswith(PERMUTED)]
    keys = ["criterion", "metric", "query"]
    random = shuffled[shuffled["system"] == "random"].groupby(keys)["value"].mean()  # over deals
    rows = []
    for (system, criterion, metric), part in shuffled.groupby(["system", "criterion", "metric"]):
        if metric == "triplets":
            chance = np.full(len(part), 0.5)
        elif system == "random" or random.empty:
            continue
        else:
            chance = random.reindex(pd.MultiIndex.from_frame(part[keys])).to_numpy()
        clusters = [passage_of.get(str(query), str(query)) for query in part["query"]]
        found = clustered_mean(part["value"].to_numpy() - chance, clusters)
        error = (found.high - found.low) / 3.92
        sure = found.clusters >= _FEWEST_CLUSTERS and found.mean > _SURE * max(error, 1e-9)
        rows.append((system, criterion, metric, found.mean, error, found.clusters, sure))
    columns = ["system", "criterion", "metric", "off", "error", "clusters", "suspicious"]
    return pd.DataFrame(rows, columns=columns)


def check_controls(layout: Layout, name: str) -> Finding:
    """On shuffled truths no system is above chance, each looked at by itself.

    A system that is has seen test labels in training.
    """
    answers = CachedTable(layout.evaluation / name).table()
    passages = read_table(layout.passages) if layout.passages.exists() else None
    passage_of = (
        {}
        if passages is None
        else dict(zip(passages["clip_id"], passages["passage_id"], strict=True))
    )
    table = control_table(answers, passage_of)
    suspicious = table[table["suspicious"]]
    facts: dict[str, object] = {
        "systems": int(table["system"].nunique()),
        "criteria": int(table["criterion"].nunique()),
        "suspicious": [
            f"{row.system} on {row.criterion} ({row.metric}): {row.off:+.3f}"
            for row in suspicious.head(EXAMPLES).itertuples()
        ],
    }
    if len(table):
        worst = table.loc[table["off"].idxmax()]
        facts["highest"] = f"{worst.system} on {worst.criterion}: {worst.off:+.3f}"
    return Finding(suspicious.empty and len(table) > 0, facts)
