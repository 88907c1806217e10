"""Passage search: filters on tracks, and hits that do not overlap."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mess_core.errors import SearchError
from mess_core.search.artifact import load_artifact
from mess_core.search.passage_index import PassageIndex

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "FILTERS",
    "PassageRows",
    "allowed_tracks",
    "load_passages",
    "parse_filters",
    "passage_hits",
]

FILTERS = ("composer", "year", "split", "work_id", "performer", "dataset")
"""Columns of the track table that hits can be filtered by."""


@dataclass(frozen=True)
class PassageRows:
    """The row table of a passage index as arrays.

    Attributes
    ----------
    tracks : ndarray, str, shape [tracks]
    track : ndarray, int64, shape [passages]
        Position in `tracks` of each passage's track.
    start_s, end_s : ndarray, float64, shape [passages]
        Seconds.
    """

    tracks: NDArray[np.object_]
    track: NDArray[np.int64]
    start_s: NDArray[np.float64]
    end_s: NDArray[np.float64]

    @classmethod
    def of(cls, rows: pd.DataFrame) -> PassageRows:
        """Convert a table with ``track_id, start_s, end_s``."""
        codes, tracks = rows["track_id"].astype(object).factorize()
        return cls(
            np.asarray(tracks, dtype=object),
            codes.astype(np.int64),
            rows["start_s"].to_numpy(dtype=np.float64),
            rows["end_s"].to_numpy(dtype=np.float64),
        )

    def of_track(self, track: str) -> NDArray[np.int64]:
        """Return the rows of a track."""
        position = np.flatnonzero(self.tracks == track)
        return np.flatnonzero(np.isin(self.track, position))

    def at(self, track: str, start_s: float) -> int:
        """Return the row of the passage of a track that begins nearest to a time in seconds.

        Raises
        ------
        SearchError
            If the track has no passages, or the time is outside it.
        """
        rows = self.of_track(track)
        if len(rows) == 0:
            raise SearchError(
                f"the passage index has no track {track!r}",
                remedy="Materialise passage_index again",
            )
        if not 0 <= start_s <= float(self.end_s[rows].max()):
            raise SearchError(f"{start_s} s is outside {track!r}")
        return int(rows[np.abs(self.start_s[rows] - start_s).argmin()])

    def allowed(self, tracks: set[str]) -> NDArray[np.bool_] | None:
        """Return a mask of the rows of these tracks, bool [passages]; None for all rows."""
        wanted = np.array([track in tracks for track in self.tracks], dtype=bool)
        return None if wanted.all() else wanted[self.track]


def load_passages(indices: Any) -> tuple[PassageIndex, PassageRows]:
    """Load the served passage index and its rows from a folder of indices.

    Raises
    ------
    StoreError
        If there is no passage index, or a file is damaged.
    """
    index, rows, manifest = load_artifact(indices, "passage")
    measured = manifest.get("measured") or {}
    layer = int(manifest["made_from"]["layer"])
    probes = int(measured.get("probes", 1))
    return PassageIndex(index, layer, probes=probes, measured=measured), PassageRows.of(rows)


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
    """Return the tracks that may be hits.

    Parameters
    ----------
    tracks : DataFrame
        The track table.
    indexed : set of str
        Tracks of the index. Tracks that are no longer in the table remain hits until the index
        is rebuilt, unless filters are given.
    query : str or None
        The query's track, if it is in the library.
    where : mapping, optional
        Column of `FILTERS` to an accepted value, or to several accepted values.
    include_own : bool
        Whether to include the query's own track.
    same_work : bool
        Whether to include only tracks of the query's work.
    other_performer : bool
        Whether to include only tracks by known performers other than the query's.

    Raises
    ------
    SearchError
        If a column is not in `FILTERS`, the query has no work or performer to compare with, or
        no track passes the filters.
    """
    passing = np.ones(len(tracks), dtype=bool)
    for column, wanted in (where or {}).items():
        if column not in FILTERS or column not in tracks:
            raise SearchError(
                f"tracks cannot be filtered by {column!r}", remedy=f"One of: {', '.join(FILTERS)}"
            )
        several = isinstance(wanted, Collection) and not isinstance(wanted, str)
        passing &= tracks[column].isin(list(wanted) if several else [wanted]).to_numpy()
    ids = tracks["track_id"].astype(str)
    if query is not None and same_work:
        passing &= (tracks["work_id"] == _known(tracks, "work_id", query)).to_numpy()
    if query is not None and other_performer:
        player = _known(tracks, "performer", query)
        passing &= (tracks["performer"].notna() & (tracks["performer"] != player)).to_numpy()
    filtered = bool(where) or (query is not None and (same_work or other_performer))
    found = indexed & set(ids[passing]) if filtered else set(indexed)
    if query is not None and not include_own:
        found.discard(query)
    if not found and len(indexed) > 1:
        raise SearchError("no track passes the filters", remedy="Leave one of them out")
    return found


def parse_filters(pairs: Sequence[str]) -> dict[str, list[Any]]:
    """Return filters from ``COLUMN=VALUE`` pairs; pairs of one column are alternatives.

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
    rows: PassageRows,
    query: NDArray[np.float32],
    k: int,
    *,
    tracks: set[str],
    taken: tuple[str, float, float] | None = None,
) -> pd.DataFrame:
    """Return the `k` best passages of `tracks`, without overlaps within a track.

    Parameters
    ----------
    index : PassageIndex
    rows : PassageRows
    query : ndarray, float32, shape [dim]
        Unit vector.
    k : int
    tracks : set of str
        Filtered inside the index, so that rare tracks are found too.
    taken : tuple of track_id, start_s, end_s, optional
        Span of the query; passages that overlap it are left out.

    Returns
    -------
    DataFrame
        ``track_id, start_s, end_s, score``, best first.
    """
    import pandas as pd

    allowed = rows.allowed(tracks)
    most = len(index) if allowed is None else int(allowed.sum())
    hits: list[dict[str, Any]] = []
    want = min(max(4 * k, 64), most)
    while want:
        scores, found = index.search(query, want, allowed=allowed)
        hits = _without_overlaps(rows, scores, found, taken, k)
        if len(hits) >= k or len(found) < want or want >= most:
            break
        want = min(4 * want, most)
    return pd.DataFrame(hits, columns=["track_id", "start_s", "end_s", "score"])


def _known(tracks: pd.DataFrame, column: str, query: str) -> str:
    known = tracks.loc[tracks["track_id"].astype(str) == query, column].dropna()
    if known.empty:
        raise SearchError(f"track {query!r} has no {column} to compare by")
    return str(known.iloc[0])


def _without_overlaps(
    rows: PassageRows,
    scores: NDArray[np.float64],
    found: NDArray[np.int64],
    taken: tuple[str, float, float] | None,
    k: int,
) -> list[dict[str, Any]]:
    """Return the best hits, leaving out segments that overlap a better one of their track."""
    spans: dict[str, list[tuple[float, float]]] = {} if taken is None else {taken[0]: [taken[1:]]}
    hits: list[dict[str, Any]] = []
    for score, row in zip(scores, found, strict=True):
        track = str(rows.tracks[rows.track[row]])
        first, last = float(rows.start_s[row]), float(rows.end_s[row])
        track_spans = spans.setdefault(track, [])
        if any(first < end and begin < last for begin, end in track_spans):
            continue
        track_spans.append((first, last))
        hits.append({"track_id": track, "start_s": first, "end_s": last, "score": float(score)})
        if len(hits) == k:
            break
    return hits
