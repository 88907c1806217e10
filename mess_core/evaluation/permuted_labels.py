"""Permutation control: with permuted labels, every system must score at chance.

Labels are permuted over training and test tracks together; systems are then fitted on the permuted
training labels and evaluated on the permuted test labels. A system that has seen test labels in
training scores above chance; any other system does not.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mess_core.evaluation.splits import Split
from mess_core.ranking.triplets import Objective, shuffled_within
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
"""Suffix of the names of criteria with permuted labels."""

PERMUTATIONS = 3
"""Permutations per evaluation.

With a single permutation, similar systems would deviate from chance in the same direction.
"""

_FEWEST_CLUSTERS = 6
_THRESHOLD = 3.5  # standard errors: about one in two thousand


def permuted_benchmark(
    benchmark: BenchmarkData, split: Split, objective: Objective, *, seed: int
) -> BenchmarkData:
    """Return benchmark data with the labels of one objective permuted.

    Parameters
    ----------
    benchmark : BenchmarkData
    split : Split
        Content labels are permuted only among tracks of the same test fold.
    objective : {"content", "expression"}
        "content" permutes the passage ids. "expression" permutes the expression descriptors among
        performances of a passage, and which clip of each single-factor triplet is the nearer one.
    seed : int

    Returns
    -------
    BenchmarkData
    """
    if objective == "content":
        fold = split.fold_of()
        side = [str(fold.get(track, -1)) for track in benchmark.passages["track_id"].astype(str)]
        label = shuffled_within(benchmark.passages["passage_id"].to_numpy(), side, seed=seed)
        return replace(benchmark, passages=benchmark.passages.assign(passage_id=label))
    values = shuffled_within(benchmark.values, benchmark.passages["passage_id"].tolist(), seed=seed)
    rng = np.random.default_rng(seed)
    swapped = rng.random(len(benchmark.single_factor)) < 0.5
    triplet = np.arange(3 * len(swapped)).reshape(-1, 3)
    triplet[swapped] = triplet[swapped][:, [0, 2, 1]]
    clips = benchmark.single_factor_clips.take(triplet.ravel().tolist())
    return replace(benchmark, values=values, single_factor_clips=clips)


def permuted_players(answers: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    """Permute the players of each passage, so that ratings belong to other performances of it."""
    rng = np.random.default_rng(seed)
    player = answers["player"].astype(str)
    permuted = player.copy()
    for _, rows in player.groupby(answers["passage"], sort=True):
        names = np.unique(rows)
        permuted.loc[rows.index] = rows.map(dict(zip(names, rng.permutation(names), strict=True)))
    return answers.assign(player=permuted)


def control_table(answers: pd.DataFrame, passage_of: dict[str, str]) -> pd.DataFrame:
    """Compare each system's scores on permuted labels with chance.

    Parameters
    ----------
    answers : DataFrame
        ``system, criterion, metric, query, value``.
    passage_of : dict of str to str
        Query to its passage. Labels are permuted by passage, so that queries on the same passage
        are not independent.

    Returns
    -------
    DataFrame
        ``system, criterion, metric, off`` (mean minus chance), ``error`` (its standard error),
        ``clusters``, and ``suspicious``: whether the mean is more than 3.5 standard errors *above*
        chance, with at least six passages. Chance is 0.5 for triplets, and otherwise the score of
        the system "random" on the same queries.
    """
    import pandas as pd

    permuted = answers[answers["criterion"].str.endswith(PERMUTED)]
    keys = ["criterion", "metric", "query"]
    random = permuted[permuted["system"] == "random"].groupby(keys)["value"].mean()
    rows = []
    for (system, criterion, metric), part in permuted.groupby(["system", "criterion", "metric"]):
        if metric == "triplets":
            chance = np.full(len(part), 0.5)
        elif system == "random" or random.empty:
            continue
        else:
            chance = random.reindex(pd.MultiIndex.from_frame(part[keys])).to_numpy()
        clusters = [passage_of.get(str(query), str(query)) for query in part["query"]]
        found = clustered_mean(part["value"].to_numpy() - chance, clusters)
        error = (found.high - found.low) / 3.92
        suspicious = found.clusters >= _FEWEST_CLUSTERS and found.mean > _THRESHOLD * max(
            error, 1e-9
        )
        rows.append((system, criterion, metric, found.mean, error, found.clusters, suspicious))
    columns = ["system", "criterion", "metric", "off", "error", "clusters", "suspicious"]
    return pd.DataFrame(rows, columns=columns)


def check_controls(layout: Layout, name: str) -> Finding:
    """Check that no system scores above chance on permuted labels.

    A system that does has seen test labels in training. Each system is tested separately.
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
