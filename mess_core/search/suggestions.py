"""Queries to begin with: performances that stand out in an aspect of how they are played."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mess_core.probing.aspects import ASPECTS
from mess_core.probing.pipeline import in_probed_units
from mess_core.store.tables import read_table
from mess_core.targets.registry import targets

if TYPE_CHECKING:
    import pandas as pd

    from mess_core.search.query import Library

__all__ = ["PLAYED", "Suggestion", "suggested_queries"]

PLAYED = ("legato", "rubato", "expressiveness", "dynamics", "articulation", "crescendo", "tempo")
"""Aspects of how a piece is played, rather than of which piece it is."""

_CANDIDATES = 6
_SHOWN = 5


@dataclass(frozen=True)
class Suggestion:
    """A query to begin with.

    Attributes
    ----------
    track : str
        Track id.
    aspects : dict
        Aspect to weight; empty if no aspect is available.
    reason : str
        Why this performance stands out.
    """

    track: str
    aspects: dict[str, float]
    reason: str

    @property
    def command(self) -> str:
        """The query as typed."""
        names = f" --aspects {','.join(self.aspects)}" if self.aspects else ""
        return f"mess search {self.track}{names}"


def suggested_queries(library: Library, count: int = 3) -> list[Suggestion]:
    """Return queries whose results differ from those of a search without aspects.

    Each is for one available aspect of how a piece is played, the surest first, and by a
    performance that stands out among those of its work and in the library: the most detached, the
    freest, the one with the largest contrasts.

    Parameters
    ----------
    library : Library
    count : int
        At most as many; one without aspects if none is available.

    Examples
    --------
    >>> suggested_queries(mess.Library.open("data"))[0].command  # doctest: +SKIP
    'mess search demo_23_dramatic --aspects expressiveness'
    """
    played = [library.aspects[name] for name in PLAYED if library.aspects[name].available]
    if not played or not library.layout.proxy_targets.exists():
        return [_without_aspects(library)]
    table = read_table(library.layout.proxy_targets)
    table = table[table["track_id"].isin(library.track_ids)].reset_index(drop=True)
    found: list[Suggestion] = []
    for aspect in sorted(played, key=lambda one: -one.r2_low):
        suggestion = _standing_out(library, table, aspect.name, {one.track for one in found})
        if suggestion is not None:
            found.append(suggestion)
        if len(found) == count:
            break
    return found or [_without_aspects(library)]


def _without_aspects(library: Library) -> Suggestion:
    return Suggestion(library.track_ids[0], {}, "no aspect of the playing is available")


def _standing_out(
    library: Library, table: pd.DataFrame, aspect: str, taken: set[str]
) -> Suggestion | None:
    """Return the performance that is farthest from the usual and whose hits the aspect changes."""
    name = _supported(library, aspect)
    if name not in table or table[name].notna().sum() < _CANDIDATES:
        return None
    values = in_probed_units(table[[name]])[name]
    work = library.tracks.set_index("track_id")["work_id"].reindex(table["track_id"]).to_numpy()
    apart = _apart(values, work)
    order = np.argsort(-np.nan_to_num(np.abs(apart), nan=-1.0), kind="stable")
    for row in order[:_CANDIDATES].tolist():
        if not abs(apart[row]) > 0:
            break
        track = str(table["track_id"].iloc[row])
        if track not in taken and _changes(library, track, aspect):
            side = "high" if apart[row] > 0 else "low"
            unit = {one.name: one.unit for one in targets()}[name]
            value = float(table[name].iloc[row])
            shown = f"{value:.3g}" + ("" if unit == "1" else f" {unit}")
            return Suggestion(track, {aspect: 1.0}, f"its {name} is {side}: {shown}")
    return None


def _apart(values: pd.Series[float], work: NDArray[Any]) -> NDArray[np.float64]:
    """Return how far each performance is from the usual: in the library, and among its work's."""
    overall: NDArray[np.float64] = (values - values.median()).to_numpy()
    within = (values - values.groupby(work).transform("median")).to_numpy()
    if not np.nanmax(np.abs(within)) > 0:  # no work has two performances that differ
        return overall
    scaled = np.stack([one / np.nanstd(one) for one in (overall, within)])
    least = np.abs(scaled).min(axis=0)
    found: NDArray[np.float64] = np.where(
        np.sign(overall) == np.sign(within), np.sign(overall) * least, 0.0
    )
    return found


def _supported(library: Library, aspect: str) -> str:
    """Return the aspect's first target that was found to be predicted."""
    path = library.layout.probing / "summary.parquet"
    if path.exists():
        summary = read_table(path)
        found = summary.loc[summary["evidence"].astype(bool), "target"].tolist()
        return next((one for one in ASPECTS[aspect] if one in found), ASPECTS[aspect][0])
    return ASPECTS[aspect][0]


def _changes(library: Library, track: str, aspect: str) -> bool:
    plain, weighted = (
        set(library.similar(track, one, k=_SHOWN)["track_id"]) for one in (None, {aspect: 1.0})
    )
    return plain != weighted
