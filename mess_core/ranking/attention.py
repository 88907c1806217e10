"""Attention over time: descriptors of expression from a clip's frames instead of from their means.

Each of several learned queries weighs the frames of a clip, and what it finds is mapped to the
descriptors of the notes; mean and standard deviation are kept beside it. Like the regression on
vectors, it learns differences within passages, and compares clips by their predicted descriptors.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mess_core.errors import TooLittleError
from mess_core.ranking.frames import Frames
from mess_core.ranking.threads import one_thread
from mess_core.ranking.triplets import expression_unit, within_passages

__all__ = ["AttentionSettings", "fit_attention"]

_FEWEST_WORKS = 3

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Predict = Callable[[Sequence[Frames]], Floats]


@dataclass(frozen=True)
class AttentionSettings:
    """How the attention is trained.

    Attributes
    ----------
    queries, width : int
        Learned queries, and dimensions of what each finds.
    epochs, patience : int
        At most, and without improvement on the works held out.
    passages : int
        Per step.
    learning_rate, weight_decay, dropout : float
    validation : float
        Share of works held out.
    seed : int
    """

    queries: int = 8
    width: int = 32
    epochs: int = 40
    patience: int = 8
    passages: int = 24
    learning_rate: float = 1e-3
    weight_decay: float = 0.1
    dropout: float = 0.4
    validation: float = 0.2
    seed: int = 0


class _Pooled(nn.Module):
    def __init__(self, dim: int, out: int, settings: AttentionSettings) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.weigh = nn.Linear(dim, settings.queries)
        self.value = nn.Linear(dim, settings.width)
        self.drop = nn.Dropout(settings.dropout)
        self.out = nn.Linear(2 * dim + settings.queries * settings.width, out)

    def forward(self, frames: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
        x = self.norm(frames)  # [clips, frames, dim]
        weights = self.weigh(x).masked_fill(~known[..., None], -torch.inf).softmax(dim=1)
        found = torch.einsum("cfq,cfw->cqw", weights, self.value(x)).flatten(1)
        count = known.sum(dim=1, keepdim=True)
        x = x * known[..., None]
        mean = x.sum(dim=1) / count
        spread = (x.square().sum(dim=1) / count - mean.square()).clamp(min=1e-6).sqrt()
        described: torch.Tensor = self.out(self.drop(torch.cat([mean, spread, found], dim=1)))
        return described


def fit_attention(
    frames: Sequence[Frames],
    values: Floats,
    passages: Sequence[str],
    works: Sequence[str],
    settings: AttentionSettings | None = None,
) -> Predict:
    """Fit the attention on clips of several performances of each passage.

    Parameters
    ----------
    frames : sequence of ndarray, float16, shape [frames, dim]
        One of the encoder's states over time for each clip.
    values : ndarray, float64, shape [clips, descriptors]
        Expression descriptors of the notes; NaN where undefined.
    passages, works : sequence of str, length clips
        Works are held out to choose the epoch.
    settings : AttentionSettings, optional

    Returns
    -------
    callable
        Takes frames of clips and returns their predicted descriptors, [clips, descriptors].

    Raises
    ------
    TooLittleError
        If there are no frames, or fewer than three works with a passage of several performances.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> frames = [rng.standard_normal((20, 8)).astype(np.float16) for _ in range(60)]
    >>> values = np.array([[one[:, 0].std()] for one in frames], dtype=np.float64)
    >>> passages = [f"p{number // 4}" for number in range(60)]
    >>> predict = fit_attention(frames, values, passages, passages)
    >>> predict(frames).shape
    (60, 1)
    """
    settings = settings or AttentionSettings()
    names = np.asarray(passages, dtype=str)
    _, passage, counts = np.unique(names, return_inverse=True, return_counts=True)
    several = counts[passage] > 1
    groups = np.asarray(works, dtype=str)
    present = np.unique(groups[several])
    if not frames or len(present) < _FEWEST_WORKS:
        raise TooLittleError(
            f"{len(frames)} clips with frames of {len(present)} works are too few to learn from",
            remedy="Add other performances of the same works",
        )
    rng = np.random.default_rng(settings.seed)
    held_out = rng.permutation(present)[: max(1, round(settings.validation * len(present)))]
    aside = np.isin(groups, held_out)
    train, check = (np.flatnonzero(several & side) for side in (~aside, aside))
    scaled = within_passages(values / expression_unit(values, passages), passage)
    wanted = np.where(np.isfinite(scaled), scaled, 0.0).astype(np.float32)
    material = _Material(
        [torch.from_numpy(one.astype(np.float32)) for one in frames],
        torch.from_numpy(wanted),
        passage,
    )
    with torch.random.fork_rng(devices=[]), one_thread():
        torch.manual_seed(settings.seed)
        model = _Pooled(frames[0].shape[1], values.shape[1], settings)
        _train(model, material, (train, check), settings, rng)
    model.eval()

    @torch.no_grad()
    def predict(clips: Sequence[Frames]) -> Floats:
        parts = [torch.from_numpy(one.astype(np.float32)) for one in clips]
        found: Floats = model(*_stacked(parts)).numpy().astype(np.float64)
        return found

    return predict


@dataclass(frozen=True)
class _Material:
    """Frames of clips, the descriptors to predict (without their passage's mean), and passages."""

    frames: list[torch.Tensor]
    wanted: torch.Tensor
    passage: Ints

    def loss(self, model: nn.Module, rows: Ints) -> torch.Tensor:
        """Return the mean squared error of differences within passages."""
        out = model(*_stacked([self.frames[row] for row in rows.tolist()]))
        label = torch.from_numpy(np.unique(self.passage[rows], return_inverse=True)[1])
        sums = torch.zeros(int(label.max()) + 1, out.shape[1]).index_add(0, label, out)
        centred = out - (sums / label.bincount()[:, None])[label]
        mean: torch.Tensor = (centred - self.wanted[torch.from_numpy(rows)]).square().mean()
        return mean


def _train(
    model: nn.Module,
    material: _Material,
    sides: tuple[Ints, Ints],
    settings: AttentionSettings,
    rng: np.random.Generator,
) -> None:
    """Fit the weights on the first side; keep those of the best epoch on the second."""
    train, check = sides
    best, best_loss, waited = copy.deepcopy(model.state_dict()), np.inf, 0
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    passages = material.passage[train]
    for _ in range(settings.epochs):
        model.train()
        order = rng.permutation(np.unique(passages))
        for first in range(0, len(order), settings.passages):
            optimiser.zero_grad()
            chosen = np.isin(passages, order[first : first + settings.passages])
            torch.autograd.backward(material.loss(model, train[chosen]))
            optimiser.step()
        model.eval()
        with torch.no_grad():
            found = float(material.loss(model, check))
        waited = 0 if found < best_loss else waited + 1
        if waited == 0:
            best, best_loss = copy.deepcopy(model.state_dict()), found
        elif waited >= settings.patience:
            break
    model.load_state_dict(best)


def _stacked(parts: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return frames of equal length, [clips, frames, dim], and which of them are there."""
    padded = nn.utils.rnn.pad_sequence(list(parts), batch_first=True)
    lengths = torch.tensor([len(one) for one in parts])
    return padded, torch.arange(padded.shape[1]) < lengths[:, None]
