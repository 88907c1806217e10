"""Explain a hit: how similar it is in each aspect compared with the whole library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mess_core.probing.aspects import ASPECTS, Aspect
from mess_core.probing.pipeline import in_probed_units
from mess_core.targets.registry import targets

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["explain_hit", "hit_reasons"]

_SHOWN = 2

_COLUMNS = [
    "aspect", "confidence", "similarity", "percentile", "target", "query", "hit", "unit",
    "apart_sd",
]  # fmt: skip


def explain_hit(
    query: str,
    hit: str,
    similarity: Mapping[str, NDArray[np.float64]],
    track_ids: list[str],
    aspects: Mapping[str, Aspect],
    table: pd.DataFrame,
) -> pd.DataFrame:
    """Return one row per aspect and target, the most similar aspect first.

    Parameters
    ----------
    query, hit : str
        Track ids.
    similarity : mapping of aspect to ndarray, float64, shape [tracks]
        Similarity of the query to every track of the index.
    track_ids : list of str
        Track ids in the order of the index.
    aspects : mapping of name to Aspect
    table : DataFrame
        Proxy targets, with ``track_id``.

    Returns
    -------
    DataFrame
        ``aspect, confidence, similarity, percentile`` (percentage of the other tracks that are
        less similar), ``target, query, hit, unit`` (the target's values) and ``apart_sd`` (their
        difference in standard deviations of the library, of log2 values where probing uses them).
    """
    import pandas as pd

    row_of = {track: row for row, track in enumerate(track_ids)}
    scaled = in_probed_units(table).set_axis(table["track_id"].astype(str), axis=0)
    plain = table.set_axis(table["track_id"].astype(str), axis=0)
    spread = scaled.std(ddof=0)
    units = {one.name: one.unit for one in targets()}
    rows: list[dict[str, Any]] = []
    for name, values in similarity.items():
        others = np.delete(values, row_of[query])
        similar = float(values[row_of[hit]])
        below = 100 * float((others < similar).sum()) / max(1, len(others) - 1)
        for target in ASPECTS.get(name, ()):
            gap = _value(scaled, hit, target) - _value(scaled, query, target)
            rows.append(
                {
                    "aspect": name,
                    "confidence": aspects[name].confidence,
                    "similarity": similar,
                    "percentile": below,
                    "target": target,
                    "query": _value(plain, query, target),
                    "hit": _value(plain, hit, target),
                    "unit": units[target],
                    "apart_sd": abs(gap) / spread[target] if spread[target] > 0 else float("nan"),
                }
            )
    found = pd.DataFrame(rows, columns=_COLUMNS)
    return found.sort_values("percentile", ascending=False, kind="stable", ignore_index=True)


def hit_reasons(
    query: str,
    hits: Sequence[str],
    similarity: Mapping[str, NDArray[np.float64]],
    track_ids: list[str],
    table: pd.DataFrame,
) -> list[dict[str, Any]]:
    """Return, for each hit, its percentile in every aspect and the targets nearest and farthest.

    Parameters
    ----------
    query, similarity, track_ids, table
        As in `explain_hit`.
    hits : sequence of str
        Track ids.

    Returns
    -------
    list of dict
        ``track_id``; ``percentiles``: aspect to the percentage of the other tracks that are less
        similar to the query; ``closest`` and ``farthest``: up to two targets each, as dicts of
        ``target, unit, query, hit, apart_sd``.
    """
    row_of = {track: row for row, track in enumerate(track_ids)}
    scaled = in_probed_units(table).set_axis(table["track_id"].astype(str), axis=0)
    plain = table.set_axis(table["track_id"].astype(str), axis=0)
    spread = scaled.std(ddof=0)
    known = [one for one in targets() if spread.get(one.name, 0) > 0]
    others = {name: np.delete(values, row_of[query]) for name, values in similarity.items()}
    found = []
    for hit in hits:
        apart = []
        for one in known:
            gap = abs(_value(scaled, hit, one.name) - _value(scaled, query, one.name))
            if np.isfinite(gap):
                pair = {
                    "query": _value(plain, query, one.name),
                    "hit": _value(plain, hit, one.name),
                }
                sd = gap / spread[one.name]
                apart.append({"target": one.name, "unit": one.unit, **pair, "apart_sd": sd})
        apart.sort(key=lambda one: one["apart_sd"])
        percentiles = {
            name: 100 * float((others[name] < values[row_of[hit]]).sum()) / max(1, len(values) - 2)
            for name, values in similarity.items()
        }
        ends = {"closest": apart[:_SHOWN], "farthest": apart[_SHOWN:][-_SHOWN:][::-1]}
        found.append({"track_id": hit, "percentiles": percentiles, **ends})
    return found


def _value(table: pd.DataFrame, track: str, target: str) -> float:
    return float(table.at[track, target]) if track in table.index else float("nan")
