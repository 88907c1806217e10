"""Embed many tracks into the store: skip current embeddings, and record failures."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mess_core.audio import file_sha256
from mess_core.errors import AudioError, StoreError
from mess_core.store.embeddings import EmbeddingStore
from mess_core.store.failures import clear_failure, is_transient, record_failure
from mess_core.store.layout import Layout
from mess_core.store.outcomes import TrackOutcome

if TYPE_CHECKING:
    import pandas as pd

    from mess_core.encoders.base import Encoder, OpenedTrack

__all__ = ["embed_tracks"]

_LOOKAHEAD = 2
"""Number of tracks prepared while one is embedded; each holds up to 32 windows."""


def embed_tracks(tracks: pd.DataFrame, encoder: Encoder, layout: Layout) -> Iterator[TrackOutcome]:
    """Embed the tracks of a track table, and yield an outcome for each in the table's order.

    A track whose stored embedding has the same encoder, settings and audio hash is skipped. A
    track that fails is recorded under ``failures/embeddings``, and the next one is embedded;
    only a data root that cannot be written stops the iteration.

    Parameters
    ----------
    tracks : DataFrame
        Rows of the track table.
    encoder : Encoder
    layout : Layout

    Yields
    ------
    TrackOutcome

    Raises
    ------
    StoreError
        If the data root cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from mess_core.datasets import parse_sources, read_tracks
    >>> from mess_core.datasets.demo import write_demo_corpus
    >>> from mess_core.encoders import load_encoder
    >>> encoder = load_encoder("untrained:tiny", device="cpu")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = write_demo_corpus(f"{folder}/demo", works=1, players=2, bars=1)
    ...     tracks, _, _ = read_tracks(parse_sources(f"demo={folder}/demo"))
    ...     outcomes = list(embed_tracks(tracks, encoder, Layout(f"{folder}/root")))
    >>> [(outcome.track_id, outcome.status) for outcome in outcomes]
    [('demo_01_free', 'done'), ('demo_01_steady', 'done')]
    """
    store = EmbeddingStore(layout)
    waiting = iter(tracks.to_dict("records"))
    started: deque[tuple[dict[str, Any], Future[_Prepared]]] = deque()
    with ThreadPoolExecutor(max_workers=_LOOKAHEAD, thread_name_prefix="mess-prepare") as pool:
        try:
            while True:
                # The next tracks are hashed and begin to decode while this one is embedded.
                for row in itertools.islice(waiting, _LOOKAHEAD + 1 - len(started)):
                    started.append((row, pool.submit(_prepare, row, encoder, store)))
                if not started:
                    return
                row, prepared = started.popleft()
                yield _embed_track(row, prepared, encoder, store)
        finally:
            for _, prepared in started:
                if not prepared.cancel() and prepared.exception() is None:
                    prepared.result().close()


@dataclass(frozen=True)
class _Prepared:
    """Facts about a track before the model runs: its hash, why it is stale, its decoder."""

    audio_sha256: str | None = None
    stale: str | None = None
    opened: OpenedTrack | None = None
    error: Exception | None = None

    def close(self) -> None:
        if self.opened is not None:
            self.opened.close()


def _prepare(row: dict[str, Any], encoder: Encoder, store: EmbeddingStore) -> _Prepared:
    import pandas as pd

    if pd.isna(row["audio_path"]):
        return _Prepared()
    try:
        audio_sha256 = file_sha256(row["audio_path"])
    except AudioError as error:
        return _Prepared(error=error)
    stale = store.staleness(
        row["dataset"], row["track_id"], wanted=encoder.identity, audio_sha256=audio_sha256
    )
    opened = None if stale is None else encoder.open(row["audio_path"])
    return _Prepared(audio_sha256, stale, opened)


def _embed_track(
    row: dict[str, Any], future: Future[_Prepared], encoder: Encoder, store: EmbeddingStore
) -> TrackOutcome:
    layout = store.layout
    track_id, dataset = row["track_id"], row["dataset"]
    prepared = future.result()
    audio_sha256, stale = prepared.audio_sha256, prepared.stale
    if audio_sha256 is None and prepared.error is None:
        return TrackOutcome(track_id, dataset, "no audio", {"reason": "the track is MIDI only"})
    began = time.perf_counter()
    try:
        if prepared.error is not None:
            raise prepared.error
        if prepared.opened is None:
            sidecar = store.sidecar(dataset, track_id) or {}
            clear_failure(layout, "embeddings", track_id)
            facts = {"segments": sidecar["shapes"]["segments"][0], "reason": "up to date"}
            return TrackOutcome(track_id, dataset, "fresh", facts, sidecar["sha256"]["segments"])
        embedding = encoder.embed(prepared.opened)
        sidecar = store.write(
            dataset,
            track_id,
            segments=embedding.segments,
            track=embedding.track,
            raw=embedding.raw,
            sidecar={
                "track_id": track_id,
                **encoder.provenance(embedding, audio_sha256=audio_sha256),
            },
        )
    except StoreError:
        prepared.close()
        raise
    except Exception as error:  # any error of a library fails this track only
        # The next scan will find the same hash for a temporarily unreadable file.
        known = row.get("audio_sha256") if is_transient(error) else None
        scanned = known if isinstance(known, str) else "unreadable"
        cause = {"audio": audio_sha256 or scanned, **encoder.identity}
        have = store.sidecar(dataset, track_id)
        if have is not None and audio_sha256 not in (None, have["audio_sha256"]):
            # The embedding is of audio that no longer exists, so it must not be served.
            layout.embedding_sidecar(dataset, track_id).unlink(missing_ok=True)
        record = record_failure(layout, "embeddings", dataset, track_id, error, cause=cause)
        return TrackOutcome(track_id, dataset, "failed", record)
    clear_failure(layout, "embeddings", track_id)
    seconds = time.perf_counter() - began
    facts = {
        "why": stale,
        "shape": str(list(embedding.segments.shape)),
        "segments": int(embedding.segments.shape[0]),
        "layers": int(embedding.segments.shape[1]),
        "dim": int(embedding.segments.shape[2]),
        "norm": float(np.linalg.norm(embedding.track, axis=1).mean()),
        "seconds": seconds,
        "audio_s_per_s": embedding.duration_s / seconds,
    }
    return TrackOutcome(track_id, dataset, "done", facts, sidecar["sha256"]["segments"])
