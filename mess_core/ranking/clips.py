"""Clips: stretches of performances as everything that systems compare them by.

A clip has notes, a vector per layer of the encoder, and audio targets. Of a library's
passages the vectors are those that are stored; clips that are rendered from MIDI are
embedded once and kept by the hash of their notes, the renderer and the encoder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mess_core.errors import StoreError
from mess_core.midi.performance import Performance
from mess_core.store.arrays import read_array, write_array
from mess_core.store.cache import fingerprint
from mess_core.store.embeddings import EmbeddingStore
from mess_core.store.layout import Layout
from mess_core.store.tables import read_table

if TYPE_CHECKING:
    import pandas as pd

    from mess_core.datasets.rendering import Engine
    from mess_core.encoders import Encoder

__all__ = ["AUDIO_TARGETS", "Clips", "performance_sha256", "rendered_clips", "stored_clips"]

AUDIO_TARGETS = (
    "spectral_centroid", "spectral_bandwidth", "spectral_rolloff", "zero_crossing_rate",
    "onset_density", "dynamic_range", "dynamic_variance", "harmonic_complexity",
    "attack_slopes", "attack_sharpness",
)  # fmt: skip
"""Audio targets that are defined on a few seconds."""

Floats = NDArray[np.float64]
Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Clips:
    """Clips in the same order in all fields.

    Attributes
    ----------
    ids : tuple of str
    performances : tuple of Performance
        Pedal read with the dampers' real lift.
    vectors : ndarray, float32, shape [clips, layers, dim]
        Mean of the encoder's states.
    audio : ndarray, float64, shape [clips, targets]
        In the order of `AUDIO_TARGETS`.
    recordings : tuple of str
        What each is cut from; a rendered clip is a recording of its own.
    """

    ids: tuple[str, ...]
    performances: tuple[Performance, ...]
    vectors: Vectors
    audio: Floats
    recordings: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: Sequence[int]) -> Clips:
        """Some of the clips, in this order."""
        chosen = list(rows)
        return Clips(
            tuple(self.ids[row] for row in chosen),
            tuple(self.performances[row] for row in chosen),
            self.vectors[chosen],
            self.audio[chosen],
            tuple(self.recordings[row] for row in chosen),
        )

    def __add__(self, other: Clips) -> Clips:
        """These clips, then the others."""
        return Clips(
            self.ids + other.ids,
            self.performances + other.performances,
            np.concatenate([self.vectors, other.vectors]),
            np.concatenate([self.audio, other.audio]),
            self.recordings + other.recordings,
        )


def stored_clips(
    passages: pd.DataFrame,
    performances: Sequence[Performance],
    layout: Layout,
    tracks: pd.DataFrame,
) -> Clips:
    """Clips of a passage table from what is stored of their tracks.

    A clip's vector is the mean of its track's segments, each weighted by the seconds that it
    shares with the clip; its audio targets likewise.

    Raises
    ------
    StoreError
        If a track of the table has no embedding or no segment targets.
    """
    store = EmbeddingStore(layout)
    dataset = dict(zip(tracks["track_id"].astype(str), tracks["dataset"].astype(str), strict=True))
    vectors: list[Vectors | None] = [None] * len(passages)
    audio: list[Floats | None] = [None] * len(passages)
    place = {clip: row for row, clip in enumerate(passages["clip_id"])}
    for track, rows in passages.groupby("track_id", sort=False):
        name = str(track)
        sidecar = store.sidecar(dataset[name], name)
        if sidecar is None:
            raise StoreError(
                f"track {name!r} has no embedding", remedy="Materialise `embeddings` for it"
            )
        segments = store.read("segments", dataset[name], name)  # [segments, layers, dim]
        bounds = np.asarray([sidecar["start_s"], sidecar["end_s"]], dtype=np.float64)
        targets = read_table(layout.segment_targets(dataset[name], name))
        table = targets[list(AUDIO_TARGETS)].to_numpy(dtype=np.float64)
        times = targets[["start_s", "end_s"]].to_numpy(dtype=np.float64).T
        for row in rows.itertuples():
            at = place[row.clip_id]
            share = _shared_s(bounds, row.start_s, row.end_s)
            vectors[at] = np.tensordot(share, segments.astype(np.float32), 1).astype(np.float32)
            audio[at] = _nan_mean(_shared_s(times, row.start_s, row.end_s), table)
    return Clips(
        tuple(passages["clip_id"]),
        tuple(performances),
        np.stack([one for one in vectors if one is not None]),
        np.stack([one for one in audio if one is not None]),
        tuple(passages["track_id"].astype(str)),
    )


def rendered_clips(
    ids: Sequence[str],
    performances: Sequence[Performance],
    folder: Any,
    *,
    identity: Mapping[str, Any],
    encoder: Callable[[], Encoder],
    engine: Engine = "demo",
    say: Callable[[str], None] = lambda _: None,
) -> Clips:
    """Clips that exist as notes only: rendered, embedded, described; what is kept is reused.

    Parameters
    ----------
    ids : sequence of str
    performances : sequence of Performance
    folder : UPath
        Where vectors and targets are kept.
    identity : mapping
        Of the encoder.
    encoder : callable
        Gives the encoder; called only when a clip is not kept.
    engine : {"demo", "fluidsynth", "auto"}
    say : callable
        Called with lines of progress.

    Raises
    ------
    AudioError
        If a clip cannot be rendered or embedded.
    StoreError
        If the folder cannot be written.
    """
    from mess_core.datasets.rendering import engine_in_use, render
    from mess_core.targets.analysis import analyse
    from mess_core.targets.registry import TARGETS_VERSION, targets

    chosen = {one.name: one.function for one in targets("audio")}
    made_by = [dict(identity), engine_in_use(engine), TARGETS_VERSION, list(AUDIO_TARGETS)]
    stamp = fingerprint(made_by)
    vectors, audio = [], []
    for number, (name, one) in enumerate(zip(ids, performances, strict=True), start=1):
        key = hashlib.sha256((stamp + performance_sha256(one)).encode()).hexdigest()[:32]
        place = folder / stamp[:12] / f"{key}.npy"
        try:
            kept = read_array(place, mmap=False)
            shape = (int(kept[0]), int(kept[1]))
            vector = kept[2 : 2 + shape[0] * shape[1]].reshape(shape)
            described = kept[2 + vector.size :]
        except (StoreError, ValueError, IndexError):
            wave = render(one, engine=engine)
            vector = encoder().embed(wave).track
            analysis = analyse(wave)
            described = np.array([chosen[target](analysis) for target in AUDIO_TARGETS])
            head = np.array(vector.shape, dtype=np.float64)
            write_array(place, np.concatenate([head, vector.ravel(), described]))
        vectors.append(np.asarray(vector, dtype=np.float32))
        audio.append(np.asarray(described, dtype=np.float64))
        if number % 50 == 0:
            say(f"{number} of {len(ids)} clips ({name})")
    return Clips(tuple(ids), tuple(performances), np.stack(vectors), np.stack(audio), tuple(ids))


def performance_sha256(performance: Performance) -> str:
    """Hash of notes and pedal, counted from the first onset, to the microsecond."""
    digest = hashlib.sha256()
    start = performance.onset_s[0]
    for times in (performance.onset_s, performance.offset_s, performance.pedal_s):
        digest.update(np.round((times - start) * 1e6).astype("<i8").tobytes())
    for numbers in (performance.pitch, performance.velocity):
        digest.update(numbers.astype("<i8").tobytes())
    return digest.hexdigest()


def _shared_s(bounds: Floats, start_s: float, end_s: float) -> Floats:
    """Share of each segment in a stretch, summing to 1; the nearest one if none overlaps."""
    shared = np.clip(np.minimum(bounds[1], end_s) - np.maximum(bounds[0], start_s), 0.0, None)
    if shared.sum() <= 0:
        middle = bounds.mean(axis=0)
        shared = np.zeros(bounds.shape[1])
        shared[np.abs(middle - (start_s + end_s) / 2).argmin()] = 1.0
    weights: Floats = shared / shared.sum()
    return weights


def _nan_mean(weights: Floats, table: Floats) -> Floats:
    """Weighted mean of rows, NaN only where no weighted row has a value."""
    known = np.isfinite(table) * weights[:, None]
    total = known.sum(axis=0)
    mean: Floats = np.divide(
        (np.where(np.isfinite(table), table, 0.0) * weights[:, None]).sum(axis=0),
        total,
        out=np.full(table.shape[1], np.nan),
        where=total > 0,
    )
    return mean
