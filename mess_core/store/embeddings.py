"""Embeddings on disk: arrays, and a sidecar that records how they were computed.

The sidecar is deleted before the arrays are replaced and written after them, so the
arrays of a track either match its sidecar or count as missing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mess_core.errors import EncoderError, StoreError
from mess_core.store.arrays import read_array, write_array
from mess_core.store.findings import EXAMPLES, Finding
from mess_core.store.layout import Layout
from mess_core.store.tables import read_json, read_table, write_json

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["EmbeddingStore", "array_sha256", "check_embeddings", "tracks_with_audio"]

IDENTITY = ("encoder", "window_s", "hop_s", "normalise", "pooling", "layers", "dtype", "version")
"""Sidecar fields that must be equal for two embeddings to be comparable."""


@dataclass(frozen=True)
class EmbeddingStore:
    """The stored embeddings of the tracks of one data root.

    Examples
    --------
    >>> import tempfile
    >>> import mess_core as mess
    >>> encoder = mess.load_encoder("untrained:tiny", device="cpu")
    >>> noise = np.random.default_rng(0).standard_normal(24_000).astype(np.float32)
    >>> embedding = encoder.embed(noise)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = EmbeddingStore(Layout(folder, encoder.folder))
    ...     sidecar = store.write(
    ...         "takes",
    ...         "noise",
    ...         segments=embedding.segments,
    ...         track=embedding.track,
    ...         sidecar=encoder.provenance(embedding, audio_sha256=None),
    ...     )
    ...     matrix, track_ids, _ = store.matrix([("takes", "noise"), ("takes", "missing")])
    >>> matrix.shape, track_ids
    ((1, 13, 64), ['noise'])
    """

    layout: Layout

    def write(
        self,
        dataset: str,
        track_id: str,
        *,
        segments: NDArray[np.floating[Any]],
        track: NDArray[np.floating[Any]],
        sidecar: dict[str, Any],
        raw: NDArray[np.floating[Any]] | None = None,
    ) -> dict[str, Any]:
        """Store the embedding of one track.

        Parameters
        ----------
        segments : ndarray [segments, layers, dim]
            Stored as float16.
        track : ndarray [layers, dim]
            Stored as float32.
        sidecar : dict
            Must contain `IDENTITY`, ``audio_sha256``, ``start_s`` and ``end_s``.
        raw : ndarray [segments, layers, frames, dim], optional
            Stored as float16.

        Returns
        -------
        dict
            The sidecar as written, with the shapes and checksums of the arrays.

        Raises
        ------
        EncoderError
            If an array is not finite in its stored dtype.
        StoreError
            If the sidecar lacks a field, or a file cannot be written.
        """
        missing = [field for field in (*IDENTITY, "audio_sha256") if field not in sidecar]
        if missing:
            raise StoreError(f"the sidecar of {track_id!r} lacks {', '.join(missing)}")
        with np.errstate(over="ignore"):  # reported below, by name
            arrays: dict[str, NDArray[Any]] = {
                "segments": np.asarray(segments, dtype=np.float16),
                "aggregated": np.asarray(track, dtype=np.float32),
            }
            if raw is not None:
                arrays["raw"] = np.asarray(raw, dtype=np.float16)
        for kind, array in arrays.items():
            if not np.isfinite(array).all():
                raise EncoderError(
                    f"the {kind} embedding of {track_id!r} is not finite as {array.dtype}"
                )
        path = self.layout.embedding_sidecar(dataset, track_id)
        path.unlink(missing_ok=True)
        for kind, array in arrays.items():
            write_array(self.layout.embedding(kind, dataset, track_id), array)
        written = {
            **sidecar,
            "shapes": {kind: list(array.shape) for kind, array in arrays.items()},
            "sha256": {kind: array_sha256(array) for kind, array in arrays.items()},
        }
        write_json(path, written)
        return written

    def sidecar(self, dataset: str, track_id: str) -> dict[str, Any] | None:
        """Return the sidecar of a track, or None if the track has no complete embedding."""
        path = self.layout.embedding_sidecar(dataset, track_id)
        try:
            return read_json(path)
        except StoreError:  # missing or damaged: either way it is computed again
            return None

    def read(self, kind: str, dataset: str, track_id: str) -> NDArray[Any]:
        """Return a memory-mapped array of one track; `kind` is as in `Layout.embedding`.

        Raises
        ------
        StoreError
            If the track has no such embedding, or its shape contradicts the sidecar.
        """
        sidecar = self.sidecar(dataset, track_id)
        if sidecar is None:
            raise StoreError(
                f"track {track_id!r} has no embedding", remedy="Materialise `embeddings` for it"
            )
        if kind not in sidecar["shapes"]:
            raise StoreError(f"track {track_id!r} was stored without {kind!r} embeddings")
        array = read_array(self.layout.embedding(kind, dataset, track_id))
        if list(array.shape) != sidecar["shapes"][kind]:
            raise StoreError(
                f"the {kind} embedding of {track_id!r} has shape {list(array.shape)}, "
                f"its sidecar says {sidecar['shapes'][kind]}",
                remedy="Materialise `embeddings` for it again",
            )
        return array

    def staleness(
        self, dataset: str, track_id: str, *, wanted: dict[str, Any], audio_sha256: str | None
    ) -> str | None:
        """Return why a stored embedding is not the wanted one, or None if it is.

        Parameters
        ----------
        wanted : dict
            Values of `IDENTITY` that the embedding should have.
        audio_sha256 : str or None
            Present hash of the audio.
        """
        sidecar = self.sidecar(dataset, track_id)
        if sidecar is None:
            return "missing"
        for field in IDENTITY:
            if sidecar.get(field) != wanted.get(field):
                return f"other {field}: {sidecar.get(field)!r}, not {wanted.get(field)!r}"
        if sidecar["audio_sha256"] != audio_sha256:
            return "the audio has changed"
        return None

    def matrix(
        self, tracks: Iterable[tuple[str, str]]
    ) -> tuple[NDArray[np.float32], list[str], dict[str, Any]]:
        """Stack the track vectors of the (dataset, track_id) pairs that have an embedding.

        Returns
        -------
        matrix : ndarray, float32, shape [tracks, layers, dim]
        track_ids : list of str
        identity : dict
            The `IDENTITY` values that all of them share.

        Raises
        ------
        StoreError
            If embeddings of different encoders or settings are mixed, or there are none.
        """
        vectors: list[NDArray[np.float32]] = []
        track_ids: list[str] = []
        identity: dict[str, Any] | None = None
        for dataset, track_id in tracks:
            sidecar = self.sidecar(dataset, track_id)
            if sidecar is None:
                continue
            mine = {field: sidecar[field] for field in IDENTITY}
            if identity is not None and mine != identity:
                differing = [field for field in IDENTITY if mine[field] != identity[field]]
                raise StoreError(
                    f"track {track_id!r} was embedded with another {', '.join(differing)} than "
                    f"{track_ids[0]!r} ({mine[differing[0]]!r} and {identity[differing[0]]!r})",
                    remedy="Materialise `embeddings` for all tracks with one encoder",
                )
            identity = mine
            vectors.append(np.array(self.read("aggregated", dataset, track_id)))
            track_ids.append(track_id)
        if identity is None:
            raise StoreError("no track has an embedding", remedy="Materialise `embeddings` first")
        return np.stack(vectors), track_ids, identity


def array_sha256(array: NDArray[Any]) -> str:
    """Return the SHA-256 of an array's dtype, shape and values, in hexadecimal."""
    digest = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def check_embeddings(layout: Layout, wanted: dict[str, Any] | None = None) -> Finding:
    """Check that each track with audio has a finite, current embedding of one encoder.

    Parameters
    ----------
    layout : Layout
    wanted : dict, optional
        Identity that the embeddings should have: that of the configured encoder.
    """
    store = EmbeddingStore(layout)
    tracks = tracks_with_audio(layout)
    missing, stale, broken, encoders = [], [], [], set()
    for row in tracks.itertuples():
        track_id, dataset = str(row.track_id), str(row.dataset)
        sidecar = store.sidecar(dataset, track_id)
        if sidecar is None:
            missing.append(track_id)
            continue
        encoders.add(sidecar["encoder"])
        audio = row.audio_sha256 if isinstance(row.audio_sha256, str) else None
        reason = store.staleness(
            dataset, track_id, wanted=sidecar if wanted is None else wanted, audio_sha256=audio
        )
        if reason is not None:
            stale.append(f"{track_id}: {reason}")
        try:
            finite = bool(np.isfinite(store.read("aggregated", dataset, track_id)).all())
        except StoreError:
            finite = False
        if not finite:
            broken.append(track_id)
    return Finding(
        not (missing or stale or broken) and len(encoders) <= 1,
        {
            "coverage": 1.0 - len(missing) / max(1, len(tracks)),
            "missing": missing[:EXAMPLES],
            "stale": stale[:EXAMPLES],
            "broken": broken[:EXAMPLES],
            "encoders": sorted(encoders),
        },
    )


def tracks_with_audio(layout: Layout) -> pd.DataFrame:
    """Return the rows of the track table that have audio."""
    tracks = read_table(layout.tracks)
    return tracks[tracks["audio_path"].notna()]
