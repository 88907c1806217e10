"""The library as a user sees it: open, ask, get a table."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mess_core.errors import SearchError
from mess_core.probing.aspects import Aspect, fallback_aspects
from mess_core.probing.report import load_aspects
from mess_core.search.artifact import load_artifact
from mess_core.search.aspects import layer_weights, opposed_aspects
from mess_core.search.index import PassageIndex, TrackIndex
from mess_core.store.layout import Layout
from mess_core.store.tables import read_table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Library"]


@dataclass
class Library:
    """What the assets built under one data root, ready to be searched.

    Attributes
    ----------
    tracks : DataFrame
        The track table.
    aspects : dict
        Name to `Aspect`.
    encoder : str
        Identity of the encoder that the vectors come from.
    """

    layout: Layout
    tracks: pd.DataFrame
    aspects: dict[str, Aspect]
    encoder: str
    _index: TrackIndex
    _row_of: dict[str, int]
    _ids: list[str]
    _passages: tuple[PassageIndex, pd.DataFrame] | None = None

    @classmethod
    def open(cls, root: str | PathLike[str]) -> Library:
        """Open the library under a data root.

        Parameters
        ----------
        root : path-like or fsspec URL

        Raises
        ------
        StoreError
            If no track table or track index is there, or a file is damaged.
        """
        layout = Layout(root)
        tracks = read_table(layout.tracks)
        index, rows, manifest = load_artifact(layout.indices, "track")
        layers = [int(layer) for layer in manifest["made_from"]["layers"]]
        place = layout.probing / "aspects.json"
        aspects = load_aspects(place) if place.exists() else fallback_aspects(layers)
        ids = [str(track_id) for track_id in rows["track_id"]]
        return cls(
            layout=layout,
            tracks=tracks,
            aspects=aspects,
            encoder=str(manifest["made_from"]["encoder"]),
            _index=TrackIndex(index, layers),
            _row_of={track_id: row for row, track_id in enumerate(ids)},
            _ids=ids,
        )

    def similar(
        self,
        track: str,
        aspects: Mapping[str, float] | None = None,
        *,
        k: int = 10,
    ) -> pd.DataFrame:
        """Tracks most like `track` in the wanted aspects.

        Parameters
        ----------
        track : str
            Track id.
        aspects : mapping of aspect to weight, optional
            Any weights, also negative ("but not"). All layers equally if not given.
        k : int
            Number of hits (fewer if the library is smaller); the track itself is left out.

        Returns
        -------
        DataFrame
            ``rank, track_id, score``, a column per aspect with its part of the score, and
            ``composer, title, performer``. ``score`` is the sum of the parts: weight
            times cosine. ``attrs["notes"]`` lists aspects that probing does not support, and
            opposite weights that meet on a layer.

        Raises
        ------
        SearchError
            If the track or an aspect is unknown, all weights are zero, or k < 1.
        """
        import pandas as pd

        row = self._row(track)
        if k < 1:
            raise SearchError(f"k must be at least 1, not {k}")
        weights = layer_weights(aspects, self.aspects, self._index.layers)
        query = self._index.vector(row)
        _, rows = self._index.search(query, weights, k + 1)
        hits = [int(hit) for hit in rows if hit != row][:k]
        parts = {name: [self._part(name, query, hit) for hit in hits] for name in aspects or {}}
        table = pd.DataFrame({"track_id": [self._ids[hit] for hit in hits]}, dtype="str")
        if aspects is None:
            cosines = [self._index.cosines(query, hit) for hit in hits]
            table["score"] = [float(each.mean()) for each in cosines]
        else:
            columns = {name: np.asarray(parts[name]) * aspects[name] for name in aspects}
            table["score"] = np.sum(list(columns.values()), axis=0) if hits else []
            for name, values in columns.items():
                table[name] = values
        table.insert(0, "rank", np.arange(1, len(table) + 1))
        facts = self.tracks[["track_id", "composer", "title", "performer"]]
        table = table.merge(facts, on="track_id", how="left")
        table.attrs["notes"] = [
            f"{name}: {self.aspects[name].reason}"
            for name in aspects or {}
            if not self.aspects[name].available
        ] + opposed_aspects(aspects or {}, self.aspects)
        table.attrs["encoder"] = self.encoder
        return table

    def passages(
        self, track: str, start_s: float, *, k: int = 10, include_own: bool = False
    ) -> pd.DataFrame:
        """Passages most like the one that begins at `start_s` of a track.

        Parameters
        ----------
        track : str
            Track id.
        start_s : float
            The stored segment that begins nearest to this second is the query.
        k : int
            Number of hits; overlapping segments of one track count once.
        include_own : bool
            Whether the query's own track may be among the hits.

        Returns
        -------
        DataFrame
            ``rank, track_id, start_s, end_s, score, composer, title, performer``;
            ``attrs["query"]`` holds the query's exact bounds.

        Raises
        ------
        SearchError
            If the track is unknown, `start_s` is outside it, or k < 1.
        """
        import pandas as pd

        if k < 1:
            raise SearchError(f"k must be at least 1, not {k}")
        self._row(track)
        index, rows = self._opened_passages()
        mine = np.flatnonzero(rows["track_id"].to_numpy() == track)
        if len(mine) == 0:
            raise SearchError(
                f"the passage index has no {track!r}", remedy="Materialise passage_index again"
            )
        starts = rows["start_s"].to_numpy()[mine]
        if not 0 <= start_s <= float(rows["end_s"].to_numpy()[mine].max()):
            raise SearchError(f"{start_s} s is outside {track!r}")
        query_row = int(mine[np.abs(starts - start_s).argmin()])
        query = index.vector(query_row)
        allowed = None
        if not include_own:
            allowed = np.flatnonzero(rows["track_id"].to_numpy() != track).astype(np.int64)
        hits: list[dict[str, Any]] = []
        want = max(4 * k, 64)
        while True:
            scores, found = index.search(query, want, allowed=allowed)
            hits = _without_overlaps(rows, scores, found, query_row, k)
            if len(hits) >= k or len(found) < want or want >= len(index):
                break
            want *= 4
        table = pd.DataFrame(hits, columns=["track_id", "start_s", "end_s", "score"])
        table.insert(0, "rank", np.arange(1, len(table) + 1))
        facts = self.tracks[["track_id", "composer", "title", "performer"]]
        table = table.merge(facts, on="track_id", how="left")
        bounds = rows.iloc[query_row]
        table.attrs["query"] = {
            "track_id": track,
            "start_s": float(bounds["start_s"]),
            "end_s": float(bounds["end_s"]),
        }
        table.attrs["encoder"] = self.encoder
        return table

    def _part(self, name: str, query: NDArray[np.float32], row: int) -> float:
        cosines = dict(zip(self._index.layers, self._index.cosines(query, row), strict=True))
        weights = self.aspects[name].weights
        return float(sum(share * cosines[layer] for layer, share in weights.items()))

    def _row(self, track: str) -> int:
        if track not in self._row_of:
            near = difflib.get_close_matches(track, self._ids, n=3)
            hint = f"Did you mean {', '.join(near)}?" if near else "See `mess tracks`"
            raise SearchError(f"track {track!r} is not in the index", remedy=hint)
        return self._row_of[track]

    def _opened_passages(self) -> tuple[PassageIndex, pd.DataFrame]:
        if self._passages is None:
            index, rows, manifest = load_artifact(self.layout.indices, "passage")
            layer = int(manifest["made_from"]["layer"])
            self._passages = PassageIndex(index, layer), rows
        return self._passages


def _without_overlaps(
    rows: pd.DataFrame,
    scores: NDArray[np.float64],
    found: NDArray[np.int64],
    query_row: int,
    k: int,
) -> list[dict[str, Any]]:
    """Best-first hits; a segment that overlaps a better one of its track is left out."""
    ids, starts, ends = (rows[name].to_numpy() for name in ("track_id", "start_s", "end_s"))
    taken: dict[str, list[tuple[float, float]]] = {
        ids[query_row]: [(starts[query_row], ends[query_row])]
    }
    hits: list[dict[str, Any]] = []
    for score, row in zip(scores, found, strict=True):
        spans = taken.setdefault(ids[row], [])
        if any(starts[row] < end and begin < ends[row] for begin, end in spans):
            continue
        spans.append((starts[row], ends[row]))
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
