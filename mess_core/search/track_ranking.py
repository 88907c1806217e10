"""Ranking whole tracks: by cosines, by what probes read of an aspect, or by a learned head."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mess_core.errors import SearchError
from mess_core.probing.aspects import Aspect
from mess_core.search.aspect_weights import aspect_parts, layer_weights, weight_notes
from mess_core.search.faithfulness import Mode
from mess_core.search.index import TrackIndex, first_allowed, unit_layers
from mess_core.search.served_heads import track_scores
from mess_core.search.subspace import SearchMode, Subspaces, choose_modes, relative_similarity
from mess_core.store.layout import Layout

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["TrackRanking"]


@dataclass(frozen=True)
class TrackRanking:
    """The tracks of an index, and the ways to compare with them.

    Attributes
    ----------
    layout : Layout
        Where learned heads and the vectors that they take are.
    identity : dict
        Of the embeddings that the index holds.
    index : TrackIndex
    ids : list of str
        Track ids in the order of the index.
    aspects : mapping of name to Aspect
    subspaces : Subspaces or None
    """

    layout: Layout
    identity: dict[str, Any]
    index: TrackIndex
    ids: list[str]
    aspects: Mapping[str, Aspect]
    subspaces: Subspaces | None = None

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {track_id: row for row, track_id in enumerate(self.ids)}

    def row(self, track: str) -> int:
        """Row of a track; SearchError with near names if it is not in the index."""
        if track not in self._rows:
            near = difflib.get_close_matches(track, self.ids, n=3)
            hint = f"Did you mean {', '.join(near)}?" if near else "See `mess tracks`"
            raise SearchError(f"track {track!r} is not in the index", remedy=hint)
        return self._rows[track]

    def modes(self, aspects: Collection[str], mode: SearchMode = "auto") -> dict[str, Mode]:
        """How each aspect is compared; SearchError if it cannot be so."""
        return choose_modes(aspects, mode, self.subspaces)

    def similarity(self, aspect: str, row: int, mode: Mode) -> NDArray[np.float64]:
        """``1 - d / mean d`` of a row with every track: 1 = equal, 0 = like a random one."""
        if mode == "subspace" and self.subspaces is not None:
            distance = self.subspaces.distance(aspect, row)
        else:
            distance = 1 - self.index.all_cosines(row, self.aspects[aspect].weights)
        return relative_similarity(distance, row)

    def by_aspects(
        self,
        query: str | NDArray[np.float32],
        aspects: Mapping[str, float] | None,
        allowed: Collection[str],
        k: int,
        mode: SearchMode = "auto",
    ) -> pd.DataFrame:
        """The tracks most like a query in weighted aspects, or overall.

        Parameters
        ----------
        query : str or ndarray, shape [layers, dim]
            Track id, or the track vector of a recording, which can only be compared by cosine.
        aspects : mapping of aspect to weight, or None
            None: all layers equally.
        allowed : collection of str
            Tracks that may be hits.
        k : int
        mode : {"auto", "cosine", "subspace"}

        Returns
        -------
        DataFrame
            ``track_id, score`` and each aspect's part, best first; ``attrs`` has ``modes`` and
            ``notes``.

        Raises
        ------
        SearchError
            If track or aspect is unknown, all weights are zero, or an aspect has no subspace.
        """
        wanted = dict(aspects or {})
        weights = layer_weights(aspects, self.aspects, self.index.layers)
        modes = self.modes(wanted, mode if isinstance(query, str) else "cosine")
        free = self._free(allowed)
        if isinstance(query, str) and "subspace" in modes.values():
            row = self.row(query)
            every = {
                name: weight * self.similarity(name, row, modes[name])
                for name, weight in wanted.items()
            }
            total = np.sum(list(every.values()), axis=0)
            rows = first_allowed(total, free, k)
            scores = total[rows]
            parts = {name: values[rows] for name, values in every.items()}
        else:
            if isinstance(query, str):
                unit = self.index.vector(self.row(query))
            else:
                unit = unit_layers(query)
            scores, rows = self.index.search(unit, weights, k, allowed=free)
            parts = aspect_parts(self.index, unit, rows, wanted, self.aspects)
        table = self._table(rows, scores, parts)
        table.attrs |= {"modes": modes, "notes": weight_notes(wanted, self.aspects, modes)}
        return table

    def by_head(
        self, head: str, query: str | NDArray[np.float32], allowed: Collection[str], k: int
    ) -> pd.DataFrame:
        """The tracks most like a query by a learned head.

        Parameters
        ----------
        head : str
        query, allowed, k
            As in `by_aspects`.

        Returns
        -------
        DataFrame
            ``track_id, score``, best first; ``attrs`` as in `by_aspects`.

        Raises
        ------
        SearchError
            If there is no such head, or it is of another encoder.
        StoreError
            If the embedding matrix is not there: a published library is without it.
        """
        score, verdict = track_scores(self.layout, head, query, self.ids, identity=self.identity)
        rows = first_allowed(score, self._free(allowed) & np.isfinite(score), k)
        note = (
            f"head {head} has learned from this library's own passages; the leaderboard, on works "
            f"left out: {verdict or 'not compared yet'}"
        )
        table = self._table(rows, score[rows], {})
        table.attrs |= {"modes": {}, "notes": [note]}
        return table

    def _free(self, allowed: Collection[str]) -> NDArray[np.bool_]:
        return np.array([track_id in allowed for track_id in self.ids])

    def _table(
        self,
        rows: NDArray[np.int64],
        scores: NDArray[np.float64],
        parts: Mapping[str, NDArray[np.float64]],
    ) -> pd.DataFrame:
        import pandas as pd

        hits = pd.DataFrame({"track_id": [self.ids[row] for row in rows]}, dtype="str")
        return hits.assign(score=scores, **parts)
