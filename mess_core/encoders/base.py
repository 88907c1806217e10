"""The encoder interface: samples in, vectors of every layer out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from os import PathLike
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mess_core.audio import stream_audio
from mess_core.encoders.checkpoint import Checkpoint
from mess_core.encoders.embedding import (
    EMBEDDING_VERSION,
    Embedding,
    EncoderSettings,
    Normalise,
    OpenedTrack,
)
from mess_core.encoders.pooling import pool_frames
from mess_core.encoders.registry import folder_name
from mess_core.encoders.streaming import Prefetcher, Window
from mess_core.encoders.track_pass import embed_together
from mess_core.encoders.windows import stream_windows
from mess_core.errors import AudioError, EncoderError

__all__ = ["Encoder"]


class Encoder:
    """A loaded model with its settings, returned by `load_encoder`.

    Attributes
    ----------
    name : str
        Identity that sidecars record: name and revision or digest, never a path.
    layers : tuple of int
        Hidden states that are computed and returned; 0 is the input of the first block.
    dim : int
        Dimensions of one hidden state; narrower ones are filled with zeros.
    state_names : tuple of str
        What each layer is, such as "input", "block 1" or "final norm".
    parameters : int
        Number of weights of the part that is run.
    architecture : dict
        Fields of the configuration that determine shapes and operations.
    folder : str
        Readable name of the folder of everything computed with this encoder and these settings.
    load_name : str
        What `load_encoder` takes: a known name, or the path of a folder.

    Examples
    --------
    >>> import mess_core as mess
    >>> encoder = mess.load_encoder("untrained:tiny", device="cpu", layers=[0, 6])
    >>> encoder
    Encoder('untrained:tiny@3e21975072ca', layers=2, dim=64, device=cpu, dtype=torch.float32)
    >>> noise = np.random.default_rng(0).standard_normal(24_000).astype(np.float32)
    >>> encoder.hidden_states(noise).shape
    (2, 74, 64)
    """

    def __init__(
        self,
        name: str,
        checkpoint: Checkpoint,
        *,
        device: torch.device,
        dtype: torch.dtype,
        layers: Iterable[int] | None = None,
        settings: EncoderSettings | None = None,
    ) -> None:
        self.name = name
        self.folder = folder_name(*name.partition("@")[::2])
        self.load_name = name.partition("@")[0]
        self.sample_rate = checkpoint.sample_rate
        self.do_normalize = checkpoint.do_normalize
        self.device = device
        self.dtype = dtype
        self.settings = settings or EncoderSettings()
        model = checkpoint.model
        self.architecture = model.architecture
        self.num_layers = model.num_layers
        self.layers = (
            tuple(range(self.num_layers)) if layers is None else tuple(sorted(set(layers)))
        )
        if not self.layers or not all(0 <= layer < self.num_layers for layer in self.layers):
            raise EncoderError(
                f"layers must be within 0..{self.num_layers - 1}, not {list(layers or ())}"
            )
        self.dim = model.dim
        self.parameters = model.parameters
        self.state_names = tuple(model.state_names[layer] for layer in self.layers)
        self.shortest = model.shortest
        model.prepare(self.layers, device, dtype)
        self._model = model
        self._batch_size = self.settings.batch_size

    def __repr__(self) -> str:
        return (
            f"Encoder({self.name!r}, layers={len(self.layers)}, dim={self.dim}, "
            f"device={self.device}, dtype={self.dtype})"
        )

    @property
    def identity(self) -> dict[str, Any]:
        """Sidecar fields that must be equal for two embeddings to be comparable."""
        return {
            "encoder": self.name,
            "window_s": self.settings.window_s,
            "hop_s": self.settings.hop_s,
            "normalise": self.settings.normalise if self.do_normalize else "none",
            "pooling": self.settings.pooling,
            "layers": list(self.layers),
            "dtype": str(self.dtype).removeprefix("torch."),
            "version": EMBEDDING_VERSION,
        }

    def provenance(self, embedding: Embedding, *, audio_sha256: str | None) -> dict[str, Any]:
        """Return the sidecar of an embedding: identity, audio hash, segment times, time taken."""
        return {
            **self.identity,
            "audio_sha256": audio_sha256,
            "sample_rate": self.sample_rate,
            "duration_s": embedding.duration_s,
            "start_s": embedding.start_s.tolist(),
            "end_s": embedding.end_s.tolist(),
            "device": self.device.type,
            "seconds": round(embedding.seconds, 4),
        }

    def hidden_states(self, wave: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the selected hidden states of a piece of audio, treated as one window.

        Parameters
        ----------
        wave : ndarray, float32, shape [samples]
            Mono at `sample_rate`; scaled if the checkpoint requires it.

        Returns
        -------
        ndarray, float32, shape [layers, frames, dim]
            For MERT, ``frames = (samples - 400) // 320 + 1``; for ``mess-piano``, 12.5 per second.

        Raises
        ------
        AudioError
            If the wave is too short for one frame, not one-dimensional or not finite.
        """
        wave = _checked_wave(wave, self.shortest)
        waves = torch.from_numpy(self._scaled(wave, None)[None])
        states = self._forward(waves)  # [1, layers, frames, dim]
        result: NDArray[np.float32] = states[0].float().cpu().numpy()
        return result

    def embed(self, audio: str | PathLike[str] | NDArray[np.float32] | OpenedTrack) -> Embedding:
        """Embed a track.

        Parameters
        ----------
        audio : path-like, fsspec URL, ndarray float32 [samples] at `sample_rate`, or OpenedTrack

        Returns
        -------
        Embedding

        Raises
        ------
        AudioError
            If the audio cannot be used; see `mess_core.audio.load_audio`.
        """
        opened = audio if isinstance(audio, OpenedTrack) else self.open(audio)
        try:
            found = embed_together([self], opened)[0]
        finally:
            opened.close()
        if isinstance(found, Exception):
            raise found
        return found

    def run(self, samples: list[NDArray[np.float32]]) -> Iterator[torch.Tensor]:
        """Yield the states of windows of equal length in parts that fit on the device.

        Parameters
        ----------
        samples : list of ndarray, float32, shape [samples]
            As `open` yields them, or as they were decoded.

        Yields
        ------
        Tensor, shape [part, layers, frames, dim]
        """
        yield from self._forward_fitting(torch.from_numpy(np.stack(samples)))

    def pool(self, states: torch.Tensor) -> NDArray[np.float32]:
        """Pool states over frames, see `pool_frames`."""
        pooled = pool_frames(states.float(), self.settings.pooling)
        found: NDArray[np.float32] = pooled.cpu().numpy()
        return found

    def open(self, audio: str | PathLike[str] | NDArray[np.float32]) -> OpenedTrack:
        """Start decoding a track in a thread, and return it for `embed`.

        Opening the next track while one is embedded keeps a fast device from waiting. Errors
        in the file are raised by `embed`.
        """
        window = round(self.settings.window_s * self.sample_rate)
        hop = round(self.settings.hop_s * self.sample_rate)

        def scaled() -> Iterator[Window]:
            scale = self._track_scale(audio) if self._normalises("track") else None
            for start, samples in stream_windows(self._blocks(audio), window, hop):
                yield start, self._scaled(samples, scale)

        return OpenedTrack(None if isinstance(audio, np.ndarray) else audio, Prefetcher(scaled()))

    def open_shared(self, audio: str | PathLike[str]) -> OpenedTrack:
        """Start decoding a track for all encoders with the same `decoding`."""
        _, window_s, hop_s = self.decoding
        window, hop = round(window_s * self.sample_rate), round(hop_s * self.sample_rate)
        windows = stream_windows(self._blocks(audio), window, hop)
        return OpenedTrack(audio, Prefetcher(windows), scaled=False)

    @property
    def batch_size(self) -> int:
        """Windows per forward pass: as set, or fewer if memory did not suffice."""
        return self._batch_size

    @property
    def decoding(self) -> tuple[int, float, float]:
        """Sample rate, window and hop: encoders with the same can share decoded windows."""
        return self.sample_rate, self.settings.window_s, self.settings.hop_s

    def scaled(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scale a decoded window as `EncoderSettings.normalise` says, unless that is "track"."""
        return self._scaled(samples, None)

    # Implementation ---------------------------------------------------------------------

    @torch.inference_mode()
    def _forward(self, waves: torch.Tensor) -> torch.Tensor:
        """States of waves, [batch, layers, frames, dim]."""
        dtype = torch.float32 if self._model.float32_waves else self.dtype
        return self._model.states(waves.to(self.device, dtype))

    def _forward_fitting(self, waves: torch.Tensor) -> Iterator[torch.Tensor]:
        """Run the model on parts that fit on the GPU, and reuse the size that fits."""
        done = 0
        while done < len(waves):
            try:
                states = self._forward(waves[done : done + self._batch_size])
            except torch.cuda.OutOfMemoryError:
                if self._batch_size == 1:
                    raise EncoderError(
                        f"one window of {waves.shape[1]} samples does not fit on {self.device}",
                        remedy="Free GPU memory, shorten window_s, or use device='cpu'",
                        transient=True,
                    ) from None
                self._batch_size = max(1, self._batch_size // 2)
                torch.cuda.empty_cache()
                continue
            done += len(states)
            yield states

    def _normalises(self, over: Normalise) -> bool:
        return self.do_normalize and self.settings.normalise == over

    def _scaled(
        self, samples: NDArray[np.float32], track_scale: tuple[float, float] | None
    ) -> NDArray[np.float32]:
        # Wav2Vec2FeatureExtractor: (x - mean) / sqrt(var + 1e-7) over the item's samples.
        if track_scale is not None:
            mean, variance = track_scale
            samples = (samples - np.float32(mean)) / np.float32(np.sqrt(variance + 1e-7))
        elif self._normalises("window") or self._normalises("track"):
            samples = (samples - samples.mean()) / np.sqrt(samples.var() + 1e-7)
        return np.ascontiguousarray(samples, dtype=np.float32)

    def _track_scale(self, audio: str | PathLike[str] | NDArray[np.float32]) -> tuple[float, float]:
        count, total, squares = 0, 0.0, 0.0
        for block in self._blocks(audio):
            wide = block.astype(np.float64)
            count += len(wide)
            total += float(wide.sum())
            squares += float(np.square(wide).sum())
        mean = total / max(count, 1)
        return mean, max(squares / max(count, 1) - mean * mean, 0.0)

    def _blocks(
        self, audio: str | PathLike[str] | NDArray[np.float32]
    ) -> Iterator[NDArray[np.float32]]:
        if isinstance(audio, np.ndarray):
            yield _checked_wave(audio, self.shortest)
        else:
            yield from stream_audio(audio, sample_rate=self.sample_rate)


def _checked_wave(wave: NDArray[np.float32], shortest: int) -> NDArray[np.float32]:
    wave = np.asarray(wave, dtype=np.float32)
    if wave.ndim != 1:
        raise AudioError(f"a wave must be mono, shape [samples], not {list(wave.shape)}")
    if len(wave) < shortest:
        raise AudioError(f"a wave of {len(wave)} samples is too short: {shortest} needed")
    if not np.isfinite(wave).all():
        raise AudioError("a wave holds NaN or infinite samples")
    return wave
