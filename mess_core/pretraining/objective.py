"""What the encoder learns from: notes in every state, and the manner of playing in pooled states.

Frame level: which keys are struck (with their velocity), which sound, and whether the pedal is
down, from the last state (after Hawthorne et al., "Onsets and frames", ISMIR 2018). Pooled: numbers
that describe how a whole excerpt is played, from mean and standard deviation over 5 s windows.
Contrast: two instruments playing one performance are drawn together, and other performances of the
same notes are pushed apart (Khosla et al., "Supervised contrastive learning", NeurIPS 2020).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from pytorch_metric_learning.losses import SupConLoss
from torch import nn

from mess_core.encoders.piano import PianoModel
from mess_core.pretraining.labels import PITCHES, POOLED

__all__ = ["Batch", "Heads", "losses"]

_ONSET_WEIGHT = 4.0
_TEMPERATURE = 0.1


@dataclass(frozen=True)
class Batch:
    """Clips and their labels.

    Attributes
    ----------
    mel : Tensor, float32, shape [clips, frames, bands]
    onset : Tensor, float32, shape [clips, states, 88]
        Velocity / 127; 0 for none.
    sounding : Tensor, float32, shape [clips, states, 88]
    pedal : Tensor, float32, shape [clips, states]
    pooled : Tensor, float32, shape [clips, numbers]
        Standardised; NaN where not defined.
    performance : Tensor, int64, shape [clips]
        Equal for clips of the same performance.
    """

    mel: torch.Tensor
    onset: torch.Tensor
    sounding: torch.Tensor
    pedal: torch.Tensor
    pooled: torch.Tensor
    performance: torch.Tensor


class Heads(nn.Module):
    """Linear maps on the encoder's states, thrown away after training.

    Parameters
    ----------
    dim : int
        Of the states.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.notes = nn.Linear(dim, 3 * PITCHES + 1)
        self.pooled = nn.Linear(2 * dim, len(POOLED))
        self.projection = nn.Linear(2 * dim, 128)

    def forward(self, states: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Logits of onsets, keys and pedal, and velocities, per state."""
        out = self.notes(states)
        onset, sounding, velocity = out[..., : 3 * PITCHES].chunk(3, dim=-1)
        return onset, sounding, velocity, out[..., -1]


def losses(
    model: PianoModel, heads: Heads, batch: Batch, *, windows: int
) -> dict[str, torch.Tensor]:
    """The parts of the objective; their sum is minimised.

    Parameters
    ----------
    model : PianoModel
    heads : Heads
    batch : Batch
    windows : int
        Windows that each clip is cut into: the encoder sees one at a time.

    Returns
    -------
    dict of str to Tensor
        ``onset, sounding, velocity, pedal, pooled, contrast``.
    """
    clips, frames, bands = batch.mel.shape
    cut = batch.mel.reshape(clips * windows, frames // windows, bands)
    every = model(cut)
    last = model.final_norm(every[-1])  # [clips * windows, states, dim]
    states = batch.onset.shape[1] // windows
    last = last[:, :states]
    onset, sounding, velocity, pedal = heads(last)
    shape = (clips * windows, states, -1)
    struck = batch.onset.reshape(shape)
    hit = (struck > 0).float()
    bce = nn.functional.binary_cross_entropy_with_logits
    found = {
        "onset": 10 * bce(onset, hit, pos_weight=torch.tensor(_ONSET_WEIGHT, device=hit.device)),
        "sounding": 3 * bce(sounding, batch.sounding.reshape(shape)),
        "velocity": 3 * ((velocity - struck).square() * hit).sum() / hit.sum().clamp(min=1.0) * 10,
        "pedal": 0.5 * bce(pedal, batch.pedal.reshape(clips * windows, states)),
    }
    # Pooled vectors of several depths, since any of them may be searched by.
    pooled_loss = torch.zeros((), device=last.device)
    for depth in (last, every[len(every) // 2][:, :states]):
        vector = torch.cat([depth.mean(dim=1), depth.std(dim=1)], dim=-1)
        vector = vector.view(clips, windows, -1).mean(dim=1)  # [clips, 2 dim]
        if depth is last:
            track = vector
        known = torch.isfinite(batch.pooled)
        wanted = torch.where(known, batch.pooled, torch.zeros_like(batch.pooled))
        off = nn.functional.smooth_l1_loss(heads.pooled(vector), wanted, reduction="none")
        pooled_loss = pooled_loss + (off * known).sum() / known.sum().clamp(min=1)
    found["pooled"] = 2 * pooled_loss
    contrast = SupConLoss(temperature=_TEMPERATURE)
    found["contrast"] = 0.2 * contrast(heads.projection(track), batch.performance)
    return found
