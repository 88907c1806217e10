"""MERT as the native transformers ``HubertModel``, without remote code.

Li et al., "MERT: Acoustic music understanding model with large-scale self-supervised
training", ICLR 2024. The published models are HuBERT architectures (Hsu et al., 2021)
trained at 24 kHz, so their checkpoints load into ``HubertModel`` key by key. Weights
are read by safetensors or by ``torch.load(weights_only=True)`` and must match exactly.
The licence of the weights is CC-BY-NC-4.0.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from mess_core.encoders import cpu_frontend
from mess_core.encoders.checkpoint import Checkpoint, parameter_count
from mess_core.encoders.families import Family
from mess_core.encoders.registry import weights_file
from mess_core.encoders.weight_files import load_strictly, read_json, read_weights
from mess_core.errors import EncoderError

__all__ = [
    "HubertStates",
    "architecture_of",
    "open_folder",
]

MAX_FRAME_SAMPLES = 400
"""Receptive field of the convolutional front end in samples; shorter input has no frame."""


_ARCHITECTURE = (
    "conv_bias", "conv_dim", "conv_kernel", "conv_pos_batch_norm", "conv_stride",
    "do_stable_layer_norm", "feat_extract_activation", "feat_extract_norm",
    "feat_proj_layer_norm", "hidden_act", "hidden_size", "initializer_range",
    "intermediate_size", "layer_norm_eps", "num_attention_heads",
    "num_conv_pos_embedding_groups", "num_conv_pos_embeddings", "num_hidden_layers",
    "vocab_size",
)  # fmt: skip


class HubertStates:
    """A ``HubertModel`` as `mess_core.encoders.checkpoint.StateModel`.

    Parameters
    ----------
    model : HubertModel
        In evaluation mode, with weight norm folded.

    Attributes
    ----------
    model : HubertModel
    """

    shortest = MAX_FRAME_SAMPLES
    float32_waves = False

    def __init__(self, model: Any) -> None:
        self.model = model
        self._architecture = architecture_of(model)
        self._blocks = len(model.encoder.layers)
        self.parameters = parameter_count(model)
        self.num_layers = self._blocks + 1
        self.dim = int(model.config.hidden_size)
        # With normalisation before each block, the last state follows the final normalisation.
        self.state_names = ("input", *(f"block {one}" for one in range(1, self.num_layers)))
        self._final_norm = bool(model.config.do_stable_layer_norm)
        self._layers: tuple[int, ...] = ()
        self._captured: dict[int, torch.Tensor] = {}

    @property
    def architecture(self) -> dict[str, Any]:
        """Configuration fields that determine shapes and operations."""
        return self._architecture

    def prepare(self, layers: tuple[int, ...], device: torch.device, dtype: torch.dtype) -> None:
        """Drop the blocks above the last wanted state, and move the rest to a device."""
        model, self._layers = self.model, layers
        model.encoder.layers = model.encoder.layers[: max(1, layers[-1])]
        if device.type == "cpu" and dtype in (torch.float32, torch.bfloat16):
            self.float32_waves = cpu_frontend.install(model)
        self.model = model.to(device=device, dtype=dtype)
        self._add_hooks()

    def states(self, waves: torch.Tensor) -> torch.Tensor:
        """Map waves [batch, samples] to the prepared states, [batch, layers, frames, dim]."""
        self._captured.clear()
        self.model(waves)
        states = torch.stack([self._captured[layer] for layer in self._layers], dim=1)
        self._captured.clear()
        return states

    def _add_hooks(self) -> None:
        def capture(layer: int) -> Any:
            def hook(_module: Any, _inputs: Any, output: Any) -> None:
                value = output[0] if isinstance(output, tuple) else output
                self._captured[layer] = value

            return hook

        def capture_input(_module: Any, inputs: Any, kwargs: Any) -> None:
            self._captured[0] = inputs[0] if inputs else kwargs["hidden_states"]

        encoder, blocks = self.model.encoder, self._blocks
        if 0 in self._layers:
            encoder.layers[0].register_forward_pre_hook(capture_input, with_kwargs=True)
        for index, block in enumerate(encoder.layers, start=1):
            if index in self._layers and not (self._final_norm and index == blocks):
                block.register_forward_hook(capture(index))
        if self._final_norm and blocks in self._layers:
            encoder.layer_norm.register_forward_hook(capture(blocks))


def open_folder(folder: Path, family: Family) -> Checkpoint:
    """Load a model folder in the published format.

    Parameters
    ----------
    folder : Path
        Contains ``config.json``, ``preprocessor_config.json`` and ``model.safetensors`` or
        ``pytorch_model.bin``.
    family : Family

    Raises
    ------
    EncoderError
        If a file is missing or malformed, the architecture is not HuBERT's (CQT or
        deepnorm enabled), or a weight is missing, unexpected or of another shape.
    """
    config = read_json(folder / "config.json")
    preprocessor = read_json(folder / "preprocessor_config.json")
    weights = weights_file(folder, family)
    model = build_model(config, where=folder)
    load_strictly(model, read_weights(weights), weights)
    return Checkpoint(
        model=HubertStates(ready(model)),
        do_normalize=bool(preprocessor.get("do_normalize", True)),
        sample_rate=int(preprocessor.get("sampling_rate", config.get("sample_rate", 24_000))),
    )


def build_model(config: dict[str, Any], *, where: Path | None = None) -> Any:
    """Return a ``HubertModel`` with this configuration and arbitrary weights.

    Raises
    ------
    EncoderError
        If the configuration requires something that HuBERT does not have.
    """
    from transformers import HubertConfig, HubertModel
    from transformers.utils import logging

    for switch in ("feature_extractor_cqt", "deepnorm"):
        if config.get(switch, False):
            raise EncoderError(
                f"its configuration enables {switch!r}, which needs the authors' own code",
                path=where,
                remedy="MESS runs no remote code; use MERT-v1-95M or MERT-v1-330M",
            )
    known = {key: value for key, value in config.items() if key not in {"auto_map", "model_type"}}
    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        hubert = HubertConfig(**known, attn_implementation="sdpa")
        return HubertModel(hubert)
    except (TypeError, ValueError) as error:
        raise EncoderError(f"has an unusable configuration ({error})", path=where) from error
    finally:
        logging.set_verbosity(level)


def architecture_of(model: Any) -> dict[str, Any]:
    """Return the configuration fields that determine a model's shapes and operations.

    `build_model` builds the same architecture from them.
    """
    written = model.config.to_dict()
    return {key: written[key] for key in _ARCHITECTURE if key in written}


def ready(model: Any) -> Any:
    """Return the model in evaluation mode, without gradients, with weight norm folded."""
    convolution = model.encoder.pos_conv_embed.conv
    if nn.utils.parametrize.is_parametrized(convolution, "weight"):
        nn.utils.parametrize.remove_parametrizations(convolution, "weight")
    return model.eval().requires_grad_(False)
