"""Ranking of whole tracks: by cosine, by probe subspace, or by a learned head."""

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
from mess_core.search.aspect_weights import (
    aspect_parts,
    layer_weights,
    require_known,
    weight_notes,
)
from mess_core.search.faithfulness import Mode
from mess_core.search.index import TrackIndex, first_allowed, unit_layers
from mess_core.search.learned_aspect import PLAYED_ALIKE
from mess_core.search.served_heads import track_scores
from mess_core.search.subspace import SearchMode, Subspaces, choose_modes, relative_similarity
from mess_core.store.layout import Layout

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["TrackRanking", "check_request"]


@dataclass(frozen=True)
class TrackRanking:
    """The tracks of an index, with the ways to rank them.

    Attributes
    ----------
    layout : Layout
        Data root with learned heads and the embedding matrix that they are applied to.
    identity : dict
        Identity of the embeddings in the index.
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
        """Return the row of a track.

        Raises
        ------
        SearchError
            If it is not in the index; the message suggests similar names.
        """
        if track not in self._rows:
            near = difflib.get_close_matches(track, self.ids, n=3)
            hint = f"Did you mean {', '.join(near)}?" if near else "See `mess tracks`"
            raise SearchError(f"track {track!r} is not in the index", remedy=hint)
        return self._rows[track]

    def modes(self, aspects: Collection[str], mode: SearchMode = "auto") -> dict[str, Mode]:
        """Return the mode of each aspect; raises as `choose_modes`."""
        return choose_modes(aspects, mode, self.subspaces)

    def similarity(self, aspect: str, row: int, mode: Mode) -> NDArray[np.float64]:
        """Return ``1 - d / mean d`` of a row to all: 1 = equal, 0 = like a random track."""
        if mode == "subspace" and self.subspaces is not None:
            distance = self.subspaces.distance(aspect, row)
        else:
            distance = 1 - self.index.all_cosines(row, self.aspects[aspect].weights)
        return relative_similarity(distance, row)

    def similarities(self, query: str, aspects: Collection[str]) -> dict[str, NDArray[np.float64]]:
        """Return the similarity of every track to a query, by aspect.

        Raises
        ------
        SearchError
            If the track or an aspect is unknown.
        """
        row = self.row(query)
        require_known(aspects, self.aspects)
        return {
            name: self.similarity(name, row, mode) for name, mode in self.modes(aspects).items()
        }

    def by_aspects(
        self,
        query: str | NDArray[np.float32],
        aspects: Mapping[str, float] | None,
        allowed: Collection[str],
        k: int,
        mode: SearchMode = "auto",
    ) -> pd.DataFrame:
        """Return the tracks most similar to a query in weighted aspects, or overall.

        Parameters
        ----------
        query : str or ndarray, shape [layers, dim]
            Track id, or the track vector of a recording, which is always compared by cosine.
        aspects : mapping of aspect to weight, or None
            None gives all layers equal weights.
        allowed : collection of str
            Tracks that may be hits.
        k : int
        mode : {"auto", "cosine", "subspace"}

        Returns
        -------
        DataFrame
            ``track_id, score`` and the part of each aspect, best first; ``attrs`` has ``modes``
            and ``notes``.

        Raises
        ------
        SearchError
            If track or aspect is unknown, all weights are zero, or an aspect has no subspace.
        """
        wanted = dict(aspects or {})
        weights = layer_weights(aspects, self.aspects, self.index.layers)
        if PLAYED_ALIKE in wanted and not isinstance(query, str):
            raise SearchError(
                f"{PLAYED_ALIKE} compares tracks of the library, not recordings from outside",
                remedy="Rank by the head itself: head='expression-...', or --head",
            )
        modes = self.modes(wanted, mode if isinstance(query, str) else "cosine")
        mask = self._mask(allowed)
        if isinstance(query, str) and "subspace" in modes.values():
            row = self.row(query)
            similarities = {
                name: weight * self.similarity(name, row, modes[name])
                for name, weight in wanted.items()
            }
            total = np.sum(list(similarities.values()), axis=0)
            rows = first_allowed(total, mask, k)
            scores = total[rows]
            parts = {name: values[rows] for name, values in similarities.items()}
        else:
            if isinstance(query, str):
                unit = self.index.vector(self.row(query))
            else:
                unit = unit_layers(query)
            scores, rows = self.index.search(unit, weights, k, allowed=mask)
            parts = aspect_parts(self.index, unit, rows, wanted, self.aspects)
        table = self._table(rows, scores, parts)
        table.attrs |= {"modes": modes, "notes": weight_notes(wanted, self.aspects, modes)}
        return table

    def by_head(
        self, head: str, query: str | NDArray[np.float32], allowed: Collection[str], k: int
    ) -> pd.DataFrame:
        """Return the tracks most similar to a query by a learned head.

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
            If there is no such head, or it belongs to another encoder.
        StoreError
            If there is no embedding matrix, as in a published library.
        """
        score, verdict = track_scores(self.layout, head, query, self.ids, identity=self.identity)
        rows = first_allowed(score, self._mask(allowed) & np.isfinite(score), k)
        note = (
            f"head {head} was trained on passages of this library; its leaderboard result on works "
            f"left out: {verdict or 'not compared yet'}"
        )
        table = self._table(rows, score[rows], {})
        table.attrs |= {"modes": {}, "notes": [note]}
        return table

    def _mask(self, allowed: Collection[str]) -> NDArray[np.bool_]:
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


def check_request(
    k: int,
    *,
    head: str | None = None,
    aspects: Mapping[str, float] | None = None,
    start_s: float | None = None,
) -> None:
    """Raise a `SearchError` if parts of a request exclude each other, or k is less than 1."""
    if k < 1:
        raise SearchError(f"k must be at least 1, not {k}")
    if head is not None and aspects:
        raise SearchError("a head has no aspects", remedy="Give either aspects or a head")
    if head is not None and start_s is not None:
        raise SearchError("a head ranks whole tracks", remedy="Give either a start or a head")
