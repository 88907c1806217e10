"""The search interface for users: open a library, query it, get a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mess_core.encoders.chosen import choose_encoder
from mess_core.errors import SearchError
from mess_core.probing.aspects import Aspect, fallback_aspects
from mess_core.probing.results import load_aspects
from mess_core.search.artifact import load_artifact
from mess_core.search.aspect_weights import layer_weights
from mess_core.search.explain import explain_hit, hit_reasons
from mess_core.search.index import TrackIndex, unit_layers
from mess_core.search.learned_aspect import load_played_alike, with_learned
from mess_core.search.passage_index import PassageIndex
from mess_core.search.passages import PassageRows, allowed_tracks, load_passages, passage_hits
from mess_core.search.publishing import served_root
from mess_core.search.recordings import matching_encoder
from mess_core.search.subspace import SearchMode, load_subspaces
from mess_core.search.track_ranking import TrackRanking, check_request
from mess_core.store.layout import Layout
from mess_core.store.tables import read_table

if TYPE_CHECKING:
    import pandas as pd

    from mess_core.encoders import Encoder

__all__ = ["Library", "SearchMode"]


@dataclass
class Library:
    """A library of tracks that can be searched; create one with `Library.open`.

    Attributes
    ----------
    tracks : DataFrame
        The track table.
    aspects : dict
        Aspect name to `Aspect`.
    encoder : str
        Name and version of the encoder that computed the vectors.
    identity : dict
        Encoder settings that a query recording must share with the library's embeddings.

    Examples
    --------
    Of a library that ``mess demo`` has built:

    >>> from mess_core import Library
    >>> library = Library.open("data")  # doctest: +SKIP
    >>> hits = library.similar("demo_01_steady", {"tempo": 1.0}, k=3)  # doctest: +SKIP
    >>> list(hits.columns)  # doctest: +SKIP
    ['rank', 'track_id', 'score', 'tempo', 'composer', 'title', 'performer']
    """

    layout: Layout
    tracks: pd.DataFrame
    aspects: dict[str, Aspect]
    encoder: str
    identity: dict[str, Any]
    _ranking: TrackRanking
    _passages: tuple[PassageIndex, PassageRows] | None = None

    @classmethod
    def open(cls, root: str | PathLike[str], *, encoder: str | None = None) -> Library:
        """Return the library of a data root, or of the destination of a published one.

        Parameters
        ----------
        root : path-like or fsspec URL
        encoder : str, optional
            As in `mess_core.encoders.chosen.choose_encoder`.

        Raises
        ------
        StoreError
            If there is no track table or index, a file is damaged, or the encoder is not there.
        """
        layout = choose_encoder(Layout(served_root(root)), encoder)
        index, rows, manifest = load_artifact(layout.indices, "track")
        layers = [int(layer) for layer in manifest["made_from"]["layers"]]
        path, made_from = layout.probing / "aspects.json", manifest["made_from"]
        aspects = load_aspects(path) if path.exists() else fallback_aspects(layers)
        ids = [str(track_id) for track_id in rows["track_id"]]
        subspaces = load_subspaces(layout, ids, made_from["matrix_sha256"])
        learned = load_played_alike(layout, made_from, ids, layers)
        aspects, subspaces = with_learned(learned, aspects, subspaces)
        ranking = TrackRanking(
            layout, made_from, TrackIndex(index, layers), ids, aspects, subspaces
        )
        return cls(
            layout=layout,
            tracks=read_table(layout.tracks),
            aspects=aspects,
            encoder=str(made_from["encoder"]),
            identity=made_from,
            _ranking=ranking,
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
        """Return the tracks most similar to `track` in weighted aspects.

        Parameters
        ----------
        track : str
            Track id.
        aspects : mapping of aspect to weight, optional
            Any weights; negative ones mean "but not". If not given, all layers have equal weights.
        k : int
            Number of hits (fewer if the library is smaller), without the track itself.
        mode : {"auto", "cosine", "subspace"}
            "cosine" compares everything that the aspect's layers encode; "subspace" only what
            probes predict of the aspect's targets. "auto" takes, for each aspect, the mode that
            is more faithful to the targets.
        head : str, optional
            Rank by the cosine of this learned head instead. Cannot be combined with aspects.
        same_work, other_performer, where
            As in `passages`.

        Returns
        -------
        DataFrame
            ``rank, track_id, score``, one column per aspect with its part of the score, and
            ``composer, title, performer``. ``score`` is the sum of the parts, each of which is
            weight times similarity. Similarities are cosines. If any aspect is compared in its
            subspace, they are ``1 - d / mean d`` over the library for all aspects (1 = equal,
            0 = like a random track), so that they have one scale. ``attrs["modes"]`` has the
            mode of each aspect. ``attrs["notes"]`` lists aspects that probing does not support
            and opposite weights that share a layer, or the leaderboard's result for the head.

        Raises
        ------
        SearchError
            If track, aspect or head is unknown, all weights are zero, k < 1, or no track passes
            the filters.
        """
        self._ranking.row(track)
        check_request(k, head=head, aspects=aspects)
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
        """Return the passages most similar to the one at `start_s` of a track.

        Parameters
        ----------
        track : str
            Track id.
        start_s : float
            Time in seconds. The query is the stored segment that begins nearest to it.
        k : int
            Number of hits. Of overlapping segments of a track, only the best is a hit.
        include_own : bool
            Whether to include passages of the query's own track.
        same_work : bool
            Whether to include only performances of the query's work.
        other_performer : bool
            Whether to include only tracks by known performers other than the query's.
        where : mapping, optional
            Filters: ``composer``, ``year``, ``split``, ``work_id``, ``performer`` or ``dataset``
            to one accepted value or several. They are applied inside the index.

        Returns
        -------
        DataFrame
            ``rank, track_id, start_s, end_s, score, composer, title, performer``;
            ``attrs["query"]`` holds the exact bounds of the query.

        Raises
        ------
        SearchError
            If the track is unknown, `start_s` is outside it, k < 1, or no track passes the
            filters.
        """
        check_request(k)
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
        """Return the passage of `hit` that is most similar to the one at `start_s` of `track`.

        Returns
        -------
        start_s, end_s, score : float
            Bounds in seconds of `hit`, and the cosine similarity.

        Raises
        ------
        SearchError
            As in `passages`.
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
        """Return the tracks or passages most similar to a recording.

        The recording need not be in the library.

        Parameters
        ----------
        path : path-like or fsspec URL
            Audio file.
        start_s : float, optional
            Time in seconds. Search passages similar to the window that begins nearest to it;
            whole tracks if not given.
        aspects : mapping of aspect to weight, optional
            Weights for the search of whole tracks, by cosine.
        head : str, optional
            Learned head for the search of whole tracks, as in `similar`.
        k : int
        where : mapping, optional
            As in `passages`.
        encoder : Encoder, optional
            The library's encoder; loaded by its name if not given.

        Returns
        -------
        DataFrame
            As returned by `similar` or `passages`.

        Raises
        ------
        SearchError
            If the encoder is not the library's, `start_s` is outside the recording, or the head
            is unknown or combined with aspects or `start_s`.
        AudioError
            If the audio cannot be read or is too short.
        """
        check_request(k, head=head, aspects=aspects, start_s=start_s)
        # Raise errors in the weights before embedding, which is slow.
        layer_weights(aspects, self.aspects, self._ranking.index.layers)
        embedding = matching_encoder(self.identity, encoder, self.layout).embed(path)
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

    @property
    def track_ids(self) -> list[str]:
        """Ids of the tracks that can be searched, in the order of the index."""
        return list(self._ranking.ids)

    def positions(self, aspects: Iterable[str]) -> NDArray[np.float64] | None:
        """Return where probes place the indexed tracks in some aspects.

        Parameters
        ----------
        aspects : iterable of str

        Returns
        -------
        ndarray, float64, shape [tracks, targets of the aspects], or None
            In standard deviations of each target; None if none of them was probed.
        """
        subspaces = self._ranking.subspaces
        placed = [
            subspaces.placed[name]
            for name in aspects
            if subspaces is not None and subspaces.has(name)
        ]
        return np.concatenate(placed, axis=1) if placed else None

    def vectors(self) -> tuple[list[str], NDArray[np.float32]]:
        """Return ids and unit vectors of all indexed tracks, float32 [tracks, layers, dim]."""
        return list(self._ranking.ids), self._ranking.index.vectors()

    def explain(self, query: str, hit: str) -> pd.DataFrame:
        """Return how similar `hit` is to `query` in every aspect, with the aspect's targets.

        Parameters
        ----------
        query, hit : str
            Track ids.

        Returns
        -------
        DataFrame
            ``aspect, confidence, similarity, percentile, target, query, hit, unit, apart_sd``;
            see `mess_core.search.explain.explain_hit`. The most similar aspect is first.

        Raises
        ------
        SearchError
            If a track is unknown.
        """
        self._ranking.row(hit)
        table = read_table(self.layout.proxy_targets)
        near = self.similarities(query)
        return explain_hit(query, hit, near, self._ranking.ids, self.aspects, table)

    def reasons(self, query: str, hits: Sequence[str]) -> list[dict[str, Any]]:
        """Return why each hit is similar, briefly; see `mess_core.search.explain.hit_reasons`."""
        ranking = self._ranking
        for hit in hits:
            ranking.row(hit)  # raises SearchError if it is unknown
        table = read_table(self.layout.proxy_targets)
        return hit_reasons(query, hits, self.similarities(query), ranking.ids, table)

    def similarities(
        self, query: str, aspects: Iterable[str] | None = None
    ) -> dict[str, NDArray[np.float64]]:
        """Return the similarity of every track to `query`, by aspect (all if not given)."""
        return self._ranking.similarities(query, list(self.aspects if aspects is None else aspects))

    def _with_facts(self, hits: pd.DataFrame) -> pd.DataFrame:
        """Return hits with their rank, composer, title and performer."""
        hits.insert(0, "rank", np.arange(1, len(hits) + 1))
        facts = self.tracks[["track_id", "composer", "title", "performer"]]
        table = hits.merge(facts, on="track_id", how="left")
        table.attrs = {**hits.attrs, "encoder": self.encoder}
        return table

    def _opened_passages(self) -> tuple[PassageIndex, PassageRows]:
        self._passages = self._passages or load_passages(self.layout.indices)
        return self._passages
