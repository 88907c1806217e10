"""MERT v2 (m-a-p, 2026): written from its published description, since its own code is remote.

A decibel mel spectrogram whose window, filter bank, mean and deviation are in the weights; three
stages of one-dimensional ConvNeXt v2 (Woo et al., CVPR 2023); 24 Conformer blocks with half-step
feed-forward layers (Gulati et al., Interspeech 2020), layer norm instead of batch norm, and rotary
positions (Su et al., 2021) on the projected queries and keys. 25 states per second. Agrees with the
authors' code to 1e-4 (``tests/encoders/golden``).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from mess_core.encoders.checkpoint import Checkpoint
from mess_core.encoders.families import Family
from mess_core.encoders.front_ends import DecibelMel, mel_bank
from mess_core.encoders.native import own_checkpoint, seeded
from mess_core.encoders.registry import weights_file
from mess_core.encoders.weight_files import load_strictly, read_json, read_weights
from mess_core.errors import EncoderError

__all__ = ["MertV2Model", "open_folder", "untrained"]

_PUBLISHED: dict[str, Any] = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "num_mel_bins": 128,
    "sampling_rate": 24_000,
    "n_fft": 2048,
    "hop_length": 240,
    "subsampling_channels": [128, 512, 1024],
    "subsampling_depths": [3, 4, 5],
    "conv_depthwise_kernel_size": 31,
    "rotary_embedding_base": 10_000,
    "layer_norm_eps": 1e-5,
    "subsampling_layer_norm_eps": 1e-6,
}
_STRIDES = (1, 2, 2)
_RENAMED = (
    (r"^feature_extractor\.mel_(mean|std)$", r"mel_\1"),
    (r"^feature_extractor\.spectrogram\.window$", "mel_window"),
    (r"^feature_extractor\.mel_scale\.fb$", "mel_bank"),
    (r"^subsampling_module\.(\d)\.resampling_layer\.0\.", r"stages.\1.norm."),
    (r"^subsampling_module\.(\d)\.resampling_layer\.2\.", r"stages.\1.resample."),
    (
        r"^subsampling_module\.(\d)\.convnext_layers\.(\d+)\.depthwise_block\.1\.",
        r"stages.\1.layers.\2.depthwise.",
    ),
    (
        r"^subsampling_module\.(\d)\.convnext_layers\.(\d+)\.pointwise_block\.0\.",
        r"stages.\1.layers.\2.norm.",
    ),
    (
        r"^subsampling_module\.(\d)\.convnext_layers\.(\d+)\.pointwise_block\.1\.",
        r"stages.\1.layers.\2.widen.",
    ),
    (
        r"^subsampling_module\.(\d)\.convnext_layers\.(\d+)\.pointwise_block\.3\.",
        r"stages.\1.layers.\2.response.",
    ),
    (
        r"^subsampling_module\.(\d)\.convnext_layers\.(\d+)\.pointwise_block\.4\.",
        r"stages.\1.layers.\2.narrow.",
    ),
    (r"^layers\.(\d+)\.ffn([12])_layer_norm\.", r"blocks.\1.forward\2.norm."),
    (r"^layers\.(\d+)\.ffn([12])\.w_1\.", r"blocks.\1.forward\2.up."),
    (r"^layers\.(\d+)\.ffn([12])\.w_2\.", r"blocks.\1.forward\2.down."),
    (r"^layers\.(\d+)\.attn_layer_norm\.", r"blocks.\1.attention.norm."),
    (r"^layers\.(\d+)\.attn\.(query|key|value|out)_proj\.", r"blocks.\1.attention.\2."),
    (r"^layers\.(\d+)\.conv_module\.layer_norm\.", r"blocks.\1.convolution.norm."),
    (r"^layers\.(\d+)\.conv_module\.conv_block\.1\.", r"blocks.\1.convolution.widen."),
    (r"^layers\.(\d+)\.conv_module\.conv_block\.3\.", r"blocks.\1.convolution.depthwise."),
    (r"^layers\.(\d+)\.conv_module\.conv_block\.4\.1\.", r"blocks.\1.convolution.inner_norm."),
    (r"^layers\.(\d+)\.conv_module\.conv_block\.6\.", r"blocks.\1.convolution.narrow."),
    (r"^layers\.(\d+)\.final_layer_norm\.", r"blocks.\1.norm."),
)


class _ResponseNorm(nn.Module):
    """Global response normalisation over the whole window (ConvNeXt v2)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, 1, dim))
        self.bias = nn.Parameter(torch.zeros(1, 1, dim))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        size = torch.linalg.vector_norm(x, dim=1, keepdim=True)
        relative = size / (size.mean(dim=-1, keepdim=True) + 1e-6)
        out: torch.Tensor = x + self.bias + self.weight * (x * relative)
        return out


class _ConvNext(nn.Module):
    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(dim, dim, 7, padding=3, groups=dim)
        self.norm = nn.LayerNorm(dim, eps=eps)
        self.widen = nn.Linear(dim, 4 * dim)
        self.response = _ResponseNorm(4 * dim)
        self.narrow = nn.Linear(4 * dim, dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        local = self.depthwise(x.transpose(1, 2)).transpose(1, 2)
        wide = self.response(F.gelu(self.widen(self.norm(local))))
        out: torch.Tensor = x + self.narrow(wide)
        return out


class _Stage(nn.Module):
    """A resampling convolution, where width or rate change, then ConvNeXt layers."""

    def __init__(self, given: int, dim: int, stride: int, depth: int, eps: float) -> None:
        super().__init__()
        self.resampled = given != dim or stride > 1
        if self.resampled:
            self.norm = nn.LayerNorm(given, eps=eps)
            self.resample = nn.Conv1d(given, dim, 2, stride=stride)
        self.layers = nn.ModuleList(_ConvNext(dim, eps) for _ in range(depth))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.resampled:
            x = self.resample(self.norm(x).transpose(1, 2)).transpose(1, 2)
        for layer in self.layers:
            x = layer(x)
        return x


class _Forward(nn.Module):
    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        dim, hidden = config["hidden_size"], config["intermediate_size"]
        self.norm = nn.LayerNorm(dim, eps=config["layer_norm_eps"])
        self.up, self.down = nn.Linear(dim, hidden), nn.Linear(hidden, dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.down(F.gelu(self.up(self.norm(x))))
        return out


class _Attention(nn.Module):
    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        dim = config["hidden_size"]
        self.heads = config["num_attention_heads"]
        self.norm = nn.LayerNorm(dim, eps=config["layer_norm_eps"])
        self.query, self.key = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.value, self.out = nn.Linear(dim, dim), nn.Linear(dim, dim)

    def forward(self, x: torch.Tensor, turn: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        normed = self.norm(x)
        query, key, value = (
            linear(normed).view(*x.shape[:2], self.heads, -1).transpose(1, 2)
            for linear in (self.query, self.key, self.value)
        )
        attended = F.scaled_dot_product_attention(_turned(query, turn), _turned(key, turn), value)
        out: torch.Tensor = self.out(attended.transpose(1, 2).flatten(2))
        return out


class _Convolution(nn.Module):
    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        dim, kernel = config["hidden_size"], config["conv_depthwise_kernel_size"]
        eps = config["layer_norm_eps"]
        self.norm = nn.LayerNorm(dim, eps=eps)
        self.widen = nn.Conv1d(dim, 2 * dim, 1, bias=False)
        self.depthwise = nn.Conv1d(dim, dim, kernel, padding=kernel // 2, groups=dim, bias=False)
        self.inner_norm = nn.LayerNorm(dim, eps=eps)
        self.narrow = nn.Conv1d(dim, dim, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gated = F.glu(self.widen(self.norm(x).transpose(1, 2)), dim=1)
        local = self.inner_norm(self.depthwise(gated).transpose(1, 2))
        out: torch.Tensor = self.narrow(F.gelu(local).transpose(1, 2)).transpose(1, 2)
        return out


class _Block(nn.Module):
    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.forward1, self.forward2 = _Forward(config), _Forward(config)
        self.attention = _Attention(config)
        self.convolution = _Convolution(config)
        self.norm = nn.LayerNorm(config["hidden_size"], eps=config["layer_norm_eps"])

    def forward(self, x: torch.Tensor, turn: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        x = x + 0.5 * self.forward1(x)
        x = x + self.attention(x, turn)
        x = x + self.convolution(x)
        out: torch.Tensor = self.norm(x + 0.5 * self.forward2(x))
        return out


class MertV2Model(nn.Module):
    """Waves to states.

    Parameters
    ----------
    config : mapping
        Fields of the published configuration.
    """

    mel_mean: torch.Tensor
    mel_std: torch.Tensor
    mel_window: torch.Tensor
    mel_bank: torch.Tensor

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        bands, n_fft = config["num_mel_bins"], config["n_fft"]
        self.config = config
        self.register_buffer("mel_mean", torch.zeros(bands))
        self.register_buffer("mel_std", torch.ones(bands))
        self.register_buffer("mel_window", torch.hann_window(n_fft))
        rate = config["sampling_rate"]
        self.register_buffer("mel_bank", mel_bank(sample_rate=rate, n_fft=n_fft, bands=bands))
        given = [bands, *config["subsampling_channels"]]
        eps = config["subsampling_layer_norm_eps"]
        self.stages = nn.ModuleList(
            _Stage(given[at], given[at + 1], _STRIDES[at], config["subsampling_depths"][at], eps)
            for at in range(3)
        )
        self.blocks = nn.ModuleList(_Block(config) for _ in range(config["num_hidden_layers"]))
        self._mel: DecibelMel | None = None

    def keep_spectrogram(self) -> None:
        """Fix the spectrogram in float32, before the model is cast to another precision."""
        self._mel = DecibelMel(
            hop=self.config["hop_length"],
            bank=self.mel_bank.clone(),
            window=self.mel_window.clone(),
        )
        self._scale = (self.mel_mean.clone(), self.mel_std.clamp_min(1e-5).clone())

    def forward(self, waves: torch.Tensor) -> torch.Tensor:
        assert self._mel is not None
        mean, std = (one.to(waves.device) for one in self._scale)
        x = ((self._mel(waves) - mean) / std).to(next(self.blocks.parameters()).dtype)
        for stage in self.stages:
            x = stage(x)
        dim = self.config["hidden_size"] // self.config["num_attention_heads"]
        turn = _rotation(x.shape[1], dim, self.config["rotary_embedding_base"], x)
        for block in self.blocks:
            x = block(x, turn)
        return x


def open_folder(folder: Path, family: Family) -> Checkpoint:
    """Load a model folder in the published format.

    Parameters
    ----------
    folder : Path
        Contains ``config.json`` and ``model.safetensors``.
    family : Family

    Raises
    ------
    EncoderError
        If a file is missing or malformed, or a weight is missing, unexpected or of another shape.
    """
    path = weights_file(folder, family)
    known = read_json(folder / "config.json")
    config = {name: known.get(name, default) for name, default in _PUBLISHED.items()}
    if known.get("win_length", config["n_fft"]) != config["n_fft"]:
        raise EncoderError("has a window shorter than its transform", path=path)
    model = MertV2Model(config)
    load_strictly(model, read_weights(path), path, rename=_RENAMED)
    model.keep_spectrogram()
    return own_checkpoint(family, model, config, int(config["hidden_size"]), drawn=False)


def untrained(family: Family, architecture: Mapping[str, Any], *, seed: int = 0) -> Checkpoint:
    """Return random weights: normal with deviation 0.02, as before its training."""
    config = {**_PUBLISHED, **architecture["config"]}
    with seeded(seed):
        model = MertV2Model(config)
        for module in model.modules():
            if isinstance(module, nn.Linear | nn.Conv1d):
                nn.init.normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
    # As the trained one: decibels are scaled to about -1 to 1.
    model.mel_mean.fill_(architecture.get("mel_mean", 6.8))
    model.mel_std.fill_(architecture.get("mel_std", 18.4))
    model.keep_spectrogram()
    return own_checkpoint(family, model, config, int(config["hidden_size"]), drawn=True)


def _turned(x: torch.Tensor, turn: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """Rotate pairs of dimensions by their position's angle (rotary positions)."""
    cosine, sine = turn
    first, second = x.chunk(2, dim=-1)
    return x * cosine + torch.cat([-second, first], dim=-1) * sine


def _rotation(
    length: int, dim: int, base: float, like: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return cosine and sine of the angles, [length, dim] each, computed in float32."""
    steps = torch.arange(length, device=like.device, dtype=torch.float32)[:, None]
    exponent = torch.arange(0, dim, 2, device=like.device, dtype=torch.float32) / dim
    angles = (steps / base**exponent).repeat(1, 2)
    return angles.cos().to(like.dtype), angles.sin().to(like.dtype)
