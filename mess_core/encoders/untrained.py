"""The untrained control: an encoder's architecture with seeded random weights.

Whatever a layer of this encoder predicts is due to the architecture and the statistics of the
input, not to training; a trained encoder must outperform it in probing. For MERT, initial
distributions follow the HuBERT code (normal 0.02 for linear maps, Kaiming for convolutions), and
every weight has its own generator, seeded by its name, so the values depend on neither library
versions nor the order of construction. Other families are drawn as their own code draws them before
training; their digest is of the values.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import math
from collections.abc import Mapping
from typing import Any

import torch

from mess_core.encoders.checkpoint import Checkpoint
from mess_core.encoders.mert import HubertStates, build_model, ready
from mess_core.encoders.piano import FAMILY, SAMPLE_RATE, PianoConfig, PianoModel, PianoStates
from mess_core.encoders.published import PUBLISHED
from mess_core.encoders.registry import family_named
from mess_core.errors import EncoderError

__all__ = ["SIZES", "untrained_checkpoint", "untrained_counterpart"]

_MERT_95M: dict[str, Any] = {
    "conv_bias": False,
    "conv_dim": [512] * 7,
    "conv_kernel": [10, 3, 3, 3, 3, 2, 2],
    "conv_stride": [5, 2, 2, 2, 2, 2, 2],
    "do_stable_layer_norm": False,
    "feat_extract_activation": "gelu",
    "feat_extract_norm": "group",
    "feat_proj_layer_norm": True,
    "hidden_act": "gelu",
    "hidden_size": 768,
    "initializer_range": 0.02,
    "intermediate_size": 3072,
    "layer_norm_eps": 1e-5,
    "num_attention_heads": 12,
    "num_conv_pos_embedding_groups": 16,
    "num_conv_pos_embeddings": 128,
    "num_hidden_layers": 12,
    "vocab_size": 32,
}

SIZES: dict[str, dict[str, Any]] = {
    "tiny": {
        **_MERT_95M,
        "conv_dim": [32] * 7,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_attention_heads": 4,
    },
    "95m": _MERT_95M,
    "330m": {
        **_MERT_95M,
        "do_stable_layer_norm": True,
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_attention_heads": 16,
        "num_hidden_layers": 24,
    },
}


def untrained_checkpoint(size: str, *, seed: int = 0) -> Checkpoint:
    """Return random weights in the architecture of `size`.

    Parameters
    ----------
    size : str
        "95m" or "330m" of MERT, "tiny" (13 layers of 64 dimensions), or the name of published
        weights, whose size it has.
    seed : int

    Raises
    ------
    EncoderError
        If the size is unknown.
    """
    if size in PUBLISHED and size not in SIZES:
        published = PUBLISHED[size]
        sizes = {"config": published.config, "preprocessor": published.preprocessor}
        return _of_family(published.family, sizes, seed)
    if size not in SIZES:
        raise EncoderError(f"there is no untrained size {size!r}", remedy=f"Known: {list(SIZES)}")
    return _initialised(SIZES[size], do_normalize=True, digest=_digest(size, seed), seed=seed)


def untrained_counterpart(
    architecture: dict[str, Any], *, do_normalize: bool, seed: int = 0
) -> Checkpoint:
    """Return random weights in the architecture of a checkpoint (`mert.architecture_of`)."""
    if architecture.get("family") not in {None, FAMILY}:
        return _of_family(architecture["family"], architecture, seed)
    written = json.dumps(architecture, sort_keys=True)
    if architecture.get("family") == FAMILY:
        fields = {name: value for name, value in architecture.items() if name != "family"}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)  # what training starts from: PyTorch's own distribution
            piano = PianoModel(PianoConfig(**fields)).eval().requires_grad_(False)
        digest = _digest(f"pytorch:{written}", seed)
        return Checkpoint(PianoStates(piano), False, SAMPLE_RATE, digest)
    return _initialised(
        architecture, do_normalize=do_normalize, digest=_digest(written, seed), seed=seed
    )


def _of_family(name: str, architecture: Mapping[str, Any], seed: int) -> Checkpoint:
    family = family_named(name)
    module = importlib.import_module(family.module)
    found: Checkpoint = module.untrained(family, architecture, seed=seed)
    return found


def _initialised(
    config: dict[str, Any], *, do_normalize: bool, digest: str, seed: int
) -> Checkpoint:
    model = ready(build_model(config))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            _initialise(name, parameter, seed)
    return Checkpoint(HubertStates(model), do_normalize, SAMPLE_RATE, digest)


def _drawn(name: str, shape: torch.Size, seed: int) -> torch.Tensor:
    """Standard normal numbers that depend on the name and the seed alone."""
    word = hashlib.sha256(f"{seed}:{name}".encode()).digest()[:8]
    generator = torch.Generator().manual_seed(int.from_bytes(word, "big") >> 1)
    return torch.randn(shape, generator=generator)


def _initialise(name: str, parameter: torch.Tensor, seed: int) -> None:
    if name.endswith("bias"):
        parameter.zero_()
        return
    if "layer_norm" in name:
        parameter.fill_(1.0)
        return
    if parameter.ndim == 3:  # convolution [out, in / groups, kernel]
        fan_in = parameter.shape[1] * parameter.shape[2]
        if "pos_conv" in name:
            std = 2.0 * math.sqrt(1.0 / (parameter.shape[2] * parameter.shape[0]))
        else:
            std = math.sqrt(2.0 / fan_in)
    else:
        std = 0.02
    parameter.copy_(_drawn(name, parameter.shape, seed) * std)


def _digest(size: str, seed: int) -> str:
    return hashlib.sha256(f"untrained-v1:{size}:{seed}".encode()).hexdigest()
