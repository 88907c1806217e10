"""Detect an encoder whose states hardly depend on the sound."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from mess_core.encoders.base import Encoder

__all__ = ["COLLAPSED", "clip_similarity"]

COLLAPSED = 0.999
"""Mean cosine similarity between different clips above which a state counts as collapsed."""

_SECONDS = 1.0


def clip_similarity(encoder: Encoder) -> NDArray[np.float64]:
    """Return the mean cosine similarity between the pooled states of different clips.

    The clips are a chord, noise and a quiet glide, of one second each.

    Parameters
    ----------
    encoder : Encoder

    Returns
    -------
    ndarray, float64, shape [layers]
        1 for a state that is the same whatever is played. A trained encoder is well below
        `COLLAPSED` in at least one state.

    Examples
    --------
    >>> from mess_core.encoders import load_encoder
    >>> similarity = clip_similarity(load_encoder("mess-piano", device="cpu"))
    >>> bool(similarity.min() < COLLAPSED)
    True
    """
    pooled = np.stack(
        [encoder.hidden_states(clip).mean(axis=1) for clip in _clips(encoder.sample_rate)]
    ).astype(np.float64)  # [clips, layers, dim]
    unit = pooled / np.maximum(np.linalg.norm(pooled, axis=-1, keepdims=True), 1e-12)
    cosine = np.einsum("ald,bld->lab", unit, unit)
    pairs = np.triu_indices(len(unit), k=1)
    mean: NDArray[np.float64] = cosine[:, pairs[0], pairs[1]].mean(axis=1)
    return mean


def _clips(sample_rate: int) -> list[NDArray[np.float32]]:
    """Return three clips that have little in common."""
    time_s = np.arange(int(_SECONDS * sample_rate)) / sample_rate
    chord = np.sin(2 * np.pi * np.outer([220.0, 277.2, 329.6], time_s)).sum(axis=0)
    noise = np.random.default_rng(0).standard_normal(len(time_s))
    glide = 0.02 * np.sin(2 * np.pi * np.cumsum(100 + 1500 * time_s) / sample_rate)
    return [clip.astype(np.float32) for clip in (0.1 * chord, 0.1 * noise, glide)]
