"""Seeded training of heads on frozen vectors, with early stopping on held-out works.

Losses: the triplet margin loss of pytorch-metric-learning (Musgrave et al., 2020) for diagonal
weights, InfoNCE and SupCon (`mess_core.ranking.contrastive`) for projections. All data fit in
memory, so that a step uses all clips, or a random choice of whole passages if there are more than
`Settings.batch` clips.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from mess_core.errors import TooLittleError
from mess_core.ranking.contrastive import info_nce, sup_con
from mess_core.ranking.heads import HeadKind, HeadModule, make_head
from mess_core.ranking.invariance import Adversary
from mess_core.ranking.threads import one_thread
from mess_core.ranking.triplets import within_passages
from mess_core.search.served_heads import Head

__all__ = ["LossName", "Material", "Settings", "Trained", "train_head"]

LossName = Literal["triplet", "infonce", "supcon"]

_SCALE_FLOOR = 1e-4
_SOFT = 0.05

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Vectors = NDArray[np.float32]
Loss = Callable[[torch.Tensor, Ints, Bools | None], torch.Tensor]


@dataclass(frozen=True)
class Settings:
    """Hyperparameters of a head and its training.

    Attributes
    ----------
    kind : {"diagonal", "linear", "mlp", "regression"}
        A regression is not trained here, see `mess_core.ranking.regression`.
    loss : {"triplet", "infonce", "supcon"}
    temperature : float
        Temperature of InfoNCE and SupCon.
    epochs, patience : int
        Maximum number of epochs, and of epochs without improvement on the validation works.
    learning_rate, weight_decay : float
        Parameters of AdamW.
    validation : float
        Share of training works held out for early stopping.
    centred : bool
        Whether to subtract the mean of each passage's clips in training, so that the head cannot
        use the content.
    adversary : float
        Weight of an adversary that tells works apart by the head's vectors; 0 for none.
    batch : int
        Clips per step.
    seed : int
    """

    kind: HeadKind
    loss: LossName
    temperature: float = 0.1
    epochs: int = 200
    patience: int = 25
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    validation: float = 0.25
    centred: bool = False
    adversary: float = 0.0
    batch: int = 512
    seed: int = 0


@dataclass(frozen=True)
class Material:
    """Training data of a head.

    Attributes
    ----------
    vectors : ndarray, float32, shape [clips, layers, dim]
    triplets : ndarray, int64, shape [triplets, 3]
        (x, nearer, farther).
    passages, groups : sequence of str, length clips
        Labels of the clips. Clips of a group (work) are on the same side of the validation split.
    by_passage : bool
        Whether all clips of other passages are negatives (content), or only those in the
        triplets (expression).
    """

    vectors: Vectors
    triplets: Ints
    passages: Sequence[str]
    groups: Sequence[str]
    by_passage: bool


@dataclass(frozen=True)
class Trained:
    """A trained head and its training history.

    Attributes
    ----------
    head : Head
    epoch : int
        Epoch of the weights.
    validation : float
        Soft accuracy of that epoch on the validation triplets; of a regression, its
        cross-validated R² within passages.
    history : tuple of float
        Soft accuracy of all epochs.
    held_out : frozenset of str
        Groups held out for validation; no weights were fitted to them.
    """

    head: Head
    epoch: int
    validation: float
    history: tuple[float, ...]
    held_out: frozenset[str]


def train_head(
    material: Material, settings: Settings, *, made_from: Mapping[str, Any] | None = None
) -> Trained:
    """Train one head.

    Parameters
    ----------
    material : Material
    settings : Settings
    made_from : mapping, optional
        Provenance to record in the manifest.

    Returns
    -------
    Trained
        The head has the weights of the best epoch on the validation triplets.

    Raises
    ------
    TooLittleError
        If there are fewer than two groups, or no training or validation triplets.
    """
    with one_thread():
        return _train(material, settings, made_from)


def _train(material: Material, settings: Settings, made_from: Mapping[str, Any] | None) -> Trained:
    groups = np.asarray(material.groups, dtype=str)
    train, validation = _split_triplets(groups, material.triplets, settings)
    inside = np.isin(groups, np.unique(groups[train[:, 0]]))
    mean = material.vectors[inside].mean(axis=0)
    scale = np.maximum(material.vectors[inside].std(axis=0), _SCALE_FLOOR)
    x = (material.vectors - mean) / scale
    passages = np.unique(np.asarray(material.passages, dtype=str), return_inverse=True)[1]
    if settings.centred:
        x = within_passages(x.reshape(len(x), -1), passages).reshape(x.shape)
    inputs = torch.from_numpy(x.astype(np.float32))
    model = make_head(settings.kind, x.shape[1], x.shape[2], seed=settings.seed)
    loss = _loss(settings)
    adversary = None
    if settings.adversary:
        adversary = Adversary(model(inputs[:1]).shape[1], groups.tolist(), seed=settings.seed)
    optimiser = torch.optim.AdamW(
        [*model.parameters(), *(adversary.parameters() if adversary else ())],
        lr=settings.learning_rate,
        weight_decay=settings.weight_decay,
    )
    rng = np.random.default_rng(settings.seed)
    rows = np.flatnonzero(inside)
    best, best_epoch, best_state, history = -1.0, -1, copy.deepcopy(model.state_dict()), []
    for epoch in range(settings.epochs):
        history.append(_soft_accuracy(model, inputs, validation))
        if history[-1] > best + 1e-4:
            best, best_epoch = history[-1], epoch
            best_state = copy.deepcopy(model.state_dict())
        elif epoch - best_epoch >= settings.patience:
            break
        chosen = _batch(rows, passages, settings.batch, rng)
        local = _inside(train, chosen)
        if len(local) == 0:
            continue
        optimiser.zero_grad()
        other = passages[chosen][:, None] != passages[chosen] if material.by_passage else None
        positions = torch.from_numpy(chosen)
        unit = model(inputs[positions])
        value = loss(unit, local, other)
        if adversary is not None:
            value = value + settings.adversary * adversary(unit, positions)
        torch.autograd.backward(value)
        optimiser.step()
    model.load_state_dict(best_state)
    head = model.export(mean, scale, {**(made_from or {}), "settings": vars(settings)})
    held_out = frozenset(groups[validation].ravel().tolist())
    return Trained(head, best_epoch, best, tuple(history), held_out)


def _split_triplets(
    groups: NDArray[np.str_], triplets: Ints, settings: Settings
) -> tuple[Ints, Ints]:
    """Split triplets into training and validation triplets, with no group in both."""
    names = np.unique(groups)
    if len(names) < 2:
        raise TooLittleError(
            "training a head needs at least two works", remedy="Add performances of other works"
        )
    candidates = np.unique(groups[triplets[:, 0]]) if len(triplets) else names[:0]
    order = np.random.default_rng(settings.seed).permutation(candidates)
    held_out = order[: max(1, round(settings.validation * len(candidates)))]
    inside = np.isin(groups[triplets], held_out)  # [triplets, 3]
    train, validation = triplets[~inside.any(axis=1)], triplets[inside.all(axis=1)]
    if len(train) == 0 or len(validation) == 0:
        raise TooLittleError(
            f"{len(train)} training and {len(validation)} validation triplets are too few",
            remedy="Add performances of more works",
        )
    return train, validation


def _loss(settings: Settings) -> Loss:
    """Return the loss of unit vectors, triplets, and a mask of further negatives or None."""
    if settings.loss == "triplet":
        from pytorch_metric_learning import distances, losses

        margin = losses.TripletMarginLoss(margin=0.1, distance=distances.CosineSimilarity())

        def by_triplets(unit: torch.Tensor, triplets: Ints, _: Bools | None) -> torch.Tensor:
            indices = tuple(torch.from_numpy(np.ascontiguousarray(one)) for one in triplets.T)
            found: torch.Tensor = margin(unit, indices_tuple=indices)
            return found

        return by_triplets
    contrast = {"infonce": info_nce, "supcon": sup_con}[settings.loss]

    def by_masks(unit: torch.Tensor, triplets: Ints, other: Bools | None) -> torch.Tensor:
        positive, negative = _masks(triplets, len(unit), other)
        return contrast(unit, positive, negative, temperature=settings.temperature)

    return by_masks


@torch.no_grad()
def _soft_accuracy(model: HeadModule, inputs: torch.Tensor, triplets: Ints) -> float:
    """Return the mean sigmoid of triplet margins, which is smoother than the accuracy."""
    needed = np.unique(triplets)
    unit = model(inputs[torch.from_numpy(needed)])
    x, near, far = (torch.from_numpy(np.searchsorted(needed, one)) for one in triplets.T)
    similarity = unit @ unit.T
    return float(torch.sigmoid((similarity[x, near] - similarity[x, far]) / _SOFT).mean())


def _batch(rows: Ints, passages: Ints, size: int, rng: np.random.Generator) -> Ints:
    """Return all rows, or those of randomly chosen passages if there are too many."""
    if len(rows) <= size:
        return rows
    found: list[int] = []
    for passage in rng.permutation(np.unique(passages[rows])):
        found += rows[passages[rows] == passage].tolist()
        if len(found) >= size:
            break
    return np.array(sorted(found), dtype=np.int64)


def _inside(triplets: Ints, chosen: Ints) -> Ints:
    """Return the triplets within the batch, as positions in it."""
    position = np.full(int(max(triplets.max(), chosen.max())) + 1, -1)
    position[chosen] = np.arange(len(chosen))
    local = position[triplets]
    return local[(local >= 0).all(axis=1)]


def _masks(triplets: Ints, count: int, other: Bools | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Return which clips are positives and negatives of which.

    If triplets disagree on whether a clip is near to x or far from it, the majority decides.
    """
    net = np.zeros((count, count), dtype=np.int64)
    np.add.at(net, (triplets[:, 0], triplets[:, 1]), 1)
    if other is None:
        np.add.at(net, (triplets[:, 0], triplets[:, 2]), -1)
    negative = net < 0 if other is None else other
    return torch.from_numpy(net > 0), torch.from_numpy(negative)
