"""MERT's convolutional front end and positional convolution, optimised for CPUs.

The modules compute the same sums as HuBERT's own, which are the reference in the tests, in
fewer operations:

- the first block's normalisation over time is folded into its weights, since mean and variance
  of a convolution's output follow from those of its input patches;
- frames are stored as [time, channels], so that strided convolutions are matrix products without
  copies;
- of the three taps at stride two, the two that see even samples are computed for pairs of frames
  with three products instead of four (Winograd, 1980, minimal filtering F(2, 2));
- the positional convolution of 128 taps uses the FFT.

In bfloat16 the first block and the FFT stay in float32, and the other blocks are one matrix product
each over overlapping rows: differences of neighbours, as Winograd needs them, would lose digits.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

__all__ = ["install"]


def install(model: Any) -> bool:
    """Install the optimised modules in a HubertModel whose weight norm is folded.

    Returns
    -------
    bool
        False if the architecture is not the published one; the model is then unchanged.
    """
    layers = model.feature_extractor.conv_layers
    first = layers[0]
    norm = getattr(first, "layer_norm", None)
    fits = (
        isinstance(norm, nn.GroupNorm)
        and norm.num_groups == norm.num_channels
        and model.config.feat_extract_activation == "gelu"
        and all(layer.conv.bias is None for layer in layers)
        and all(layer.conv.stride[0] == 2 and layer.conv.kernel_size[0] in (2, 3)
                for layer in layers[1:])
        and not any(hasattr(layer, "layer_norm") for layer in layers[1:])
    )  # fmt: skip
    if not fits:
        return False
    model.feature_extractor = _FrontEnd(model.feature_extractor)
    embedding = model.encoder.pos_conv_embed
    if not nn.utils.parametrize.is_parametrized(embedding.conv, "weight"):
        model.encoder.pos_conv_embed = _PositionalConvolution(embedding)
    return True


class _FrontEnd(nn.Module):
    """Map float32 [batch, samples] to [batch, channels, frames], like HubertFeatureEncoder."""

    def __init__(self, library: Any) -> None:
        super().__init__()
        first = library.conv_layers[0]
        self.stride = int(first.conv.stride[0])
        self.eps = float(first.layer_norm.eps)
        # Not buffers, which would not stay in float32.
        self.first = first.conv.weight[:, 0].detach().contiguous()  # [channels, taps]
        self.gain, self.offset = first.layer_norm.weight.detach(), first.layer_norm.bias.detach()
        self.blocks = nn.ModuleList(_StridedBlock(layer.conv) for layer in library.conv_layers[1:])

    def forward(self, input_values: torch.Tensor) -> torch.Tensor:
        outputs = []
        for wave in input_values:
            frames = self._first_block(wave)
            for block in self.blocks:
                frames = block(frames)
            outputs.append(frames)
        return torch.stack(outputs).transpose(1, 2)

    def _first_block(self, wave: torch.Tensor) -> torch.Tensor:
        taps = self.first.shape[1]
        patches = wave.unfold(0, taps, self.stride)  # [frames, taps], a view
        wide = patches.double()
        mean = wide.mean(dim=0)
        centred = wide - mean
        covariance = centred.T @ centred / len(patches)  # [taps, taps]
        weight = self.first.double()
        variance = ((weight @ covariance) * weight).sum(dim=1)
        scale = self.gain.double() / torch.sqrt(variance + self.eps)
        shift = self.offset.double() - scale * (weight @ mean)
        folded = (weight * scale[:, None]).T.to(wave.dtype)  # [taps, channels]
        frames = torch.addmm(shift.to(wave.dtype), patches.contiguous(), folded)
        return _gelu(frames)


class _StridedBlock(nn.Module):
    """Convolution of two or three taps at stride two, then GELU, on [frames, channels]."""

    whole: torch.Tensor
    both: torch.Tensor

    def __init__(self, convolution: Any) -> None:
        super().__init__()
        weight = convolution.weight.permute(2, 1, 0).contiguous()  # [taps, in, out]
        self.taps = int(weight.shape[0])
        self.register_buffer("whole", weight)
        if self.taps == 3:
            self.register_buffer("both", weight[0] + weight[2])

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        frames = frames.to(self.whole.dtype)
        length, channels = frames.shape
        count = (length - self.taps) // 2 + 1
        if self.taps == 3 and frames.dtype == torch.float32:
            return _gelu(self._three_taps(frames, count))
        rows = frames.as_strided((count, self.taps * channels), (2 * channels, 1))  # no copy
        return _gelu(rows @ self.whole.flatten(0, 1))

    def _three_taps(self, frames: torch.Tensor, count: int) -> torch.Tensor:
        length, channels = frames.shape
        even0, odd, even1 = self.whole.unbind()
        halves = frames[: length - length % 2].view(-1, 2 * channels)  # even | odd, no copy
        result: torch.Tensor = halves[:count, channels:] @ odd  # [count, out]
        even = frames[::2]  # [count + 1 or more, channels]
        pairs = count // 2
        left, middle, right = (even[start::2][:pairs] for start in (0, 1, 2))
        shared = middle @ self.both
        doubled = result[: 2 * pairs].view(pairs, 2, -1)
        doubled[:, 0] += torch.addmm(shared, left - middle, even0)
        doubled[:, 1] += torch.addmm(shared, middle - right, even1, alpha=-1)
        if count % 2:
            last = even[count - 1 : count + 1]
            result[-1] += last[0] @ even0 + last[1] @ even1
        return result


class _PositionalConvolution(nn.Module):
    """Map [batch, frames, dim] to the same shape, like HubertPositionalConvEmbedding."""

    def __init__(self, library: Any) -> None:
        super().__init__()
        convolution = library.conv
        self.groups = int(convolution.groups)
        self.taps = int(convolution.kernel_size[0])
        self.padding = int(convolution.padding[0])
        self.activation = library.activation
        # Not buffers, which would not stay in float32.
        self.weight = convolution.weight.detach()  # [dim, dim / groups, taps]
        self.bias = convolution.bias.detach()
        self._spectra: dict[int, torch.Tensor] = {}

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        batch, frames, dim = hidden_states.shape
        width = dim // self.groups
        size = _fft_size(frames + self.taps - 1)
        spectrum = self._spectrum(size, width)  # [bins, groups, in, out]
        padded = nn.functional.pad(hidden_states.float(), (0, 0, self.padding, 0))
        signal = torch.fft.rfft(padded, n=size, dim=1)  # [batch, bins, dim]
        signal = signal.view(batch, -1, self.groups, width).permute(1, 2, 0, 3)
        product = (signal @ spectrum).permute(2, 0, 1, 3).reshape(batch, -1, dim)
        result = torch.fft.irfft(product, n=size, dim=1)[:, :frames] + self.bias
        activated: torch.Tensor = self.activation(result.to(hidden_states.dtype))
        return activated

    def _spectrum(self, size: int, width: int) -> torch.Tensor:
        if size not in self._spectra:
            taps = self.weight.view(self.groups, width, width, self.taps)  # [group, out, in, taps]
            spectrum = torch.fft.rfft(taps, n=size, dim=3).conj()
            # Tracks shorter than a window have other lengths: cache the latest spectrum only.
            self._spectra.clear()
            self._spectra[size] = spectrum.permute(3, 0, 2, 1).contiguous()
        return self._spectra[size]


def _gelu(frames: torch.Tensor) -> torch.Tensor:
    """Apply GELU in place, since a copy of the first block's output alone takes 49 MB."""
    result: torch.Tensor = torch.ops.aten.gelu_(frames)
    return result


def _fft_size(length: int) -> int:
    """Return the smallest number of the form 2^a or 3 * 2^a that is at least `length`."""
    size = 1
    while size < length:
        size *= 2
    return size * 3 // 4 if size * 3 // 4 >= length else size
