"""Seeded training of heads on frozen vectors, with early stopping on held-out works.

Losses come from pytorch-metric-learning (Musgrave et al., 2020): the triplet margin loss for
diagonal weights, NT-Xent (InfoNCE; van den Oord et al., 2018) and SupCon (Khosla et al., 2020)
for projections. All data fit in memory, so that a step uses all clips, or a random choice of
whole passages if there are more than `Settings.batch` clips.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from mess_core.errors import MessError
from mess_core.ranking.heads import HeadKind, HeadModule, make_head
from mess_core.search.served_heads import Head

__all__ = ["LossName", "Material", "Settings", "Trained", "train_head"]

LossName = Literal["triplet", "infonce", "supcon"]

_SCALE_FLOOR = 1e-4
_SOFT = 0.05
_SMALL = 1_000_000

Ints = NDArray[np.int64]
Vectors = NDArray[np.float32]


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
    batch : int
        Clips per step.
    negatives : int
        Random negatives per clip and step, from other passages (InfoNCE for content).
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
    batch: int = 512
    negatives: int = 32
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


@contextmanager
def _threads_for(elements: int) -> Iterator[None]:
    """Use one thread for small data, where synchronising threads takes longer than the work.

    Measured: five times faster on 200 clips of 13 x 32, a third slower on 200 of 13 x 768.
    """
    before = torch.get_num_threads()
    if elements < _SMALL:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


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
    MessError
        If there are fewer than two groups, or no training or validation triplets.
    """
    with _threads_for(material.vectors.size):
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
        x = x - _passage_means(x, passages)
    inputs = torch.from_numpy(x.astype(np.float32))
    model = make_head(settings.kind, x.shape[1], x.shape[2], seed=settings.seed)
    loss = _loss(settings)
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
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
        pairs = _pairs(chosen, material, train, passages, settings, rng)
        if pairs is None:
            continue
        optimiser.zero_grad()
        value = loss(model(inputs[torch.from_numpy(chosen)]), indices_tuple=pairs)
        value.backward()
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
        raise MessError(
            "training a head needs at least two works", remedy="Add performances of other works"
        )
    candidates = np.unique(groups[triplets[:, 0]]) if len(triplets) else names[:0]
    order = np.random.default_rng(settings.seed).permutation(candidates)
    held_out = order[: max(1, round(settings.validation * len(candidates)))]
    inside = np.isin(groups[triplets], held_out)  # [triplets, 3]
    train, validation = triplets[~inside.any(axis=1)], triplets[inside.all(axis=1)]
    if len(train) == 0 or len(validation) == 0:
        raise MessError(
            f"{len(train)} training and {len(validation)} validation triplets are too few",
            remedy="Add performances of more works",
        )
    return train, validation


def _loss(settings: Settings) -> Any:
    from pytorch_metric_learning import distances, losses

    if settings.loss == "triplet":
        return losses.TripletMarginLoss(margin=0.1, distance=distances.CosineSimilarity())
    losses_by_name = {"infonce": losses.NTXentLoss, "supcon": losses.SupConLoss}
    return losses_by_name[settings.loss](temperature=settings.temperature)


@torch.no_grad()
def _soft_accuracy(model: HeadModule, inputs: torch.Tensor, triplets: Ints) -> float:
    """Return the mean sigmoid of triplet margins, which is smoother than the accuracy."""
    needed = np.unique(triplets)
    unit = model(inputs[torch.from_numpy(needed)])
    x, near, far = (torch.from_numpy(np.searchsorted(needed, one)) for one in triplets.T)
    difference = (unit[x] * (unit[near] - unit[far])).sum(dim=1)
    return float(torch.sigmoid(difference / _SOFT).mean())


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


def _pairs(
    chosen: Ints,
    material: Material,
    triplets: Ints,
    passages: Ints,
    settings: Settings,
    rng: np.random.Generator,
) -> tuple[torch.Tensor, ...] | None:
    """Return rows of the batch in the form the loss takes; None if the batch has no triplet.

    The triplet loss takes triplets. The others take (anchors, positives, anchors, negatives). If
    triplets disagree on whether a clip is near to x or far from it, the majority decides.
    """
    position = np.full(int(max(triplets.max(), chosen.max())) + 1, -1)
    position[chosen] = np.arange(len(chosen))
    local = position[triplets]
    local = local[(local >= 0).all(axis=1)]
    if len(local) == 0:
        return None
    if settings.loss == "triplet":
        return tuple(torch.from_numpy(np.ascontiguousarray(one)) for one in local.T)
    net = np.zeros((len(chosen), len(chosen)), dtype=np.int64)
    np.add.at(net, (local[:, 0], local[:, 1]), 1)
    if material.by_passage:
        own = passages[chosen]
        other = own[:, None] != own[None]
        # The library's InfoNCE compares every positive with every negative pair.
        most = settings.negatives if settings.loss == "infonce" else len(chosen)
        negative = torch.from_numpy(_sample_per_row(other, most, rng))
    else:
        np.add.at(net, (local[:, 0], local[:, 2]), -1)
        negative = torch.from_numpy(np.argwhere(net < 0))
    positive = torch.from_numpy(np.argwhere(net > 0))
    return positive[:, 0], positive[:, 1], negative[:, 0], negative[:, 1]


def _sample_per_row(
    allowed: NDArray[np.bool_], most: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Draw at most `most` allowed entries of each row at random; return indices, [pairs, 2]."""
    if most < allowed.shape[1]:
        draw = np.where(allowed, rng.random(allowed.shape), np.inf)
        nth = np.partition(draw, most - 1, axis=1)[:, most - 1 : most]
        allowed = allowed & (draw <= nth)
    return np.argwhere(allowed)


def _passage_means(x: Vectors, passages: Ints) -> Vectors:
    flat = x.reshape(len(x), -1)
    sums = np.zeros((int(passages.max()) + 1, flat.shape[1]), dtype=np.float64)
    np.add.at(sums, passages, flat)
    means = sums / np.bincount(passages)[:, None]
    found: Vectors = means[passages].reshape(x.shape).astype(np.float32)
    return found
