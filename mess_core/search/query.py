"""The library as a user sees it: open, ask, get a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mess_core.errors import SearchError
from mess_core.probing.aspects import Aspect, fallback_aspects
from mess_core.probing.results import load_aspects
from mess_core.search.artifact import load_artifact
from mess_core.search.aspect_weights import layer_weights
from mess_core.search.explain import explain_hit
from mess_core.search.index import TrackIndex, unit_layers
from mess_core.search.passage_index import PassageIndex
from mess_core.search.passages import PassageRows, allowed_tracks, load_passages, passage_hits
from mess_core.search.publishing import served_root
from mess_core.search.recordings import matching_encoder
from mess_core.search.subspace import SearchMode, load_subspaces
from mess_core.search.track_ranking import TrackRanking
from mess_core.store.layout import Layout
from mess_core.store.tables import read_table

if TYPE_CHECKING:
    import pandas as pd

    from mess_core.encoders import Encoder

__all__ = ["Library", "SearchMode"]


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
    identity : dict
        All that a recording must share with the library's embeddings to be searched with.
    """

    layout: Layout
    tracks: pd.DataFrame
    aspects: dict[str, Aspect]
    encoder: str
    identity: dict[str, Any]
    _ranking: TrackRanking
    _passages: tuple[PassageIndex, PassageRows] | None = None

    @classmethod
    def open(cls, root: str | PathLike[str]) -> Library:
        """Open the library under a data root.

        Parameters
        ----------
        root : path-like or fsspec URL
            A data root, or a place that a library was published to.

        Raises
        ------
        StoreError
            If no track table or track index is there, or a file is damaged.
        """
        tracks = read_table((layout := Layout(served_root(root))).tracks)
        index, rows, manifest = load_artifact(layout.indices, "track")
        layers = [int(layer) for layer in manifest["made_from"]["layers"]]
        place = layout.probing / "aspects.json"
        aspects = load_aspects(place) if place.exists() else fallback_aspects(layers)
        made_from = manifest["made_from"]
        ids = [str(track_id) for track_id in rows["track_id"]]
        subspaces = load_subspaces(layout, ids, made_from["matrix_sha256"])
        return cls(
            layout=layout,
            tracks=tracks,
            aspects=aspects,
            encoder=str(made_from["encoder"]),
            identity=made_from,
            _ranking=TrackRanking(
                layout, made_from, TrackIndex(index, layers), ids, aspects, subspaces
            ),
        )

    def similar(
        self,
        track: str,
        aspects: Mapping[str, float] | None = None,
        *,
        k: int = 10,
        mode: SearchMode = "auto",
        head: str | None = None,
        same_work: bool = False,
        other_performer: bool = False,
        where: Mapping[str, Any] | None = None,
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
        mode : {"auto", "cosine", "subspace"}
            "cosine" compares by everything that the aspect's layers hold; "subspace" only by
            what probes read of the aspect's targets there. "auto" takes for each aspect what the
            faithfulness table found nearer to the targets.
        head : str, optional
            Rank by the cosine of this learned head instead; not together with aspects.
        same_work, other_performer, where
            As in `passages`.

        Returns
        -------
        DataFrame
            ``rank, track_id, score``, a column per aspect with its part of the score, and
            ``composer, title, performer``. ``score`` is the sum of the parts: weight
            times similarity. With cosines only, these are cosines; as soon as an aspect is
            compared in its subspace, similarities are ``1 - d / mean d`` over the library for
            all (1 = equal, 0 = like a random track), so that they add up on one scale.
            ``attrs["modes"]`` says which; ``attrs["notes"]`` lists aspects that probing does not
            support, and opposite weights that meet on a layer, or what the leaderboard says of
            the head.

        Raises
        ------
        SearchError
            If track, aspect or head is unknown, all weights are zero, k < 1, or no track passes.
        """
        self._ranking.row(track)
        _checked(k, head=head, aspects=aspects)
        allowed = allowed_tracks(
            self.tracks,
            set(self._ranking.ids),
            track,
            where=where,
            same_work=same_work,
            other_performer=other_performer,
        )
        if head is not None:
            return self._with_facts(self._ranking.by_head(head, track, allowed, k))
        return self._with_facts(self._ranking.by_aspects(track, aspects, allowed, k, mode))

    def passages(
        self,
        track: str,
        start_s: float,
        *,
        k: int = 10,
        include_own: bool = False,
        same_work: bool = False,
        other_performer: bool = False,
        where: Mapping[str, Any] | None = None,
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
        same_work, other_performer : bool
            Only performances of the query's work; only by known other performers.
        where : mapping, optional
            Only tracks with these values: ``composer``, ``year``, ``split``, ``work_id``,
            ``performer`` or ``dataset`` to a value or to several. Filters are applied inside the
            index.

        Returns
        -------
        DataFrame
            ``rank, track_id, start_s, end_s, score, composer, title, performer``;
            ``attrs["query"]`` holds the query's exact bounds.

        Raises
        ------
        SearchError
            If the track is unknown, `start_s` is outside it, k < 1, or no track passes.
        """
        _checked(k)
        index, rows = self._opened_passages()
        self._ranking.row(track)
        query_row = rows.at(track, start_s)
        begin, end = float(rows.start_s[query_row]), float(rows.end_s[query_row])
        allowed = allowed_tracks(
            self.tracks,
            set(rows.tracks),
            track,
            where=where,
            include_own=include_own,
            same_work=same_work,
            other_performer=other_performer,
        )
        hits = passage_hits(
            index, rows, index.vector(query_row), k, tracks=allowed, taken=(track, begin, end)
        )
        table = self._with_facts(hits)
        table.attrs["query"] = {"track_id": track, "start_s": begin, "end_s": end}
        return table

    def moment(self, track: str, start_s: float, hit: str) -> tuple[float, float, float]:
        """The passage of `hit` that is most like the one at `start_s` of `track`.

        Returns
        -------
        start_s, end_s, score : float
            Seconds in `hit`, and the cosine.

        Raises
        ------
        SearchError
            As `passages`.
        """
        index, rows = self._opened_passages()
        vector = index.vector(rows.at(track, start_s))
        rows.at(hit, 0.0)
        best = passage_hits(index, rows, vector, 1, tracks={hit}).iloc[0]
        return float(best["start_s"]), float(best["end_s"]), float(best["score"])

    def query_audio(
        self,
        path: str | PathLike[str],
        *,
        start_s: float | None = None,
        aspects: Mapping[str, float] | None = None,
        head: str | None = None,
        k: int = 10,
        where: Mapping[str, Any] | None = None,
        encoder: Encoder | None = None,
    ) -> pd.DataFrame:
        """Search with a recording that need not be in the library.

        Parameters
        ----------
        path : path-like or fsspec URL
            Audio.
        start_s : float, optional
            Search passages like the window that begins here; whole tracks if not given.
        aspects : mapping of aspect to weight, optional
            For whole tracks, by cosine.
        head : str, optional
            For whole tracks, as in `similar`.
        k : int
        where : mapping, optional
            As in `passages`.
        encoder : Encoder, optional
            The library's, if it is at hand; loaded by its name otherwise.

        Returns
        -------
        DataFrame
            As `similar` or `passages` give.

        Raises
        ------
        SearchError
            If the encoder is not the library's, `start_s` is outside the recording, or the head
            is unknown or given together with aspects or `start_s`.
        AudioError
            If the audio cannot be used.
        """
        _checked(k, head=head, aspects=aspects, start_s=start_s)
        layer_weights(aspects, self.aspects, self._ranking.index.layers)  # before a long wait
        embedding = matching_encoder(self.identity, encoder).embed(path)
        if start_s is not None:
            if not 0 <= start_s < embedding.duration_s:
                raise SearchError(f"{start_s} s is outside the recording", path=path)
            index, rows = self._opened_passages()
            nearest = int(np.abs(embedding.start_s - start_s).argmin())
            vector = embedding.segments[nearest, self._ranking.index.layers.index(index.layer)]
            tracks = allowed_tracks(self.tracks, set(rows.tracks), None, where=where)
            hits = passage_hits(index, rows, unit_layers(vector), k, tracks=tracks)
            table = self._with_facts(hits)
            begin, end = float(embedding.start_s[nearest]), float(embedding.end_s[nearest])
            table.attrs["query"] = {"path": str(path), "start_s": begin, "end_s": end}
            return table
        allowed = allowed_tracks(self.tracks, set(self._ranking.ids), None, where=where)
        if head is not None:
            return self._with_facts(self._ranking.by_head(head, embedding.track, allowed, k))
        return self._with_facts(self._ranking.by_aspects(embedding.track, aspects, allowed, k))

    def vectors(self) -> tuple[list[str], NDArray[np.float32]]:
        """Ids and unit vectors of all indexed tracks, float32 [tracks, layers, dim]."""
        return list(self._ranking.ids), self._ranking.index.vectors()

    def explain(self, query: str, hit: str) -> pd.DataFrame:
        """Why `hit` is like `query`: every aspect, among the whole library, with its targets.

        Parameters
        ----------
        query, hit : str
            Track ids.

        Returns
        -------
        DataFrame
            ``aspect, confidence, similarity, percentile, target, query, hit, unit, apart_sd``;
            see `mess_core.search.explain.explain_hit`. The most alike aspect comes first.

        Raises
        ------
        SearchError
            If a track is unknown.
        """
        ranking = self._ranking
        row = ranking.row(query)
        ranking.row(hit)
        similarity = {
            name: ranking.similarity(name, row, mode)
            for name, mode in ranking.modes(self.aspects).items()
        }
        table = read_table(self.layout.proxy_targets)
        return explain_hit(query, hit, similarity, ranking.ids, self.aspects, table)

    def _with_facts(self, hits: pd.DataFrame) -> pd.DataFrame:
        """Hits with their rank and who plays what."""
        hits.insert(0, "rank", np.arange(1, len(hits) + 1))
        facts = self.tracks[["track_id", "composer", "title", "performer"]]
        table = hits.merge(facts, on="track_id", how="left")
        table.attrs = {**hits.attrs, "encoder": self.encoder}
        return table

    def _opened_passages(self) -> tuple[PassageIndex, PassageRows]:
        self._passages = self._passages or load_passages(self.layout.indices)
        return self._passages


def _checked(
    k: int,
    *,
    head: str | None = None,
    aspects: Mapping[str, float] | None = None,
    start_s: float | None = None,
) -> None:
    if k < 1:
        raise SearchError(f"k must be at least 1, not {k}")
    if head is not None and aspects:
        raise SearchError("a head has no aspects", remedy="Give either aspects or a head")
    if head is not None and start_s is not None:
        raise SearchError("a head ranks whole tracks", remedy="Give either a start or a head")
