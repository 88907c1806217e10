"""Run the encoders of transformers: states by hooks, weights read strictly, no remote code.

What differs between architectures is in their records (`mess_core.encoders.families.Family`): the
class and the part of it that is run, where its blocks are, what they take, and how tokens lie in
time. States are read by hooks on the blocks, since the models' own ``hidden_states`` have changed
their meaning between versions of transformers.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mess_core.encoders.checkpoint import Checkpoint, parameter_count
from mess_core.encoders.families import Family
from mess_core.encoders.front_ends import FrontEnd, make_front_end
from mess_core.encoders.registry import weights_file
from mess_core.encoders.weight_files import check_finite, read_json, read_weights
from mess_core.errors import EncoderError

__all__ = ["NativeStates", "open_folder", "own_checkpoint", "quiet", "seeded", "untrained"]

_NOT_ARCHITECTURE = {
    "_name_or_path", "architectures", "auto_map", "dtype", "torch_dtype", "transformers_version",
    "id2label", "label2id",
}  # fmt: skip


class NativeStates:
    """A model of transformers as `mess_core.encoders.checkpoint.StateModel`.

    Parameters
    ----------
    family : Family
    model : Module
        The part that is run, in evaluation mode.
    front_end : FrontEnd
        What turns samples into its input.
    architecture : dict
        ``family``, ``config`` and ``preprocessor``: what `untrained` builds the same from.
    dims : int or sequence of int
        Dimensions of the states.
    """

    float32_waves = True

    def __init__(
        self,
        family: Family,
        model: nn.Module,
        front_end: FrontEnd,
        architecture: dict[str, Any],
        dims: int | Sequence[int],
    ) -> None:
        self.family = family
        self.model = model
        self.architecture = architecture
        self.shortest = family.shortest
        self.parameters = parameter_count(model)
        self._front_end = front_end
        self._layers: tuple[int, ...] = ()
        self._captured: dict[int, torch.Tensor] = {}
        self._blocks: nn.ModuleList | None = _at(model, family.blocks) if family.blocks else None
        self._norm = _final_norm(family, model, architecture["config"])
        blocks = 0 if self._blocks is None else len(self._blocks)
        self.num_layers = blocks + 1 + (self._norm is not None)
        self.state_names = _state_names(blocks, norm=self._norm is not None)
        self.dims = (dims,) * self.num_layers if isinstance(dims, int) else tuple(dims)
        self.dim = max(self.dims)

    def prepare(self, layers: tuple[int, ...], device: torch.device, dtype: torch.dtype) -> None:
        """Drop the blocks above the last wanted state, and move the rest to a device."""
        self._layers = layers
        if self._blocks is not None:
            needed = max(1, min(layers[-1], len(self._blocks)))
            # The stages of a grid also change its size, so all of them stay.
            if self.family.tokens != "grid":
                del self._blocks[needed:]
            self._add_hooks(self._blocks)
        self.model = self.model.to(device=device, dtype=dtype)

    def states(self, waves: torch.Tensor) -> torch.Tensor:
        """Map waves [batch, samples] to the prepared states, [batch, layers, frames, dim].

        States with fewer dimensions than others are filled with zeros.
        """
        self._captured.clear()
        first = next(self.model.parameters())
        given = self._front_end(waves, device=first.device, dtype=first.dtype)
        out = self.model(**given)
        if self._blocks is None:  # a codec: what it returns is its one state
            self._captured[0] = out[0] if isinstance(out, tuple) else out
        frames = [self._frames(self._captured[layer], waves.shape[1]) for layer in self._layers]
        self._captured.clear()
        filled = [nn.functional.pad(one, (0, self.dim - one.shape[-1])) for one in frames]
        return torch.stack(filled, dim=1)

    def _frames(self, state: torch.Tensor, samples: int) -> torch.Tensor:
        """Bring a state into the shape [batch, frames, dim], without frames of padding."""
        if self.family.tokens == "channels":
            return state.transpose(1, 2)
        if self.family.tokens == "grid":
            return state.mean(dim=1, keepdim=True)
        if self.family.tokens == "patches":
            return self._front_end.patches_to_frames(state, samples)
        return state[:, : self._front_end.valid_frames(samples)]

    def _add_hooks(self, blocks: nn.ModuleList) -> None:
        def capture(layer: int) -> Callable[..., None]:
            def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
                self._captured[layer] = output[0] if isinstance(output, tuple) else output

            return hook

        def capture_input(_module: nn.Module, inputs: Any, kwargs: Any) -> None:
            self._captured[0] = inputs[0] if inputs else kwargs["hidden_states"]

        if 0 in self._layers:
            blocks[0].register_forward_pre_hook(capture_input, with_kwargs=True)
        for index, block in enumerate(blocks, start=1):
            if index in self._layers:
                block.register_forward_hook(capture(index))
        if self._norm is not None and self.num_layers - 1 in self._layers:
            self._norm.register_forward_hook(capture(self.num_layers - 1))


def open_folder(folder: Path, family: Family) -> Checkpoint:
    """Load a model folder in the published format.

    Parameters
    ----------
    folder : Path
        Contains the family's files and weights.
    family : Family

    Raises
    ------
    EncoderError
        If a file is missing or malformed, or a weight is missing, unexpected or of another shape.
    """
    config = read_json(folder / "config.json")
    preprocessor = read_json(folder / "preprocessor_config.json")
    model = _load(folder, family, config)
    return _checkpoint(family, model, config, preprocessor)


def untrained(family: Family, architecture: Mapping[str, Any], *, seed: int = 0) -> Checkpoint:
    """Return random weights, drawn as the class of transformers draws them before training.

    Parameters
    ----------
    family : Family
    architecture : mapping
        ``config`` and ``preprocessor``: fields that differ from the defaults.
    seed : int
    """
    config, preprocessor = dict(architecture["config"]), dict(architecture["preprocessor"])
    with seeded(seed), quiet():
        model = _build(family, config)
    return _checkpoint(family, model, config, preprocessor, digest=_state_digest(model))


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Let PyTorch draw from this seed in a block, without effect on what is drawn after it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers from commenting on what it loads in a block."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def own_checkpoint(
    family: Family, model: nn.Module, config: dict[str, Any], dim: int, *, drawn: bool
) -> Checkpoint:
    """Return the checkpoint of a model that no class of transformers is.

    Parameters
    ----------
    family : Family
    model : Module
        Takes what the family's front end gives.
    config : dict
        What the family's ``untrained`` builds the same architecture from.
    dim : int
        Dimensions of the states.
    drawn : bool
        Whether the weights are drawn at random, so that their digest is their identity.
    """
    states = NativeStates(
        family,
        model.eval().requires_grad_(False),
        make_front_end(family, {}, config),
        {"family": family.name, "config": config, "preprocessor": {}},
        dim,
    )
    rate = int(config.get("sampling_rate", family.sample_rate))
    return Checkpoint(states, False, rate, _state_digest(model) if drawn else "")


def _state_digest(model: nn.Module) -> str:
    """Return the SHA-256 of all weights, in hexadecimal."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _checkpoint(
    family: Family,
    whole: nn.Module,
    config: Mapping[str, Any],
    preprocessor: Mapping[str, Any],
    *,
    digest: str = "",
) -> Checkpoint:
    part = _at(whole, family.part) if family.part else whole
    front_end = make_front_end(family, preprocessor, config)
    architecture = {
        "family": family.name,
        "config": {name: v for name, v in config.items() if name not in _NOT_ARCHITECTURE},
        "preprocessor": dict(preprocessor),
    }
    states = NativeStates(
        family,
        part.eval().requires_grad_(False),
        front_end,
        architecture,
        _dims(family, _config(family, config)),
    )
    return Checkpoint(
        model=states,
        # Transformers scales unless told otherwise; codecs take samples as they are.
        do_normalize=family.front_end == "wave" and family.tokens == "time"
        and bool(preprocessor.get("do_normalize", True)),
        sample_rate=int(preprocessor.get("sampling_rate", family.sample_rate)),
        digest=digest,
    )  # fmt: skip


def _config(family: Family, config: Mapping[str, Any]) -> Any:
    import transformers

    known = {key: value for key, value in config.items() if key not in {"auto_map", "model_type"}}
    name = getattr(transformers, family.model).config_class.__name__
    found = getattr(transformers, name)(**known)
    found._attn_implementation = family.attention
    return found


def _build(family: Family, config: Mapping[str, Any]) -> nn.Module:
    import transformers

    model: nn.Module = getattr(transformers, family.model)(_config(family, config))
    return model


def _load(folder: Path, family: Family, config: Mapping[str, Any]) -> nn.Module:
    """Load published weights by transformers, which knows earlier names, and check all of them."""
    import transformers

    path = weights_file(folder, family)
    if path.suffix != ".safetensors":
        read_weights(path)  # refuses code by name; safetensors cannot contain any
    try:
        model: nn.Module
        with quiet():
            model, found = getattr(transformers, family.model).from_pretrained(
                folder,
                config=_config(family, config),
                local_files_only=True,
                trust_remote_code=False,
                output_loading_info=True,
                use_safetensors=path.suffix == ".safetensors",
                attn_implementation=family.attention,
                dtype=torch.float32,
            )
    except EncoderError:
        raise
    except Exception as error:  # transformers raises many kinds
        raise EncoderError(
            f"does not fit its configuration ({' '.join(str(error).split())[:600]})",
            path=path,
            remedy="Download the model again; do not mix files of two models",
        ) from error
    wrong = {
        "missing": sorted(found["missing_keys"]),
        "unexpected": sorted(
            key
            for key in found["unexpected_keys"]
            if not any(re.match(rf"(.*\.)?{pattern}", key) for pattern in family.unused)
        ),
        "of another shape": sorted(str(one[0]) for one in found["mismatched_keys"]),
    }
    for kind, keys in wrong.items():
        if keys:
            raise EncoderError(
                f"does not fit its configuration ({kind}: {', '.join(keys[:5])}"
                f"{f' and {len(keys) - 5} more' if len(keys) > 5 else ''})",
                path=path,
                remedy="Download the model again; do not mix files of two models",
            )
    check_finite(model, path)
    return model


def _final_norm(family: Family, model: nn.Module, config: Mapping[str, Any]) -> nn.Module | None:
    if not family.final_norm:
        return None
    if family.final_norm_if and not config.get(family.final_norm_if, False):
        return None
    norm: nn.Module = _at(model, family.final_norm)
    return norm


def _state_names(blocks: int, *, norm: bool) -> tuple[str, ...]:
    if blocks == 0:
        return ("latent",)
    names = ["input", *(f"block {number}" for number in range(1, blocks + 1))]
    return (*names, "final norm") if norm else tuple(names)


def _dims(family: Family, config: Any) -> int | tuple[int, ...]:
    if family.tokens != "grid":
        return int(config.hidden_size)
    # Each stage but the last doubles the width.
    width, stages = config.audio_config.patch_embeds_hidden_size, len(config.audio_config.depths)
    return tuple(width * 2 ** min(stage, stages - 1) for stage in range(stages + 1))


def _at(model: nn.Module, path: str) -> Any:
    """Return the module at an attribute path."""
    found: Any = model
    for name in path.split("."):
        found = getattr(found, name)
    return found
