"""Retrieval metrics per query, as ir-measures (MacAvaney et al., 2022) computes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from mess_core.errors import MessError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["retrieval_metrics"]


def retrieval_metrics(
    relevance: Mapping[str, Mapping[str, int]],
    scores: Mapping[str, Mapping[str, float]],
    *,
    ks: Sequence[int] = (1, 10),
) -> pd.DataFrame:
    """Recall@K, reciprocal rank@K and nDCG@K of each query.

    Parameters
    ----------
    relevance : mapping of query to mapping of candidate to gain
        Gains are whole numbers; 0 is not relevant. Queries without a relevant candidate are
        left out: no system can answer them.
    scores : mapping of query to mapping of candidate to score
        Higher is nearer. The query itself must not be among its candidates.
    ks : sequence of int

    Returns
    -------
    DataFrame
        Index ``query``; columns ``R@K``, ``RR@K``, ``nDCG@K`` for each K.

    Raises
    ------
    MessError
        If a query has no scores, or is its own candidate.
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
            raise MessError(f"query {query!r} was not answered by the system")
        if query in scores[query]:
            raise MessError(f"query {query!r} is among its own candidates")
    measures = [measure @ k for k in ks for measure in (R, RR, nDCG)]
    answered = {query: dict(scores[query]) for query in answerable}
    found: dict[str, dict[str, float]] = {query: {} for query in answerable}
    for one in ir_measures.iter_calc(measures, answerable, answered):
        found[one.query_id][str(one.measure)] = float(one.value)
    columns = [str(measure) for measure in measures]
    table = pd.DataFrame.from_dict(found, orient="index", columns=columns)
    table.index.name = "query"
    return table
