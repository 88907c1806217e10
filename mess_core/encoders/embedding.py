"""What embedding a track takes and gives: settings, an opened track, vectors."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mess_core.encoders.pooling import POOLINGS
from mess_core.encoders.streaming import Prefetcher
from mess_core.errors import EncoderError

__all__ = ["EMBEDDING_VERSION", "Embedding", "EncoderSettings", "Normalise", "OpenedTrack"]

EMBEDDING_VERSION = "1"
"""Incremented when the same encoder and settings would give different numbers."""

Normalise = Literal["window", "track", "none"]
Pooling = Literal["mean", "mean+std", "mean+std+delta", "percentiles"]


@dataclass(frozen=True)
class EncoderSettings:
    """How a track is divided into windows, scaled and pooled.

    Attributes
    ----------
    window_s, hop_s : float
        Window length and hop in seconds.
    normalise : {"window", "track", "none"}
        Range over which samples are scaled to zero mean and unit variance before the model.
        "window" is what MERT was trained with; it removes level differences between
        windows, which "track" preserves.
    pooling : {"mean", "mean+std", "mean+std+delta", "percentiles"}
        Over the frames of a window, see `mess_core.encoders.pooling.pool_frames`; all but "mean"
        multiply the dimension.
    batch_size : int
        Windows per forward pass. Does not change results.
    keep_raw : bool
        Whether `Encoder.embed` also returns every frame.

    Raises
    ------
    EncoderError
        If a value is out of range.

    Examples
    --------
    >>> import mess_core as mess
    >>> settings = mess.EncoderSettings(hop_s=5.0, pooling="mean+std")
    >>> settings.window_s, settings.batch_size
    (5.0, 4)
    >>> mess.load_encoder("untrained:tiny", device="cpu", settings=settings).settings == settings
    True
    """

    window_s: float = 5.0
    hop_s: float = 2.5
    normalise: Normalise = "window"
    pooling: Pooling = "mean"
    batch_size: int = 4
    keep_raw: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.hop_s <= self.window_s:
            raise EncoderError(
                f"hop_s must be in (0, window_s], not {self.hop_s} with window_s={self.window_s}"
            )
        if self.normalise not in ("window", "track", "none"):
            raise EncoderError(f"normalise must be window, track or none, not {self.normalise!r}")
        if self.pooling not in POOLINGS:
            known = ", ".join(POOLINGS)
            raise EncoderError(f"pooling must be one of {known}, not {self.pooling!r}")
        if self.batch_size < 1:
            raise EncoderError(f"batch_size must be at least 1, not {self.batch_size}")


@dataclass(frozen=True)
class Embedding:
    """Vectors of one track.

    Attributes
    ----------
    segments : ndarray, float32, shape [segments, layers, dim]
    track : ndarray, float32, shape [layers, dim]
        Mean over segments.
    start_s, end_s : ndarray, float64, shape [segments]
        Start and end of each segment, in seconds.
    duration_s : float
        Duration of the track in seconds.
    raw : ndarray, float32, shape [segments, layers, frames, dim], or None
        Every frame, if `EncoderSettings.keep_raw` is set.
    seconds : float
        How long the encoder took, without decoding.

    Examples
    --------
    >>> import mess_core as mess
    >>> encoder = mess.load_encoder("untrained:tiny", device="cpu")
    >>> noise = np.random.default_rng(0).standard_normal(6 * 24_000).astype(np.float32)
    >>> embedding = encoder.embed(noise)
    >>> embedding.segments.shape, embedding.track.shape
    ((2, 13, 64), (13, 64))
    >>> embedding.start_s.tolist(), embedding.end_s.tolist()
    ([0.0, 1.0], [5.0, 6.0])
    """

    segments: NDArray[np.float32]
    track: NDArray[np.float32]
    start_s: NDArray[np.float64]
    end_s: NDArray[np.float64]
    duration_s: float
    raw: NDArray[np.float32] | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class OpenedTrack:
    """A track that is being decoded; returned by `Encoder.open`, consumed by `Encoder.embed`."""

    path: str | PathLike[str] | None
    windows: Prefetcher
    scaled: bool = True
    """Whether the windows are scaled for one encoder, or as decoded, for several."""

    def close(self) -> None:
        """Stop decoding."""
        self.windows.close()
