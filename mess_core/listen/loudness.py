"""Clips of a triplet as a judge hears them: equally loud, faded, as WAV.

ITU-R BS.1770-4 (K-weighting, gated integrated loudness); its filters for any sample rate by
the bilinear transform of their analogue prototypes.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mess_core.audio import SAMPLE_RATE, load_passage
from mess_core.errors import AudioError

__all__ = ["integrated_loudness", "matched", "wav_clips"]

_FADE_S = 0.02
_BLOCK_S = 0.4
_ABSOLUTE_GATE = -70.0
_RELATIVE_GATE = -10.0
_LEVEL = -26.0
"""In LUFS, of all clips of all triplets: so that none is a shock after a soft one."""

_HEADROOM_DB = 1.0
_MOST_GAIN_DB = 25.0
_SLACK_S = 0.1


def wav_clips(passages: Sequence[tuple[Path, float, float]]) -> list[bytes]:
    """Decode passages, make them equally loud, and write each as mono 16-bit WAV.

    Parameters
    ----------
    passages : sequence of (path, start_s, end_s)
        What is compared with each other.

    Returns
    -------
    list of bytes

    Raises
    ------
    AudioError
        If one cannot be decoded, ends before its passage does, or cannot be made audible.
    """
    import soundfile as sf

    waves = []
    for path, start_s, end_s in passages:
        wave = load_passage(path, start_s, end_s)
        if len(wave) < (end_s - start_s - _SLACK_S) * SAMPLE_RATE:
            raise AudioError(
                f"ends before its passage from {start_s:g} to {end_s:g} s",
                path=path,
                remedy="Scan the data set again and find the passages anew",
            )
        waves.append(wave)
    written = []
    for wave in matched(waves, SAMPLE_RATE):
        file = io.BytesIO()
        sf.write(file, _faded(wave), SAMPLE_RATE, format="WAV", subtype="PCM_16")
        written.append(file.getvalue())
    return written


def matched(waves: Sequence[NDArray[np.float32]], rate: int) -> list[NDArray[np.float32]]:
    """Waves made equally loud: -26 LUFS, or as near to it as the highest peak allows.

    Parameters
    ----------
    waves : sequence of numpy.ndarray, float32, shape [samples]
    rate : int
        In Hz.

    Returns
    -------
    list of numpy.ndarray, float32, shape [samples]
        None has a peak above -1 dBFS.

    Raises
    ------
    AudioError
        If one is silent, or so soft (more than 25 dB below the others' level) that its noise
        would be heard instead of it.
    """
    loudness = [integrated_loudness(wave, rate) for wave in waves]
    if not np.isfinite(loudness).all():
        raise AudioError("a clip is silent", remedy="Leave its passage out of the triplets")
    room = [
        level - 20 * np.log10(np.abs(wave).max()) - _HEADROOM_DB
        for wave, level in zip(waves, loudness, strict=True)
    ]
    target = min(_LEVEL, *room)
    if target - min(loudness) > _MOST_GAIN_DB:
        raise AudioError(
            f"a clip is too soft to be heard beside others ({min(loudness):.0f} LUFS)",
            remedy="Leave its passage out of the triplets",
        )
    return [
        wave * np.float32(10 ** ((target - one) / 20))
        for wave, one in zip(waves, loudness, strict=True)
    ]


def integrated_loudness(wave: NDArray[np.float32], rate: int) -> float:
    """Gated loudness of a mono wave in LUFS; minus infinity for silence.

    Parameters
    ----------
    wave : numpy.ndarray, float32, shape [samples]
        Shorter than a block of 0.4 s, it is measured as one.
    rate : int
        In Hz.

    Raises
    ------
    AudioError
        If there are no samples.
    """
    from scipy.signal import lfilter

    if len(wave) == 0:
        raise AudioError("a clip holds no samples")
    weighted = wave.astype(np.float64)
    for numerator, denominator in _k_weighting(rate):
        weighted = lfilter(numerator, denominator, weighted)
    block = min(len(weighted), round(_BLOCK_S * rate))
    hop = max(1, block // 4)
    sums = np.concatenate([[0.0], np.cumsum(weighted**2)])
    starts = np.arange(0, len(weighted) - block + 1, hop)
    power = np.maximum(sums[starts + block] - sums[starts], 0) / block  # [blocks]
    heard = power[_level(power) > _ABSOLUTE_GATE]
    if len(heard):
        heard = heard[_level(heard) > _level(heard.mean()) + _RELATIVE_GATE]
    return float(_level(heard.mean())) if len(heard) else float("-inf")


def _level(power: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(divide="ignore"):
        level: NDArray[np.float64] = -0.691 + 10 * np.log10(power)
    return level


def _k_weighting(rate: int) -> list[tuple[list[float], list[float]]]:
    """Numerators and denominators of the shelf (the head) and the high-pass (RLB)."""
    k, q = np.tan(np.pi * 1681.974450955533 / rate), 0.7071752369554196
    high = 10 ** (3.999843853973347 / 20)
    band = high**0.4996667741545416
    scale = 1 + k / q + k * k
    shelf = (
        [
            (high + band * k / q + k * k) / scale,
            2 * (k * k - high) / scale,
            (high - band * k / q + k * k) / scale,
        ],
        [1.0, 2 * (k * k - 1) / scale, (1 - k / q + k * k) / scale],
    )
    k, q = np.tan(np.pi * 38.13547087602444 / rate), 0.5003270373238773
    scale = 1 + k / q + k * k
    return [shelf, ([1.0, -2.0, 1.0], [1.0, 2 * (k * k - 1) / scale, (1 - k / q + k * k) / scale])]


def _faded(wave: NDArray[np.float32]) -> NDArray[np.float32]:
    length = min(round(_FADE_S * SAMPLE_RATE), len(wave) // 2)
    ramp = np.sin(np.linspace(0, np.pi / 2, length, endpoint=False)).astype(np.float32) ** 2
    faded = wave.copy()
    faded[:length] *= ramp
    faded[len(faded) - length :] *= ramp[::-1]
    return faded
