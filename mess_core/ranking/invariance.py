"""Take what is played out of vectors, so that what is left can only be how it is played.

Two ways besides subtracting the mean of each passage: an affine map that leaves no linear trace of
the work (LEACE), and an adversary that a head has to deceive.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

__all__ = ["Adversary", "erase_works"]

Vectors = NDArray[np.float32]

_HIDDEN = 64


def erase_works(
    vectors: NDArray[np.floating[Any]], works: Sequence[str]
) -> Callable[[NDArray[np.floating[Any]]], Vectors]:
    """Fit LEACE (Belrose et al., NeurIPS 2023) to each layer, and return the map.

    Of all affine maps after which no linear classifier tells the works apart better than chance, it
    changes the vectors least.

    Parameters
    ----------
    vectors : ndarray, shape [clips, layers, dim]
    works : sequence of str, length clips

    Returns
    -------
    callable
        Maps vectors to vectors, both [n, layers, dim].

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> works = ["a", "b"] * 50
    >>> vectors = rng.standard_normal((100, 1, 8)) + 3.0 * (np.arange(100) % 2)[:, None, None]
    >>> erased = erase_works(vectors, works)(vectors)
    >>> bool(np.abs(erased[::2].mean(axis=0) - erased[1::2].mean(axis=0)).max() < 1e-3)
    True
    """
    from concept_erasure import LeaceEraser

    names, number = np.unique(np.asarray(works, dtype=str), return_inverse=True)
    labels = torch.nn.functional.one_hot(torch.from_numpy(number), len(names)).double()
    layers = torch.from_numpy(np.asarray(vectors, dtype=np.float64)).unbind(dim=1)
    erasers = [LeaceEraser.fit(layer, labels) for layer in layers]

    def erased(values: NDArray[np.floating[Any]]) -> Vectors:
        parts = torch.from_numpy(np.asarray(values, dtype=np.float64)).unbind(dim=1)
        done = [eraser(part) for eraser, part in zip(erasers, parts, strict=True)]
        found: Vectors = torch.stack(done, dim=1).numpy().astype(np.float32)
        return found

    return erased


class Adversary(nn.Module):
    """A small network that tells works apart by a head's vectors, while the head hides them.

    Its gradient reaches the head with its sign reversed (Ganin et al., JMLR 2016).

    Parameters
    ----------
    dim : int
        Of the head's vectors.
    works : sequence of str
        Work of each clip of the training material.
    seed : int
        Of its initial weights.
    """

    def __init__(self, dim: int, works: Sequence[str], *, seed: int = 0) -> None:
        super().__init__()
        names, number = np.unique(np.asarray(works, dtype=str), return_inverse=True)
        self._work = torch.from_numpy(number)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._network = nn.Sequential(
                nn.Linear(dim, _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, len(names))
            )

    def forward(self, unit: torch.Tensor, clips: torch.Tensor) -> torch.Tensor:
        """Return the cross-entropy of the works of some clips, given their vectors [clips, dim]."""
        seen = 2 * unit.detach() - unit  # equal to `unit`, with the opposite gradient
        return nn.functional.cross_entropy(self._network(seen), self._work[clips])
