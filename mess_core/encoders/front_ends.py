"""What turns samples into the input of a model: waves as they are, or a model's own spectrogram.

Spectrograms of AST, Whisper and CLAP are those of transformers' feature extractors; the decibel
mel spectrogram of MuQ, MusicFM and MERT v2 is written here, since torchaudio is no dependency.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from mess_core.encoders.families import Family

__all__ = ["DecibelMel", "FrontEnd", "make_front_end", "mel_bank"]

_FBANK_HOP, _FBANK_WINDOW = 160, 400
_PATCH = 16


class FrontEnd:
    """Samples to the keyword arguments of a model.

    Parameters
    ----------
    family : Family
    extract : callable or None
        Maps a list of waves to an array of features; None passes waves on.
    argument : str
        Name of the model's argument.
    patch_stride : int
        Mel frames or bands from one patch to the next, for patches.
    bands : int
        Mel bands of the input, for patches.
    """

    def __init__(
        self,
        family: Family,
        extract: Callable[[list[Any]], Any] | None = None,
        argument: str = "input_values",
        patch_stride: int = _PATCH,
        bands: int = 128,
    ) -> None:
        self._family = family
        self._extract = extract
        self._argument = argument
        self._stride = patch_stride
        self._rows = (bands - _PATCH) // patch_stride + 1

    def __call__(
        self, waves: torch.Tensor, *, device: torch.device, dtype: torch.dtype
    ) -> dict[str, Any]:
        """Return the model's arguments for waves, float32 [batch, samples]."""
        if self._family.front_end == "own":  # computes its spectrogram in float32
            return {self._argument: waves.to(device=device, dtype=torch.float32)}
        if self._extract is None:
            given = waves[:, None] if self._family.tokens == "channels" else waves
        else:
            given = torch.as_tensor(self._extract(list(waves.cpu().float().numpy())))
        return {self._argument: given.to(device=device, dtype=dtype)}

    def valid_frames(self, samples: int) -> int | None:
        """Return how many frames are of the wave; None if all are."""
        if not self._family.padded:
            return None
        return max(1, samples // self._family.samples_per_frame)

    def patches_to_frames(self, state: torch.Tensor, samples: int) -> torch.Tensor:
        """Average patches over frequency, and drop those of padding and special tokens.

        Parameters
        ----------
        state : Tensor, shape [batch, tokens, dim]

        Returns
        -------
        Tensor, shape [batch, frames, dim]
        """
        mel_frames = 1 + (samples - _FBANK_WINDOW) // _FBANK_HOP
        valid = max(1, (mel_frames - _PATCH) // self._stride + 1)
        if self._family.name == "ast":  # two special tokens, then frequency by time
            tokens = state[:, 2:]
            grid = tokens.reshape(len(tokens), self._rows, -1, tokens.shape[-1]).mean(dim=1)
        else:  # one special token, then time by frequency
            tokens = state[:, 1:]
            grid = tokens.reshape(len(tokens), -1, self._rows, tokens.shape[-1]).mean(dim=2)
        return grid[:, :valid]


def make_front_end(
    family: Family, preprocessor: Mapping[str, Any], config: Mapping[str, Any]
) -> FrontEnd:
    """Return the front end of a family.

    Parameters
    ----------
    family : Family
    preprocessor, config : mapping
        Content of ``preprocessor_config.json`` and ``config.json``.
    """
    if family.front_end == "own":
        return FrontEnd(family, None, "waves")
    if family.front_end == "wave":
        argument = {"encodec": "hidden_states", "dac": "hidden_state"}.get(
            family.name, "input_values"
        )
        return FrontEnd(family, None, argument)
    import transformers

    if family.front_end == "fbank":
        with warnings.catch_warnings():
            # The lowest of 128 bands are narrower than a bin, as in the published model.
            warnings.filterwarnings("ignore", message="At least one mel filter has all zero")
            extractor = transformers.ASTFeatureExtractor(**_known(preprocessor))
        stride = int(config.get("time_stride", 10)) if family.name == "ast" else _PATCH
        argument = "input_values" if family.name == "ast" else "pixel_values"
        extract = _extracting(extractor, "input_values", family)
        if family.name == "audiomae":
            features = extract

            def extract(waves: list[Any]) -> Any:  # one channel
                return features(waves)[:, None]

        return FrontEnd(family, extract, argument, stride)
    if family.front_end == "whisper":
        mels = int(config.get("num_mel_bins", 80))
        extractor = transformers.WhisperFeatureExtractor(
            **{"feature_size": mels, **_known(preprocessor)}
        )
        return FrontEnd(family, _extracting(extractor, "input_features", family), "input_features")
    extractor = transformers.ClapFeatureExtractor(
        **{"truncation": "rand_trunc", "padding": "repeatpad", **_known(preprocessor)}
    )
    return FrontEnd(family, _extracting(extractor, "input_features", family), "input_features")


def _known(preprocessor: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in preprocessor.items()
        if name not in {"feature_extractor_type", "processor_class", "return_attention_mask"}
    }


def _extracting(extractor: Any, key: str, family: Family) -> Callable[[list[Any]], Any]:
    rate = int(getattr(extractor, "sampling_rate", family.sample_rate))

    def extract(waves: list[Any]) -> Any:
        found = extractor(waves, sampling_rate=rate, return_tensors="np")[key]
        return np.asarray(found, dtype=np.float32)

    return extract


class DecibelMel:
    """Mel power spectrogram in dB, as ``torchaudio.transforms`` computes it by default.

    No module, so that its tensors stay in float32 where a model's are cast.

    Parameters
    ----------
    hop : int
        Samples from one frame to the next.
    bank : Tensor, float32, shape [frequencies, bands], optional
        By default 128 bands on HTK's mel scale from 0 to 12 kHz, triangles of height 1.
    window : Tensor, float32, shape [n_fft], optional
        By default a periodic Hann window of 2048.
    """

    def __init__(
        self,
        *,
        hop: int = 240,
        bank: torch.Tensor | None = None,
        window: torch.Tensor | None = None,
    ) -> None:
        self.hop = hop
        self.bank = mel_bank() if bank is None else bank.float()
        self.window = torch.hann_window(2048) if window is None else window.float()

    def __call__(self, waves: torch.Tensor) -> torch.Tensor:
        """Map waves [batch, samples] to dB, [batch, frames, bands]; the last frame is dropped."""
        spectrum = torch.stft(
            waves.float(),
            len(self.window),
            self.hop,
            window=self.window.to(waves.device),
            center=True,
            pad_mode="reflect",
            return_complex=True,
        )
        power = spectrum.real.square() + spectrum.imag.square()
        mel = power.transpose(1, 2) @ self.bank.to(waves.device)
        decibels: torch.Tensor = 10.0 * torch.log10(mel.clamp_min(1e-10))
        return decibels[:, :-1]


def mel_bank(*, sample_rate: int = 24_000, n_fft: int = 2048, bands: int = 128) -> torch.Tensor:
    """Return the filter bank of `DecibelMel`, float32 [frequencies, bands]."""
    import librosa

    bank = librosa.filters.mel(
        sr=sample_rate, n_fft=n_fft, n_mels=bands, htk=True, norm=None, fmin=0.0
    )
    return torch.from_numpy(bank.T.astype(np.float32).copy())
