"""Embed many tracks into the store: skip current embeddings, and record failures."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mess_core.audio import file_sha256
from mess_core.encoders.base import Encoder
from mess_core.encoders.embedding import Embedding, OpenedTrack
from mess_core.encoders.track_pass import embed_together
from mess_core.errors import AudioError, StoreError
from mess_core.store.embeddings import EmbeddingStore
from mess_core.store.failures import clear_failure, is_transient, record_failure
from mess_core.store.layout import Layout
from mess_core.store.outcomes import TrackOutcome
from mess_core.store.stored_encoders import record_encoder

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["embed_tracks"]

_LOOKAHEAD = 2
"""Number of tracks prepared while one is embedded; each holds up to 32 windows."""


def embed_tracks(
    tracks: pd.DataFrame, encoders: Encoder | Sequence[Encoder], layout: Layout
) -> Iterator[TrackOutcome]:
    """Embed the tracks of a track table, and yield an outcome for each in the table's order.

    Results are stored in the folder of the encoder. Several encoders share decoded audio, as far
    as they take the same sample rate and windows.

    A track whose stored embedding has the same encoder, settings and audio hash is skipped. A
    track that fails is recorded under ``failures/embeddings``, and the next one is embedded;
    only a data root that cannot be written stops the iteration.

    Parameters
    ----------
    tracks : DataFrame
        Rows of the track table.
    encoders : Encoder or sequence of Encoder
    layout : Layout

    Yields
    ------
    TrackOutcome
        For each track as many as there are encoders, in their order.

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
    chosen = [encoders] if isinstance(encoders, Encoder) else list(encoders)
    stores = [_open_store(layout, one) for one in chosen]
    waiting = iter(tracks.to_dict("records"))
    started: deque[tuple[dict[str, Any], Future[_Prepared]]] = deque()
    with ThreadPoolExecutor(max_workers=_LOOKAHEAD, thread_name_prefix="mess-prepare") as pool:
        try:
            while True:
                # The next tracks are hashed and begin to decode while this one is embedded.
                for row in itertools.islice(waiting, _LOOKAHEAD + 1 - len(started)):
                    started.append((row, pool.submit(_prepare, row, chosen, stores)))
                if not started:
                    return
                row, prepared = started.popleft()
                yield from _embed_track(row, prepared.result(), chosen, stores)
        finally:
            for _, prepared in started:
                if not prepared.cancel() and prepared.exception() is None:
                    prepared.result().close()


@dataclass(frozen=True)
class _Prepared:
    """Facts about a track before the models run: its hash, why it is stale, its decoders.

    ``opened`` contains the numbers of the encoders that share a decoder, and the decoder.
    """

    audio_sha256: str | None = None
    stale: tuple[str | None, ...] = ()
    opened: tuple[tuple[tuple[int, ...], OpenedTrack], ...] = ()
    error: Exception | None = None

    def close(self) -> None:
        for _, one in self.opened:
            one.close()


def _open_store(layout: Layout, encoder: Encoder) -> EmbeddingStore:
    own = layout.of(encoder.folder)
    record_encoder(own, encoder.load_name, encoder.identity)
    return EmbeddingStore(own)


def _prepare(
    row: dict[str, Any], encoders: Sequence[Encoder], stores: Sequence[EmbeddingStore]
) -> _Prepared:
    import pandas as pd

    if pd.isna(row["audio_path"]):
        return _Prepared()
    try:
        audio_sha256 = file_sha256(row["audio_path"])
    except AudioError as error:
        return _Prepared(error=error)
    stale = tuple(
        store.staleness(
            row["dataset"], row["track_id"], wanted=encoder.identity, audio_sha256=audio_sha256
        )
        for encoder, store in zip(encoders, stores, strict=True)
    )
    sharing: dict[tuple[Any, ...], list[int]] = {}
    for number, encoder in enumerate(encoders):
        if stale[number] is not None:
            own = (number,) if encoder.settings.normalise == "track" else ()
            sharing.setdefault((*encoder.decoding, *own), []).append(number)
    opened = []
    for numbers in sharing.values():
        first = encoders[numbers[0]]
        start = first.open if len(numbers) == 1 else first.open_shared
        opened.append((tuple(numbers), start(row["audio_path"])))
    return _Prepared(audio_sha256, stale, tuple(opened))


def _embed_track(
    row: dict[str, Any],
    prepared: _Prepared,
    encoders: Sequence[Encoder],
    stores: Sequence[EmbeddingStore],
) -> Iterator[TrackOutcome]:
    """Yield the outcome of each encoder for one track."""
    if prepared.audio_sha256 is None and prepared.error is None:
        facts = {"reason": "the track is MIDI only"}
        for encoder in encoders:
            yield TrackOutcome(
                row["track_id"], row["dataset"], "no audio", facts, encoder=encoder.folder
            )
        return
    found: dict[int, Embedding | Exception] = {}
    seconds: dict[int, float] = {}
    try:
        for numbers, opened in prepared.opened:
            began = time.perf_counter()
            results: list[Embedding | Exception]
            try:
                if opened.scaled:
                    results = [encoders[numbers[0]].embed(opened)]
                else:
                    results = embed_together([encoders[one] for one in numbers], opened)
            except Exception as error:  # any error of a library fails this track only
                results = [error] * len(numbers)
            finally:
                opened.close()
            found |= dict(zip(numbers, results, strict=True))
            took = time.perf_counter() - began
            seconds |= dict.fromkeys(numbers, took / len(numbers))
    finally:
        prepared.close()
    for number, (encoder, store) in enumerate(zip(encoders, stores, strict=True)):
        result = prepared.error or found.get(number)
        if result is None:
            yield _fresh(row, encoder, store)
        elif isinstance(result, Exception):
            yield _failed(row, result, prepared.audio_sha256, encoder, store)
        else:
            known = {"why": prepared.stale[number], "seconds": seconds[number]}
            yield _stored(row, result, known, prepared.audio_sha256, encoder, store)


def _fresh(row: dict[str, Any], encoder: Encoder, store: EmbeddingStore) -> TrackOutcome:
    track_id, dataset = row["track_id"], row["dataset"]
    sidecar = store.sidecar(dataset, track_id) or {}
    clear_failure(store.layout, "embeddings", track_id)
    facts = {"segments": sidecar["shapes"]["segments"][0], "reason": "up to date"}
    digest = sidecar["sha256"]["segments"]
    return TrackOutcome(track_id, dataset, "fresh", facts, digest, encoder.folder)


def _failed(
    row: dict[str, Any],
    error: Exception,
    audio_sha256: str | None,
    encoder: Encoder,
    store: EmbeddingStore,
) -> TrackOutcome:
    """Record a failure, and remove an embedding of audio that no longer exists."""
    track_id, dataset, layout = row["track_id"], row["dataset"], store.layout
    # The next scan will find the same hash for a temporarily unreadable file.
    known = row.get("audio_sha256") if is_transient(error) else None
    scanned = known if isinstance(known, str) else "unreadable"
    cause = {"audio": audio_sha256 or scanned, **encoder.identity}
    have = store.sidecar(dataset, track_id)
    if have is not None and audio_sha256 not in (None, have["audio_sha256"]):
        layout.embedding_sidecar(dataset, track_id).unlink(missing_ok=True)
    record = record_failure(layout, "embeddings", dataset, track_id, error, cause=cause)
    return TrackOutcome(track_id, dataset, "failed", record, encoder=encoder.folder)


def _stored(
    row: dict[str, Any],
    embedding: Embedding,
    facts: dict[str, Any],
    audio_sha256: str | None,
    encoder: Encoder,
    store: EmbeddingStore,
) -> TrackOutcome:
    """Store an embedding; arrays that are not finite fail the track."""
    track_id, dataset = row["track_id"], row["dataset"]
    try:
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
        raise
    except Exception as error:
        return _failed(row, error, audio_sha256, encoder, store)
    clear_failure(store.layout, "embeddings", track_id)
    shown = {
        "why": facts["why"],
        "shape": str(list(embedding.segments.shape)),
        "segments": int(embedding.segments.shape[0]),
        "layers": int(embedding.segments.shape[1]),
        "dim": int(embedding.segments.shape[2]),
        "norm": float(np.linalg.norm(embedding.track, axis=1).mean()),
        "seconds": facts["seconds"],
        "audio_s_per_s": embedding.duration_s / facts["seconds"],
    }
    digest = sidecar["sha256"]["segments"]
    return TrackOutcome(track_id, dataset, "done", shown, digest, encoder.folder)
