"""Passages: which segments may be hits, and hits that do not overlap."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mess_core.errors import SearchError
from mess_core.search.index import PassageIndex

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FILTERS", "allowed_tracks", "parse_filters", "passage_hits"]

FILTERS = ("composer", "year", "split", "work_id", "performer", "dataset")
"""Columns of the track table that passages can be restricted by."""


def allowed_tracks(
    tracks: pd.DataFrame,
    indexed: set[str],
    query: str | None,
    *,
    where: Mapping[str, Any] | None = None,
    include_own: bool = False,
    same_work: bool = False,
    other_performer: bool = False,
) -> set[str]:
    """Tracks whose passages may be hits.

    Parameters
    ----------
    tracks : DataFrame
        The track table.
    indexed : set of str
        Tracks of the index. Those that are no longer in the table are hits until the index is
        built again, unless something is to be filtered by.
    query : str or None
        The query's track, if it is one of the library.
    where : mapping, optional
        Column of `FILTERS` to a value, or to several of which one must hold.
    include_own, same_work, other_performer : bool
        Whether the query's own track counts; only its work; only known other performers.

    Raises
    ------
    SearchError
        If a column cannot be filtered by, the query has no work or performer to compare, or no
        track is left.
    """
    kept = np.ones(len(tracks), dtype=bool)
    for column, wanted in (where or {}).items():
        if column not in FILTERS or column not in tracks:
            raise SearchError(
                f"passages cannot be filtered by {column!r}", remedy=f"One of: {', '.join(FILTERS)}"
            )
        several = isinstance(wanted, Collection) and not isinstance(wanted, str)
        kept &= tracks[column].isin(list(wanted) if several else [wanted]).to_numpy()
    ids = tracks["track_id"].astype(str)
    if query is not None and same_work:
        kept &= (tracks["work_id"] == _known(tracks, "work_id", query)).to_numpy()
    if query is not None and other_performer:
        player = _known(tracks, "performer", query)
        kept &= (tracks["performer"].notna() & (tracks["performer"] != player)).to_numpy()
    filtered = bool(where) or (query is not None and (same_work or other_performer))
    found = indexed & set(ids[kept]) if filtered else set(indexed)
    if query is not None and not include_own:
        found.discard(query)
    if not found and len(indexed) > 1:
        raise SearchError("no track passes the filters", remedy="Leave one of them out")
    return found


def parse_filters(pairs: Sequence[str]) -> dict[str, list[Any]]:
    """Read ``COLUMN=VALUE`` pairs; several of one column are alternatives.

    Raises
    ------
    SearchError
        If a pair has no equals sign, or a year is not a number.

    Examples
    --------
    >>> parse_filters(["composer=Liszt", "year=2004", "year=2006"])
    {'composer': ['Liszt'], 'year': [2004, 2006]}
    """
    found: dict[str, list[Any]] = {}
    for pair in pairs:
        column, equals, value = pair.partition("=")
        if not equals or (column == "year" and not value.strip().isdigit()):
            raise SearchError(
                f"the filter {pair!r} is not COLUMN=VALUE", remedy="For example composer=Liszt"
            )
        found.setdefault(column, []).append(int(value) if column == "year" else value)
    return found


def passage_hits(
    index: PassageIndex,
    rows: pd.DataFrame,
    query: NDArray[np.float32],
    k: int,
    *,
    tracks: set[str],
    taken: tuple[str, float, float] | None = None,
) -> pd.DataFrame:
    """The `k` best passages among `tracks`, of which no two of one track overlap.

    Parameters
    ----------
    index : PassageIndex
    rows : DataFrame
        ``track_id, start_s, end_s`` of every vector.
    query : ndarray, float32, shape [dim]
        Unit vector.
    k : int
    tracks : set of str
        Applied inside the index, so that rare tracks are found too.
    taken : tuple of track_id, start_s, end_s, optional
        The query itself: nothing that overlaps it is a hit.

    Returns
    -------
    DataFrame
        ``track_id, start_s, end_s, score``, best first.
    """
    import pandas as pd

    all_of_them = set(rows["track_id"]) <= tracks
    allowed = None
    if not all_of_them:
        allowed = np.flatnonzero(rows["track_id"].isin(tracks).to_numpy()).astype(np.int64)
    hits: list[dict[str, Any]] = []
    if allowed is None or len(allowed):
        want = max(4 * k, 64)
        while True:
            scores, found = index.search(query, want, allowed=allowed)
            hits = _without_overlaps(rows, scores, found, taken, k)
            if len(hits) >= k or len(found) < want or want >= len(index):
                break
            want *= 4
    return pd.DataFrame(hits, columns=["track_id", "start_s", "end_s", "score"])


def _known(tracks: pd.DataFrame, column: str, query: str) -> str:
    known = tracks.loc[tracks["track_id"].astype(str) == query, column].dropna()
    if known.empty:
        raise SearchError(f"track {query!r} has no {column} to compare by")
    return str(known.iloc[0])


def _without_overlaps(
    rows: pd.DataFrame,
    scores: NDArray[np.float64],
    found: NDArray[np.int64],
    taken: tuple[str, float, float] | None,
    k: int,
) -> list[dict[str, Any]]:
    """Best-first hits; a segment that overlaps a better one of its track is left out."""
    ids, starts, ends = (rows[name].to_numpy() for name in ("track_id", "start_s", "end_s"))
    spans: dict[str, list[tuple[float, float]]] = {} if taken is None else {taken[0]: [taken[1:]]}
    hits: list[dict[str, Any]] = []
    for score, row in zip(scores, found, strict=True):
        mine = spans.setdefault(ids[row], [])
        if any(starts[row] < end and begin < ends[row] for begin, end in mine):
            continue
        mine.append((starts[row], ends[row]))
        hits.append(
            {
                "track_id": ids[row],
                "start_s": float(starts[row]),
                "end_s": float(ends[row]),
                "score": float(score),
            }
        )
        if len(hits) == k:
            break
    return hits
