"""Pool the frames of a window to one vector per state."""

from __future__ import annotations

from collections.abc import Callable

import torch

__all__ = ["POOLINGS", "pool_frames"]

_PERCENTILES = (0.1, 0.5, 0.9)


def _mean(states: torch.Tensor) -> list[torch.Tensor]:
    return [states.mean(dim=2)]


def _mean_std(states: torch.Tensor) -> list[torch.Tensor]:
    return [states.mean(dim=2), states.std(dim=2, correction=0)]


def _mean_std_delta(states: torch.Tensor) -> list[torch.Tensor]:
    if states.shape[2] > 1:
        change = states.diff(dim=2).square().mean(dim=2).sqrt()
    else:
        change = torch.zeros_like(states[:, :, 0])
    return [*_mean_std(states), change]


def _percentiles(states: torch.Tensor) -> list[torch.Tensor]:
    at = torch.tensor(_PERCENTILES, device=states.device, dtype=states.dtype)
    return list(states.quantile(at, dim=2))


POOLINGS: dict[str, Callable[[torch.Tensor], list[torch.Tensor]]] = {
    "mean": _mean,
    "mean+std": _mean_std,
    "mean+std+delta": _mean_std_delta,
    "percentiles": _percentiles,
}
"""Ways of pooling by name; all but "mean" multiply the dimensions by two or three."""


def pool_frames(states: torch.Tensor, pooling: str) -> torch.Tensor:
    """Pool states over frames.

    Parameters
    ----------
    states : Tensor, float32, shape [windows, layers, frames, dim]
    pooling : {"mean", "mean+std", "mean+std+delta", "percentiles"}
        Mean; with the standard deviation; with the root mean square of the change from one frame to
        the next as well; or the 10th, 50th and 90th percentile.

    Returns
    -------
    Tensor, float32, shape [windows, layers, k * dim]
        One statistic after the other; k is 1, 2, 3 or 3.

    Examples
    --------
    >>> states = torch.tensor([[[[0.0], [2.0], [0.0], [2.0]]]])  # one window, four frames
    >>> pool_frames(states, "mean+std+delta").tolist()
    [[[1.0, 1.0, 2.0]]]
    """
    return torch.cat(POOLINGS[pooling](states), dim=-1)
