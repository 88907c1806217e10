"""InfoNCE and SupCon from masks of positives and negatives.

pytorch-metric-learning lists every positive beside every negative pair; with batches of 512 clips
training took 16 times as long with it as with these matrices. It is the tests' reference.
"""

from __future__ import annotations

import torch
from torch.nn import functional

__all__ = ["info_nce", "sup_con"]


def info_nce(
    unit: torch.Tensor, positive: torch.Tensor, negative: torch.Tensor, *, temperature: float
) -> torch.Tensor:
    """InfoNCE (van den Oord et al., 2018): each positive pair against its anchor's negatives.

    Parameters
    ----------
    unit : Tensor, float32, shape [clips, out]
        Unit vectors.
    positive, negative : Tensor, bool, shape [clips, clips]
        Row: the anchor. At least one positive.
    temperature : float

    Returns
    -------
    Tensor
        Mean over positive pairs.

    Examples
    --------
    >>> unit = torch.eye(3)[[0, 0, 1]]
    >>> positive = torch.tensor([[False, True, False], [True, False, False], [False] * 3])
    >>> negative = torch.tensor([[False, False, True]] * 2 + [[False] * 3])
    >>> round(info_nce(unit, positive, negative, temperature=1.0).item(), 3)  # log(1 + 1 / e)
    0.313
    """
    scaled = unit @ unit.T / temperature
    others = scaled.masked_fill(~negative, -torch.inf).logsumexp(dim=1, keepdim=True)
    return functional.softplus((others - scaled)[positive]).mean()


def sup_con(
    unit: torch.Tensor, positive: torch.Tensor, negative: torch.Tensor, *, temperature: float
) -> torch.Tensor:
    """SupCon (Khosla et al., 2020): each positive among all positives and negatives of its anchor.

    Parameters
    ----------
    unit, positive, negative, temperature
        As for `info_nce`.

    Returns
    -------
    Tensor
        Mean over anchors with a positive and another one to tell it from.
    """
    scaled = unit @ unit.T / temperature
    known = positive | negative
    anchors = positive.any(dim=1) & (known.sum(dim=1) > 1)
    scaled, positive, known = scaled[anchors], positive[anchors], known[anchors]
    total = scaled.masked_fill(~known, -torch.inf).logsumexp(dim=1, keepdim=True)
    share = torch.where(positive, total - scaled, torch.zeros_like(scaled)).sum(dim=1)
    return (share / positive.sum(dim=1)).mean()
