"""Read the files of a model folder: plain weights, never code, and every tensor accounted for."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mess_core.errors import EncoderError

__all__ = ["check_finite", "load_strictly", "read_json", "read_weights"]


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Read a table of weights by safetensors, or by ``torch.load(weights_only=True)``.

    A table under the key ``state_dict``, as Lightning writes it, is found.

    Raises
    ------
    EncoderError
        If the file is damaged, or contains anything but tensors: a pickle with code is refused.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged archives raise many kinds
        raise EncoderError(
            f"cannot be read as plain weights ({type(error).__name__}: {error})",
            path=path,
            remedy="Download the model again",
        ) from error
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise EncoderError("is not a table of weights", path=path)
    return state


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises
    ------
    EncoderError
        If the file is missing or is not a JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EncoderError(
            f"cannot be read ({error})", path=path, remedy="Download the model again"
        ) from error
    if not isinstance(content, dict):
        raise EncoderError("is not a JSON object", path=path)
    return content


def load_strictly(
    model: nn.Module,
    state: Mapping[str, torch.Tensor],
    source: Path,
    *,
    rename: Sequence[tuple[str, str]] = (),
    ignore: Sequence[str] = (),
) -> None:
    """Load weights into a model, of which none may be missing, unexpected or of another shape.

    Parameters
    ----------
    model : Module
    state : mapping of str to Tensor
    source : Path
        For messages.
    rename : sequence of (str, str)
        Regular expressions and replacements that turn published names into the model's.
    ignore : sequence of str
        Regular expressions of published names that belong to parts MESS does not use.

    Raises
    ------
    EncoderError
        If the weights do not fit, or one is not finite.
    """
    wanted = set(model.state_dict())
    renamed = {}
    for key, value in state.items():
        if any(re.match(pattern, key) for pattern in ignore):
            continue
        new = key
        for pattern, replacement in (*rename, *_WEIGHT_NORM):
            new = re.sub(pattern, replacement, new)
        renamed[new if new in wanted else key] = value
    try:
        model.load_state_dict(renamed, strict=True)
    except RuntimeError as error:
        raise EncoderError(
            f"does not fit its configuration ({' '.join(str(error).split())[:600]})",
            path=source,
            remedy="Download the model again; do not mix files of two models",
        ) from error
    check_finite(model, source)


def check_finite(model: nn.Module, source: Path) -> None:
    """Check that all weights are finite.

    Raises
    ------
    EncoderError
        If one is not.
    """
    for key, value in model.state_dict().items():
        if not torch.isfinite(value).all():
            raise EncoderError(f"holds non-finite values in {key!r}", path=source)


_WEIGHT_NORM = (
    # Written before torch 2's parametrised weight norm.
    (r"conv\.weight_g$", "conv.parametrizations.weight.original0"),
    (r"conv\.weight_v$", "conv.parametrizations.weight.original1"),
)
