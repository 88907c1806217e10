"""Heads as torch modules: diagonal weights, a linear map, a small MLP."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mess_core.search.served_heads import Head

__all__ = ["HeadKind", "HeadModule", "make_head"]

HeadKind = Literal["diagonal", "linear", "mlp", "regression"]

_OUT, _HIDDEN = 64, 128


class HeadModule(nn.Module, ABC):
    """Base class of heads: standardised layers [n, layers, dim] to unit vectors [n, out]."""

    kind: HeadKind

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.layer_logits = nn.Parameter(torch.zeros(layers))

    @property
    def layer_weights(self) -> torch.Tensor:
        """Positive layer weights that sum to 1, [layers]."""
        return torch.softmax(self.layer_logits, dim=0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return unit vectors, [n, out]."""
        return nn.functional.normalize(self._out(x), dim=1)

    def export(
        self,
        mean: NDArray[np.float32],
        scale: NDArray[np.float32],
        made_from: Mapping[str, Any],
    ) -> Head:
        """Return the head in the form that search serves.

        Parameters
        ----------
        mean, scale : ndarray, float32, shape [layers, dim]
            Mean and standard deviation of the training clips.
        made_from : mapping
            Provenance to record in the manifest.
        """
        arrays = {"mean": mean, "scale": scale}
        arrays |= {name: part.detach().cpu().numpy() for name, part in self._arrays().items()}
        return Head(self.kind, arrays, made_from)

    @abstractmethod
    def _out(self, x: torch.Tensor) -> torch.Tensor:
        """Return the vectors before normalisation, [n, out]."""

    @abstractmethod
    def _arrays(self) -> dict[str, torch.Tensor]:
        """Return the arrays of the head other than the scaler, named as in `Head`."""


class _Diagonal(HeadModule):
    kind = "diagonal"

    def __init__(self, layers: int, dim: int) -> None:
        super().__init__(layers)
        self.dim_log = nn.Parameter(torch.zeros(dim))

    def _arrays(self) -> dict[str, torch.Tensor]:
        # Cosines weight by squares, so the root makes layers count in proportion to their weights.
        return {"layer": self.layer_weights.sqrt(), "dim": self.dim_log.exp()}

    def _out(self, x: torch.Tensor) -> torch.Tensor:
        weights = self._arrays()
        return (x * weights["layer"][:, None] * weights["dim"]).flatten(1)


class _Linear(HeadModule):
    kind = "linear"

    def __init__(self, layers: int, dim: int) -> None:
        super().__init__(layers)
        self.first = nn.Linear(dim, min(_OUT, dim), bias=False)
        nn.init.orthogonal_(self.first.weight)

    def _arrays(self) -> dict[str, torch.Tensor]:
        return {"layer": self.layer_weights, "first": self.first.weight}

    def _out(self, x: torch.Tensor) -> torch.Tensor:
        pooled: torch.Tensor = self.first(torch.einsum("nld,l->nd", x, self.layer_weights))
        return pooled


class _MLP(HeadModule):
    kind = "mlp"

    def __init__(self, layers: int, dim: int) -> None:
        super().__init__(layers)
        self.first = nn.Linear(dim, _HIDDEN)
        self.second = nn.Linear(_HIDDEN, min(_OUT, dim), bias=False)

    def _arrays(self) -> dict[str, torch.Tensor]:
        return {
            "layer": self.layer_weights,
            "first": self.first.weight,
            "bias": self.first.bias,
            "second": self.second.weight,
        }

    def _out(self, x: torch.Tensor) -> torch.Tensor:
        pooled = torch.einsum("nld,l->nd", x, self.layer_weights)
        out: torch.Tensor = self.second(torch.relu(self.first(pooled)))
        return out


def make_head(kind: HeadKind, layers: int, dim: int, *, seed: int = 0) -> HeadModule:
    """Return a head with seeded initial weights and equal layer weights.

    Parameters
    ----------
    kind : {"diagonal", "linear", "mlp"}
    layers, dim : int
        Shape of the input, [layers, dim].
    seed : int
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        kinds: dict[str, Callable[[int, int], HeadModule]] = {
            "diagonal": _Diagonal,
            "linear": _Linear,
            "mlp": _MLP,
        }
        return kinds[kind](layers, dim)
