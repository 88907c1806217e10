"""What an encoder runs: an architecture with weights behind one small interface."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn

__all__ = ["Checkpoint", "StateModel", "parameter_count"]


class StateModel(Protocol):
    """An architecture with weights that maps waves to hidden states.

    Attributes
    ----------
    num_layers : int
        Number of hidden states; 0 is the input of the first block.
    dim : int
        Dimensions of one state.
    state_names : tuple of str
        What each state is.
    parameters : int
        Number of weights of the part that is run.
    shortest : int
        Samples that a wave needs at least.
    float32_waves : bool
        Whether waves are passed in float32 whatever the precision of the weights, because the
        model computes a spectrogram first.
    architecture : dict
        Everything that determines shapes and operations; ``mess_core.encoders.untrained`` builds
        the untrained counterpart from it.
    """

    num_layers: int
    dim: int
    state_names: tuple[str, ...]
    parameters: int
    shortest: int
    float32_waves: bool

    @property
    def architecture(self) -> dict[str, Any]: ...

    def prepare(self, layers: tuple[int, ...], device: torch.device, dtype: torch.dtype) -> None:
        """Keep what is needed for these states, and move it to a device."""

    def states(self, waves: torch.Tensor) -> torch.Tensor:
        """Map waves [batch, samples] to the prepared states, [batch, layers, frames, dim]."""


@dataclass(frozen=True)
class Checkpoint:
    """An architecture with weights, ready to run.

    Attributes
    ----------
    model : StateModel
        In evaluation mode, float32, on the CPU.
    do_normalize : bool
        Whether input windows are scaled to zero mean and unit variance.
    sample_rate : int
        Sample rate of the input in Hz.
    digest : str
        Of random weights: SHA-256 of what determines them, in hexadecimal. Files have their own.
    """

    model: StateModel
    do_normalize: bool
    sample_rate: int
    digest: str = ""


def parameter_count(network: nn.Module) -> int:
    """Return the number of weights of a network."""
    return sum(one.numel() for one in network.parameters())
