"""AudioMAE as the native transformers ``ViTModel``, from weights as timm names them.

Huang et al., "Masked autoencoders that listen", NeurIPS 2022; the port to timm is the one that is
published. Its input is the log-mel spectrogram of AST: 1024 frames of 128 bands, in 64 x 8 patches.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mess_core.encoders.checkpoint import Checkpoint
from mess_core.encoders.families import Family
from mess_core.encoders.native import own_checkpoint, quiet, seeded
from mess_core.encoders.registry import weights_file
from mess_core.encoders.weight_files import load_strictly, read_weights

__all__ = ["open_folder", "untrained"]

_BASE = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
}
_RENAMED = (
    (r"^cls_token$", "embeddings.cls_token"),
    (r"^pos_embed$", "embeddings.position_embeddings"),
    (r"^patch_embed\.proj\.", "embeddings.patch_embeddings.projection."),
    (r"^blocks\.(\d+)\.norm1\.", r"layers.\1.layernorm_before."),
    (r"^blocks\.(\d+)\.norm2\.", r"layers.\1.layernorm_after."),
    (r"^blocks\.(\d+)\.attn\.proj\.", r"layers.\1.attention.o_proj."),
    (r"^blocks\.(\d+)\.attn\.([qkv])\.", r"layers.\1.attention.\2_proj."),
    (r"^blocks\.(\d+)\.mlp\.fc1\.", r"layers.\1.mlp.fc1."),
    (r"^blocks\.(\d+)\.mlp\.fc2\.", r"layers.\1.mlp.fc2."),
    (r"^(norm|fc_norm)\.", "layernorm."),
)


def open_folder(folder: Path, family: Family) -> Checkpoint:
    """Load a model folder in the published format.

    Parameters
    ----------
    folder : Path
        Contains ``config.json`` and the weights.
    family : Family

    Raises
    ------
    EncoderError
        If a file is missing or malformed, or a weight is missing, unexpected or of another shape.
    """
    path = weights_file(folder, family)
    state = _split_attention(read_weights(path))
    config = _sizes(state)
    model = _build(config)
    load_strictly(model, state, path, rename=_RENAMED, ignore=(r"head\.",))
    return own_checkpoint(family, model, config, config["hidden_size"], drawn=False)


def untrained(family: Family, architecture: Mapping[str, Any], *, seed: int = 0) -> Checkpoint:
    """Return random weights, see `mess_core.encoders.native.untrained`."""
    config = {**_BASE, **architecture["config"]}
    with seeded(seed), quiet():
        model = _build(config)
    return own_checkpoint(family, model, config, config["hidden_size"], drawn=True)


def _sizes(state: Mapping[str, torch.Tensor]) -> dict[str, int]:
    """Return the sizes that the weights have: timm's configuration gives a name only."""
    dim = int(state["cls_token"].shape[-1]) if "cls_token" in state else _BASE["hidden_size"]
    up = state.get("blocks.0.mlp.fc1.weight")
    blocks = {key.split(".")[1] for key in state if key.startswith("blocks.")}
    return {
        "hidden_size": dim,
        "num_hidden_layers": len(blocks) or _BASE["num_hidden_layers"],
        "num_attention_heads": max(1, dim // 64),
        "intermediate_size": _BASE["intermediate_size"] if up is None else int(up.shape[0]),
    }


def _split_attention(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Divide the stacked query, key and value of timm."""
    split = {}
    for key, value in state.items():
        if ".attn.qkv." in key and value.shape[0] % 3 == 0:
            for name, part in zip("qkv", value.chunk(3), strict=True):
                split[key.replace(".qkv.", f".{name}.")] = part
        else:
            split[key] = value
    return split


def _build(config: Mapping[str, Any]) -> nn.Module:
    from transformers import ViTConfig, ViTModel

    vit = ViTConfig(
        **config,
        image_size=(1024, 128),
        patch_size=16,
        num_channels=1,
        layer_norm_eps=1e-6,
        qkv_bias=True,
        attn_implementation="sdpa",
    )
    model: nn.Module = ViTModel(vit, add_pooling_layer=False)
    return model
