"""One pass over the windows of a track, by one encoder or by several at once."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from os import PathLike
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from mess_core.encoders.embedding import Embedding, EncoderSettings, OpenedTrack
from mess_core.encoders.streaming import RowBuffer, Window, batches
from mess_core.errors import AudioError, EncoderError

__all__ = ["WindowEncoder", "embed_together"]


class WindowEncoder(Protocol):
    """What a pass needs of an encoder; see `mess_core.encoders.base.Encoder`."""

    name: str
    sample_rate: int
    shortest: int
    settings: EncoderSettings

    @property
    def batch_size(self) -> int: ...

    def scaled(self, samples: NDArray[np.float32]) -> NDArray[np.float32]: ...

    def run(self, samples: list[NDArray[np.float32]]) -> Iterator[torch.Tensor]: ...

    def pool(self, states: torch.Tensor) -> NDArray[np.float32]: ...


def embed_together(
    encoders: Sequence[WindowEncoder], opened: OpenedTrack
) -> list[Embedding | Exception]:
    """Embed a track with several encoders, and decode it once.

    Parameters
    ----------
    encoders : sequence of Encoder
        With the same `Encoder.decoding` if there are several.
    opened : OpenedTrack
        From `Encoder.open` for one encoder, from `Encoder.open_shared` for several.

    Returns
    -------
    list of Embedding or Exception
        In the order of `encoders`; the error of one does not stop the others.

    Raises
    ------
    AudioError
        If the audio cannot be used.
    """
    passes = [_Pass(encoder, opened.path) for encoder in encoders]
    errors: dict[int, Exception] = {}
    for batch in batches(opened.windows, lambda: min(one.batch_size for one in encoders)):
        for number, one in enumerate(passes):
            if number in errors:
                continue
            try:
                one.add(batch, scaled=opened.scaled)
            except Exception as error:  # of this encoder only
                errors[number] = error
        if len(errors) == len(passes):
            break
    found: list[Embedding | Exception] = []
    for number, one in enumerate(passes):
        try:
            found.append(errors[number] if number in errors else one.embedding())
        except EncoderError as error:
            found.append(error)
    return found


class _Pass:
    """The windows of a track that an encoder has embedded so far."""

    def __init__(self, encoder: WindowEncoder, path: str | PathLike[str] | None) -> None:
        self._encoder = encoder
        self._path = path
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._pooled = RowBuffer()
        self._raw: list[NDArray[np.float32]] = []
        self._seconds = 0.0

    def add(self, batch: list[Window], *, scaled: bool) -> None:
        """Embed some windows."""
        encoder = self._encoder
        shortest = len(batch[0][1])
        if shortest < encoder.shortest:
            raise AudioError(
                f"is too short: {shortest} samples at {encoder.sample_rate} Hz, "
                f"at least {encoder.shortest} are needed",
                path=self._path,
            )
        self._starts += [start for start, _ in batch]
        self._ends += [start + len(samples) for start, samples in batch]
        began = time.perf_counter()
        samples = [one if scaled else encoder.scaled(one) for _, one in batch]
        for states in encoder.run(samples):
            self._pooled.add(encoder.pool(states))
            if encoder.settings.keep_raw:
                self._raw.append(states.float().cpu().numpy())
        self._seconds += time.perf_counter() - began

    def embedding(self) -> Embedding:
        """Return the embedding of all windows."""
        rate = self._encoder.sample_rate
        segments = self._pooled.array()  # [segments, layers, dim]
        if not np.isfinite(segments).all():
            raise EncoderError(f"{self._encoder.name} returned non-finite values", path=self._path)
        return Embedding(
            segments=segments,
            track=segments.mean(axis=0, dtype=np.float64).astype(np.float32),
            start_s=np.asarray(self._starts) / rate,
            end_s=np.asarray(self._ends) / rate,
            duration_s=self._ends[-1] / rate,
            raw=np.concatenate(self._raw) if self._raw else None,
            seconds=self._seconds,
        )
