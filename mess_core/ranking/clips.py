"""Clips: excerpts of performances with all the representations that systems compare.

A clip has notes, one vector per encoder layer, and audio targets. Clips of a library's passages use
the stored embeddings. Clips that are rendered from MIDI are embedded once and cached under a hash
of their notes, the renderer and the encoder.
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
from mess_core.ranking.frames import Frames, clip_frames
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
"""Audio targets that are defined for clips of a few seconds."""

Floats = NDArray[np.float64]
Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Clips:
    """Clips and their representations; all fields are in the same order.

    Attributes
    ----------
    ids : tuple of str
    performances : tuple of Performance
        Read with ``pedal_down=HALF_PEDAL``.
    vectors : ndarray, float32, shape [clips, layers, dim]
        Mean of the encoder's hidden states.
    audio : ndarray, float64, shape [clips, targets]
        In the order of `AUDIO_TARGETS`.
    recordings : tuple of str
        Recording that each clip is cut from; a rendered clip is a recording of its own.
    frames : tuple of ndarray, float16, shape [frames, dim]
        One of the encoder's states over time; empty where no system needs them.
    """

    ids: tuple[str, ...]
    performances: tuple[Performance, ...]
    vectors: Vectors
    audio: Floats
    recordings: tuple[str, ...]
    frames: tuple[Frames, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: Sequence[int]) -> Clips:
        """Return the clips in these rows, in this order."""
        chosen = list(rows)
        return Clips(
            tuple(self.ids[row] for row in chosen),
            tuple(self.performances[row] for row in chosen),
            self.vectors[chosen],
            self.audio[chosen],
            tuple(self.recordings[row] for row in chosen),
            tuple(self.frames[row] for row in chosen) if self.frames else (),
        )

    def __add__(self, other: Clips) -> Clips:
        """Return these clips followed by the others."""
        return Clips(
            self.ids + other.ids,
            self.performances + other.performances,
            np.concatenate([self.vectors, other.vectors]),
            np.concatenate([self.audio, other.audio]),
            self.recordings + other.recordings,
            # Without frames of all there are none, unless one side has no clips.
            self.frames + other.frames
            if (self.frames or not len(self)) and (other.frames or not len(other))
            else (),
        )


def stored_clips(
    passages: pd.DataFrame,
    performances: Sequence[Performance],
    layout: Layout,
    tracks: pd.DataFrame,
) -> Clips:
    """Return the clips of a passage table, from stored embeddings and targets.

    A clip's vector is the mean over its track's segments, weighted by their overlap with the clip
    in seconds; the same holds for its audio targets.

    Parameters
    ----------
    passages : DataFrame
        As returned by `find_passages`.
    performances : sequence of Performance
        Notes of each row of ``passages``.
    layout : Layout
    tracks : DataFrame
        The track table.

    Returns
    -------
    Clips
        In the order of ``passages``.

    Raises
    ------
    StoreError
        If a track of the table has no embedding or no segment targets.
    """
    store = EmbeddingStore(layout)
    dataset = dict(zip(tracks["track_id"].astype(str), tracks["dataset"].astype(str), strict=True))
    vectors: list[Vectors | None] = [None] * len(passages)
    audio: list[Floats | None] = [None] * len(passages)
    row_of = {clip: row for row, clip in enumerate(passages["clip_id"])}
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
            index = row_of[row.clip_id]
            weights = _overlap_weights(bounds, row.start_s, row.end_s)
            vectors[index] = np.tensordot(weights, segments.astype(np.float32), 1).astype(
                np.float32
            )
            audio[index] = _nan_mean(_overlap_weights(times, row.start_s, row.end_s), table)
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
    """Render, embed and describe performances; cached clips are reused.

    Parameters
    ----------
    ids : sequence of str
    performances : sequence of Performance
    folder : UPath
        Folder of the cached vectors and targets.
    identity : mapping
        Identity of the encoder.
    encoder : callable
        Returns the encoder; called only if a clip is not cached.
    engine : {"demo", "fluidsynth", "auto"}
        Renders the notes to audio.
    say : callable
        Called with progress messages.

    Returns
    -------
    Clips
        In the order of ``ids``.

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

    functions = {one.name: one.function for one in targets("audio")}
    made_by = [dict(identity), engine_in_use(engine), TARGETS_VERSION, list(AUDIO_TARGETS)]
    stamp = fingerprint(made_by)
    vectors, audio, frames = [], [], []
    for number, (name, one) in enumerate(zip(ids, performances, strict=True), start=1):
        key = hashlib.sha256((stamp + performance_sha256(one)).encode()).hexdigest()[:32]
        path = folder / stamp[:12] / f"{key}.npy"
        wave: Vectors | None = None
        try:
            cached = read_array(path, mmap=False)
            shape = (int(cached[0]), int(cached[1]))
            vector = cached[2 : 2 + shape[0] * shape[1]].reshape(shape)
            described = cached[2 + vector.size :]
        except (StoreError, ValueError, IndexError):
            wave = render(one, engine=engine)
            vector = encoder().embed(wave).track
            analysis = analyse(wave)
            described = np.array([functions[target](analysis) for target in AUDIO_TARGETS])
            head = np.array(vector.shape, dtype=np.float64)
            write_array(path, np.concatenate([head, vector.ravel(), described]))
        over_time = path.with_name(f"{key}.frames.npy")
        try:
            frames.append(read_array(over_time))
        except StoreError:
            if wave is None:
                wave = render(one, engine=engine)
            frames.append(clip_frames(encoder(), wave))
            write_array(over_time, frames[-1])
        vectors.append(np.asarray(vector, dtype=np.float32))
        audio.append(np.asarray(described, dtype=np.float64))
        if number % 50 == 0:
            say(f"{number} of {len(ids)} clips ({name})")
    return Clips(
        tuple(ids),
        tuple(performances),
        np.stack(vectors),
        np.stack(audio),
        tuple(ids),
        tuple(frames),
    )


def performance_sha256(performance: Performance) -> str:
    """Return a hash of notes and pedal, with times relative to the first onset, in microseconds."""
    digest = hashlib.sha256()
    start = performance.onset_s[0]
    for times in (performance.onset_s, performance.offset_s, performance.pedal_s):
        digest.update(np.round((times - start) * 1e6).astype("<i8").tobytes())
    for numbers in (performance.pitch, performance.velocity):
        digest.update(numbers.astype("<i8").tobytes())
    return digest.hexdigest()


def _overlap_weights(bounds: Floats, start_s: float, end_s: float) -> Floats:
    """Return each segment's share of an excerpt, summing to 1; the nearest one if none overlaps."""
    overlap = np.clip(np.minimum(bounds[1], end_s) - np.maximum(bounds[0], start_s), 0.0, None)
    if overlap.sum() <= 0:
        middle = bounds.mean(axis=0)
        overlap = np.zeros(bounds.shape[1])
        overlap[np.abs(middle - (start_s + end_s) / 2).argmin()] = 1.0
    weights: Floats = overlap / overlap.sum()
    return weights


def _nan_mean(weights: Floats, table: Floats) -> Floats:
    """Return the weighted mean of rows, ignoring NaN; NaN where no weighted row has a value."""
    known = np.isfinite(table) * weights[:, None]
    total = known.sum(axis=0)
    mean: Floats = np.divide(
        (np.where(np.isfinite(table), table, 0.0) * weights[:, None]).sum(axis=0),
        total,
        out=np.full(table.shape[1], np.nan),
        where=total > 0,
    )
    return mean
