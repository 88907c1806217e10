"""What the encoder learns from: notes in every state, and the manner of playing in pooled states.

Frame level: which keys are struck (with their velocity), which sound, and whether the pedal is
down, from the last state (after Hawthorne et al., "Onsets and frames", ISMIR 2018). Pooled: numbers
that describe how a whole excerpt is played, from mean and standard deviation over windows of 4 s.
Contrast: two instruments playing one performance are drawn together, and other performances of the
same notes are pushed apart (Khosla et al., "Supervised contrastive learning", NeurIPS 2020).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from pytorch_metric_learning.losses import SupConLoss
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from mess_core.encoders.piano import PianoModel
from mess_core.pretraining.labels import PITCHES, POOLED

__all__ = ["Batch", "Encoded", "Heads", "encode", "losses"]

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


@dataclass(frozen=True)
class Encoded:
    """What the encoder and its heads make of a batch.

    Attributes
    ----------
    notes : tuple of Tensor
        Of each window and state: logits of onsets, keys and pedal around velocities, as `Heads`
        returns them.
    track, middle : Tensor, float32, shape [clips, 2 dim]
        Mean and standard deviation over each window, averaged over windows, of the last state
        and of the middle one.
    """

    notes: tuple[torch.Tensor, ...]
    track: torch.Tensor
    middle: torch.Tensor


def encode(
    model: PianoModel, heads: Heads, batch: Batch, *, windows: int, precision: torch.dtype
) -> Encoded:
    """Run the encoder on the windows of a batch's clips, each by itself.

    Parameters
    ----------
    model : PianoModel
    heads : Heads
    batch : Batch
    windows : int
        Windows that each clip is cut into: the encoder sees one at a time.
    precision : torch.dtype
        Of the encoder's arithmetic; states come as float32.
    """
    clips, frames, bands = batch.mel.shape
    cut = batch.mel.reshape(clips * windows, frames // windows, bands)
    count = batch.onset.shape[1] // windows  # the convolutions may yield one state more
    # The fused attention has no fast backward pass for half precision on a CPU.
    fewer_bits = precision != torch.float32
    with (
        torch.autocast(cut.device.type, precision, enabled=fewer_bits),
        sdpa_kernel(SDPBackend.MATH),
    ):
        every = [states.float() for states in model(cut)]
    last = model.final_norm(every[-1])[:, :count]
    track, middle = (
        torch.cat([states.mean(dim=1), states.std(dim=1)], dim=-1).view(clips, windows, -1).mean(1)
        for states in (last, every[len(every) // 2][:, :count])
    )
    return Encoded(heads(last), track, middle)


def losses(
    model: PianoModel, heads: Heads, batch: Batch, *, windows: int, precision: torch.dtype
) -> dict[str, torch.Tensor]:
    """The parts of the objective; their sum is minimised.

    Parameters
    ----------
    model : PianoModel
    heads : Heads
    batch : Batch
    windows, precision
        As for `encode`.

    Returns
    -------
    dict of str to Tensor
        ``onset, sounding, velocity, pedal, pooled, contrast``.
    """
    seen = encode(model, heads, batch, windows=windows, precision=precision)
    onset, sounding, velocity, pedal = seen.notes
    shape = (*onset.shape[:2], -1)
    struck = batch.onset.reshape(shape)
    hit = (struck > 0).float()
    bce = nn.functional.binary_cross_entropy_with_logits
    found = {
        "onset": 10 * bce(onset, hit, pos_weight=torch.tensor(_ONSET_WEIGHT, device=hit.device)),
        "sounding": 3 * bce(sounding, batch.sounding.reshape(shape)),
        "velocity": 3 * ((velocity - struck).square() * hit).sum() / hit.sum().clamp(min=1.0) * 10,
        "pedal": 0.5 * bce(pedal, batch.pedal.reshape(pedal.shape)),
    }
    known = torch.isfinite(batch.pooled)
    wanted = torch.where(known, batch.pooled, torch.zeros_like(batch.pooled))
    pooled = torch.zeros((), device=hit.device)
    for vector in (seen.track, seen.middle):  # of two depths, since any layer may be searched by
        off = nn.functional.smooth_l1_loss(heads.pooled(vector), wanted, reduction="none")
        pooled = pooled + (off * known).sum() / known.sum().clamp(min=1)
    found["pooled"] = 3 * pooled
    contrast = SupConLoss(temperature=_TEMPERATURE)
    found["contrast"] = 0.2 * contrast(heads.projection(seen.track), batch.performance)
    return found
