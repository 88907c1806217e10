"""MuQ and MusicFM: a decibel mel spectrogram, two residual convolutions, and a Conformer.

Zhu et al., "MuQ: Self-supervised music representation learning with mel residual vector
quantization", 2025; Won et al., "A foundation model for music informatics", ICASSP 2024. The
Conformer is the native ``Wav2Vec2ConformerEncoder`` of transformers; the rest is written from the
papers and agrees with the authors' code to 1e-4 (``tests/encoders/golden``).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mess_core.encoders.checkpoint import Checkpoint
from mess_core.encoders.families import Family
from mess_core.encoders.front_ends import DecibelMel, mel_bank
from mess_core.encoders.native import own_checkpoint, quiet, seeded
from mess_core.encoders.registry import weights_file
from mess_core.encoders.weight_files import load_strictly, read_json, read_weights
from mess_core.errors import EncoderError

__all__ = ["MuQModel", "open_folder", "untrained"]

_MEAN, _STD = 6.768444971712967, 18.417922652295623  # of MuQ's training recipe
_CONFORMER = {
    "hidden_size": 1024,
    "num_hidden_layers": 12,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "hidden_act": "swish",
    "position_embeddings_type": "rotary",
    "conv_depthwise_kernel_size": 31,
}
_UNUSED = (
    r"(model\.)?(linear|cls_token|recon_proj|rvq|quantizer_|preprocessor_)",
    r"(model\.)?conformer\.pos_conv_embed\.",
)
"""Targets and heads of pre-training, and a position embedding that is not run."""

_FREQUENCIES = "embed_positions.inv_freq"
"""Follows from the configuration; some versions of transformers store it, others do not."""

_RENAMED = (
    (r"^model\.", ""),
    (r"^conv\.conv\.(\d)\.", r"subsampling.\1."),
    (r"^conv\.linear\.", "projection."),
)


class _Residual(nn.Module):
    """Two 2-D convolutions that halve both axes, beside a third one."""

    def __init__(self, given: int, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(given, channels, 3, stride=2, padding=1)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(given, channels, 3, stride=2, padding=1)
        self.bn3 = nn.BatchNorm2d(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = nn.functional.relu(self.bn1(self.conv1(x)))
        return nn.functional.relu(self.bn2(self.conv2(inner)) + self.bn3(self.conv3(x)))


class MuQModel(nn.Module):
    """Waves to the states of the Conformer.

    Parameters
    ----------
    config : mapping
        ``mean, std`` of the spectrogram in dB, ``channels`` of the convolutions, ``bands``, and
        ``conformer``: fields of ``Wav2Vec2ConformerConfig``.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        from transformers import Wav2Vec2ConformerConfig
        from transformers.models.wav2vec2_conformer.modeling_wav2vec2_conformer import (
            Wav2Vec2ConformerEncoder,
        )

        super().__init__()
        bands, channels = int(config["bands"]), int(config["channels"])
        self.mean, self.std = float(config["mean"]), float(config["std"])
        self.mel = DecibelMel(bank=mel_bank(bands=bands))
        self.subsampling = nn.Sequential(_Residual(1, channels), _Residual(channels, channels))
        conformer = Wav2Vec2ConformerConfig(**config["conformer"], attn_implementation="sdpa")
        self.projection = nn.Linear(channels * bands // 4, conformer.hidden_size)
        self.conformer = Wav2Vec2ConformerEncoder(conformer)
        self.conformer.pos_conv_embed = nn.Identity()  # not run with rotary positions

    def forward(self, waves: torch.Tensor) -> torch.Tensor:
        mel = (self.mel(waves) - self.mean) / self.std
        x = mel.to(self.projection.weight.dtype).transpose(1, 2)[:, None]
        x = self.subsampling(x)  # [batch, channels, bands, frames]
        x = self.projection(x.permute(0, 3, 1, 2).flatten(2))
        out: torch.Tensor = self.conformer(x).last_hidden_state
        return out


def open_folder(folder: Path, family: Family) -> Checkpoint:
    """Load a model folder in the published format.

    Parameters
    ----------
    folder : Path
        Of MuQ: ``config.json`` and ``model.safetensors``. Of MusicFM: ``msd_stats.json`` and
        ``pretrained_msd.pt``.
    family : Family

    Raises
    ------
    EncoderError
        If a file is missing or malformed, or a weight is missing, unexpected or of another shape.
    """
    path = weights_file(folder, family)
    state = read_weights(path)
    known = read_json(folder / family.files[0])
    config = _musicfm_config(state) if family.name == "musicfm" else _muq_config(known, path)
    statistics = known if family.name == "musicfm" else known.get("stat", {})
    config["mean"] = float(statistics.get("melspec_2048_mean", _MEAN))
    config["std"] = float(statistics.get("melspec_2048_std", _STD))
    with quiet():
        model = MuQModel(config)
    state = {key: value for key, value in state.items() if not key.endswith(_FREQUENCIES)}
    state |= {k: v for k, v in model.state_dict().items() if k.endswith(_FREQUENCIES)}
    load_strictly(model, state, path, rename=_RENAMED, ignore=_UNUSED)
    return own_checkpoint(family, model, config, model.projection.out_features, drawn=False)


def untrained(family: Family, architecture: Mapping[str, Any], *, seed: int = 0) -> Checkpoint:
    """Return random weights, as PyTorch draws them."""
    config = {
        "mean": _MEAN,
        "std": _STD,
        "channels": 512,
        "bands": 128,
        "conformer": _CONFORMER,
        **architecture["config"],
    }
    with seeded(seed), quiet():
        model = MuQModel(config)
    return own_checkpoint(family, model, config, model.projection.out_features, drawn=True)


def _muq_config(known: Mapping[str, Any], path: Path) -> dict[str, Any]:
    if int(known.get("label_rate", 25)) != 25 or int(known.get("hop_length", 240)) != 240:
        raise EncoderError("has another frame rate than 25 Hz, which MESS cannot run", path=path)
    conformer = {
        **_CONFORMER,
        **{k: v for k, v in known.get("w2v2_config", {}).items() if k != "model_type"},
        "num_hidden_layers": int(known.get("encoder_depth", 12)),
        "hidden_size": int(known.get("encoder_dim", 1024)),
    }
    return {
        "channels": int(known.get("conv_dim", 512)),
        "bands": int(known.get("n_mels", 128)),
        "conformer": {k: v for k, v in conformer.items() if not k.startswith("_")},
    }


def _musicfm_config(state: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """Return the sizes that the weights have: MusicFM publishes no configuration."""
    shapes = {key.removeprefix("model."): tuple(value.shape) for key, value in state.items()}
    depth = len({key.split(".")[2] for key in shapes if key.startswith("conformer.layers.")})
    hidden = shapes.get("conformer.layers.0.ffn1.intermediate_dense.weight", (4096, 1024))
    channels = shapes.get("conv.conv.0.conv1.weight", (512,))[0]
    conformer = {
        **_CONFORMER,
        "num_hidden_layers": depth or 12,
        "hidden_size": hidden[1],
        "intermediate_size": hidden[0],
        "num_attention_heads": max(1, hidden[1] // 64),
    }
    return {"channels": channels, "bands": 128, "conformer": conformer}
