"""Retrieval metrics per query, computed with ir-measures (MacAvaney et al., 2022)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mess_core.errors import MessError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["nearest_first", "retrieval_metrics"]


def nearest_first(scores: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Return indices that sort scores from highest to lowest, with ties in random order.

    Parameters
    ----------
    scores : ndarray, float64, shape [candidates]
    rng : numpy.random.Generator

    Returns
    -------
    ndarray, int64, shape [candidates]
    """
    order: NDArray[np.int64] = np.lexsort((rng.random(len(scores)), -scores))
    return order


def retrieval_metrics(
    relevance: Mapping[str, Mapping[str, int]],
    scores: Mapping[str, Mapping[str, float]],
    *,
    ks: Sequence[int] = (1, 10),
    seed: int = 0,
) -> pd.DataFrame:
    """Compute recall@K, reciprocal rank@K and nDCG@K of each query.

    Parameters
    ----------
    relevance : mapping of query to mapping of candidate to gain
        Gains are integers; 0 means not relevant. Queries without a relevant candidate are left
        out.
    scores : mapping of query to mapping of candidate to score
        Higher is nearer; ties are broken at random. The query itself must not be among its
        candidates. Only the first ``max(ks)`` candidates are needed.
    ks : sequence of int
        Cutoff ranks.
    seed : int
        Random seed for breaking ties.

    Returns
    -------
    DataFrame
        Index ``query``; columns ``R@K``, ``RR@K``, ``nDCG@K`` for each K.

    Raises
    ------
    MessError
        If a query has no scores, or is among its own candidates.
    """
    import ir_measures
    import pandas as pd
    from ir_measures import RR, R, nDCG

    answerable = {
        query: {doc: int(gain) for doc, gain in gains.items()}
        for query, gains in relevance.items()
        if any(gain > 0 for gain in gains.values())
    }
    for query in answerable:
        if query not in scores:
            raise MessError(f"query {query!r} has no scores")
        if query in scores[query]:
            raise MessError(f"query {query!r} is among its own candidates")
    measures = [measure @ k for k in ks for measure in (R, RR, nDCG)]
    rng = np.random.default_rng(seed)
    runs = {query: _as_ranks(scores[query], rng) for query in answerable}
    found: dict[str, dict[str, float]] = {query: {} for query in answerable}
    for one in ir_measures.iter_calc(measures, answerable, runs):
        found[one.query_id][str(one.measure)] = float(one.value)
    columns = [str(measure) for measure in measures]
    table = pd.DataFrame.from_dict(found, orient="index", columns=columns)
    table.index.name = "query"
    return table


def _as_ranks(scores: Mapping[str, float], rng: np.random.Generator) -> dict[str, float]:
    """Replace scores by distinct ranks.

    ir-measures stores scores in single precision and orders ties by name.
    """
    names = list(scores)
    order = nearest_first(np.array([scores[name] for name in names], dtype=np.float64), rng)
    return {names[index]: float(-rank) for rank, index in enumerate(order.tolist())}
