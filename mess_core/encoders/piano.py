"""``mess-piano``: a small encoder for piano recordings, log-mel in, nine states of 192 out.

A log-mel front end (160 bands, 50 frames per second) whose absolute level survives, two strided
convolutions to 12.5 states per second, and eight blocks of self-attention and depthwise
convolution (after Gulati et al., "Conformer", Interspeech 2020, without its half-step residuals).
State 0 is the input of block 1, state i the output of block i, before the final norm.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from mess_core.encoders.checkpoint import Checkpoint, parameter_count
from mess_core.encoders.families import Family
from mess_core.encoders.registry import weights_file
from mess_core.errors import EncoderError

__all__ = [
    "CENTRE",
    "FAMILY",
    "FLOOR",
    "HOP",
    "SAMPLE_RATE",
    "SCALE",
    "STATE_HOP",
    "WORKS",
    "LogMel",
    "PianoConfig",
    "PianoModel",
    "PianoStates",
    "open_folder",
]

SAMPLE_RATE = 24_000
HOP = 480
"""Samples from one mel frame to the next."""

STATE_HOP = 4 * HOP
"""Samples from one state to the next."""

FAMILY = "mess-piano"
"""Name of the architecture, as recorded in identities."""

WORKS = "mess-piano.works.parquet"
"""File of the works that they were trained on, see `mess_core.encoders.heard_works`."""

_WINDOW = 2048
FLOOR = 1e-7
CENTRE, SCALE = -9.0, 4.0
"""The front end gives (log(power + FLOOR) - CENTRE) / SCALE, about -1 to 1 for piano music."""


@dataclass(frozen=True)
class PianoConfig:
    """Size of the encoder.

    Attributes
    ----------
    bands : int
        Mel bands.
    dim, heads, blocks, hidden, kernel : int
        Width of the states, attention heads, blocks, width of the feed-forward layers, and
        states that the depthwise convolution sees.
    """

    bands: int = 160
    dim: int = 192
    heads: int = 4
    blocks: int = 8
    hidden: int = 512
    kernel: int = 15


class LogMel(nn.Module):
    """Samples to log-mel power, [batch, samples] to [batch, frames, bands].

    Slaney's mel scale from 27.5 Hz to 11 kHz; no normalisation, so level is kept.
    """

    bank: torch.Tensor
    window: torch.Tensor

    def __init__(self, bands: int = 160) -> None:
        super().__init__()
        import librosa

        bank = librosa.filters.mel(
            sr=SAMPLE_RATE, n_fft=_WINDOW, n_mels=bands, fmin=27.5, fmax=11_000.0
        )
        self.register_buffer("bank", torch.from_numpy(bank.astype(np.float32)), persistent=False)
        self.register_buffer("window", torch.hann_window(_WINDOW), persistent=False)

    def forward(self, waves: torch.Tensor) -> torch.Tensor:
        spectrum = torch.stft(
            waves, _WINDOW, HOP, window=self.window, center=True, return_complex=True
        )
        power = spectrum.real.square() + spectrum.imag.square()
        mel = power.transpose(1, 2) @ self.bank.T
        scaled: torch.Tensor = (torch.log(mel + FLOOR) - CENTRE) / SCALE
        return scaled


class _Block(nn.Module):
    def __init__(self, config: PianoConfig) -> None:
        super().__init__()
        dim = config.dim
        self.heads = config.heads
        self.attention_norm = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.merged = nn.Linear(dim, dim)
        self.convolution_norm = nn.LayerNorm(dim)
        self.widen = nn.Linear(dim, 2 * dim)
        self.depthwise = nn.Conv1d(dim, dim, config.kernel, padding=config.kernel // 2, groups=dim)
        self.narrow = nn.Linear(dim, dim)
        self.forward_norm = nn.LayerNorm(dim)
        self.up = nn.Linear(dim, config.hidden)
        self.down = nn.Linear(config.hidden, dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, length, dim = x.shape
        q, k, v = (
            self.qkv(self.attention_norm(x))
            .view(batch, length, 3, self.heads, dim // self.heads)
            .permute(2, 0, 3, 1, 4)
        )
        attended = nn.functional.scaled_dot_product_attention(q, k, v)
        x = x + self.merged(attended.transpose(1, 2).reshape(batch, length, dim))
        gated = nn.functional.glu(self.widen(self.convolution_norm(x)), dim=-1)
        local = self.depthwise(gated.transpose(1, 2)).transpose(1, 2)
        x = x + self.narrow(nn.functional.silu(local))
        wide = nn.functional.silu(self.up(self.forward_norm(x)))
        out: torch.Tensor = x + self.down(wide)
        return out


class PianoModel(nn.Module):
    """Log-mel frames to states.

    Parameters
    ----------
    config : PianoConfig
    """

    def __init__(self, config: PianoConfig | None = None) -> None:
        super().__init__()
        self.config = config or PianoConfig()
        dim = self.config.dim
        self.first = nn.Conv1d(self.config.bands, dim, 3, stride=2, padding=1)
        self.second = nn.Conv1d(dim, dim, 3, stride=2, padding=1)
        self.entry_norm = nn.LayerNorm(dim)
        self.blocks = nn.ModuleList(_Block(self.config) for _ in range(self.config.blocks))
        self.final_norm = nn.LayerNorm(dim)

    def forward(self, mel: torch.Tensor, *, last: int | None = None) -> list[torch.Tensor]:
        """States 0 to `last` (all by default), each [batch, states, dim].

        Parameters
        ----------
        mel : Tensor, float32, shape [batch, frames, bands]
        """
        x = nn.functional.gelu(self.first(mel.transpose(1, 2)))
        x = nn.functional.gelu(self.second(x)).transpose(1, 2)
        x = self.entry_norm(x) + _positions(x.shape[1], x.shape[2], x.device, x.dtype)
        states = [x]
        for block in self.blocks[: len(self.blocks) if last is None else last]:
            states.append(block(states[-1]))
        return states


def _positions(length: int, dim: int, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """Sinusoidal positions (Vaswani et al., 2017), scaled to a tenth, [length, dim]."""
    steps = torch.arange(length, device=device, dtype=torch.float32)[:, None]
    rates = torch.exp(
        torch.arange(0, dim, 2, device=device, dtype=torch.float32) * (-math.log(1e4) / dim)
    )
    both = torch.stack([torch.sin(steps * rates), torch.cos(steps * rates)], dim=-1)
    return (0.1 * both.reshape(length, dim)).to(dtype)


class PianoStates:
    """A `PianoModel` with its front end, as `mess_core.encoders.checkpoint.StateModel`.

    Parameters
    ----------
    model : PianoModel
        In evaluation mode.
    """

    shortest = _WINDOW
    float32_waves = False

    def __init__(self, model: PianoModel) -> None:
        self._model = model
        self._front_end = LogMel(model.config.bands)
        self.parameters = parameter_count(model)
        self.num_layers = model.config.blocks + 1
        self.dim = model.config.dim
        self.state_names = ("input", *(f"block {one}" for one in range(1, self.num_layers)))
        self._layers: tuple[int, ...] = ()

    @property
    def architecture(self) -> dict[str, Any]:
        """Name of the family and sizes."""
        return {"family": FAMILY, **asdict(self._model.config)}

    def prepare(self, layers: tuple[int, ...], device: torch.device, dtype: torch.dtype) -> None:
        """Remember which states are wanted, and move the model to a device.

        The front end stays in float32: the logarithm of small powers needs its range.
        """
        self._layers = layers
        self._model = self._model.to(device=device, dtype=dtype)
        self._front_end = self._front_end.to(device)

    def states(self, waves: torch.Tensor) -> torch.Tensor:
        """Map waves [batch, samples] to the prepared states, [batch, layers, frames, dim]."""
        mel = self._front_end(waves.float()).to(waves.dtype)
        found = self._model(mel, last=max(self._layers))
        return torch.stack([found[layer] for layer in self._layers], dim=1)


def open_folder(folder: Path, family: Family) -> Checkpoint:
    """Return the encoder with the weights in a folder.

    Parameters
    ----------
    folder : Path
        Contains a safetensors file of float16 or float32: every tensor of the architecture, and no
        other.
    family : Family

    Raises
    ------
    EncoderError
        If the file cannot be read, or a tensor is missing, unexpected, of another shape or not
        finite.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    model, path = PianoModel(), str(weights_file(folder, family))
    try:
        state = {name: value.float() for name, value in load(Path(path).read_bytes()).items()}
        model.load_state_dict(state, strict=True)
    except OSError as error:
        raise EncoderError(f"cannot be read ({error})", path=path) from error
    except (SafetensorError, RuntimeError) as error:
        raise EncoderError(
            f"does not fit the small piano encoder ({' '.join(str(error).split())[:600]})",
            path=path,
            remedy="Train the encoder again with `mess train-encoder`",
        ) from error
    broken = [name for name, value in state.items() if not torch.isfinite(value).all()]
    if broken:
        raise EncoderError(f"contains non-finite values in {broken[0]!r}", path=path)
    return Checkpoint(
        model=PianoStates(model.eval().requires_grad_(False)),
        do_normalize=False,
        sample_rate=SAMPLE_RATE,
    )
