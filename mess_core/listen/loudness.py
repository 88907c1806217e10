"""Loudness-matched, faded WAV clips for the listening test.

Loudness is measured with pyloudnorm according to ITU-R BS.1770-4 (K-weighting, gating).
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
_LEVEL = -26.0
"""Target loudness in LUFS, the same for all triplets: a jump in level would startle listeners."""

_HEADROOM_DB = 1.0
_MOST_GAIN_DB = 25.0
_SLACK_S = 0.1


def wav_clips(passages: Sequence[tuple[Path, float, float]]) -> list[bytes]:
    """Decode passages, match their loudness, and encode each as mono 16-bit WAV.

    Parameters
    ----------
    passages : sequence of (path, start_s, end_s)
        The clips of one triplet, which are matched to each other. Times are in seconds.

    Returns
    -------
    list of bytes
        One WAV file per passage.

    Raises
    ------
    AudioError
        If a file cannot be decoded or is too short, or a passage is silent or too soft.
    """
    import soundfile as sf

    waves = []
    for path, start_s, end_s in passages:
        wave = load_passage(path, start_s, end_s)
        if len(wave) < (end_s - start_s - _SLACK_S) * SAMPLE_RATE:
            raise AudioError(
                f"ends before its passage from {start_s:g} to {end_s:g} s",
                path=path,
                remedy="Scan the data set again and recompute the passages",
            )
        waves.append(wave)
    encoded = []
    for wave in matched(waves, SAMPLE_RATE):
        file = io.BytesIO()
        sf.write(file, _faded(wave), SAMPLE_RATE, format="WAV", subtype="PCM_16")
        encoded.append(file.getvalue())
    return encoded


def matched(waves: Sequence[NDArray[np.float32]], rate: int) -> list[NDArray[np.float32]]:
    """Return waves with equal loudness: -26 LUFS, or less if a peak would exceed -1 dBFS.

    Parameters
    ----------
    waves : sequence of numpy.ndarray, float32, shape [samples]
    rate : int
        Sample rate in Hz.

    Returns
    -------
    list of numpy.ndarray, float32, shape [samples]

    Raises
    ------
    AudioError
        If a wave is silent or needs more than 25 dB of gain, which would make its noise audible.
    """
    loudness = [integrated_loudness(wave, rate) for wave in waves]
    if not np.isfinite(loudness).all():
        raise AudioError("a clip is silent", remedy="Exclude its passage from the triplets")
    highest_levels = [
        level - 20 * np.log10(np.abs(wave).max()) - _HEADROOM_DB
        for wave, level in zip(waves, loudness, strict=True)
    ]
    target = min(_LEVEL, *highest_levels)
    if target - min(loudness) > _MOST_GAIN_DB:
        raise AudioError(
            f"a clip is too soft to be compared with the others ({min(loudness):.0f} LUFS)",
            remedy="Exclude its passage from the triplets",
        )
    return [
        wave * np.float32(10 ** ((target - one) / 20))
        for wave, one in zip(waves, loudness, strict=True)
    ]


def integrated_loudness(wave: NDArray[np.float32], rate: int) -> float:
    """Return the gated loudness of a mono wave in LUFS; minus infinity for silence.

    Parameters
    ----------
    wave : numpy.ndarray, float32, shape [samples]
        A wave shorter than a gating block of 0.4 s is measured as a single block.
    rate : int
        Sample rate in Hz.

    Raises
    ------
    AudioError
        If the wave has no samples.
    """
    import pyloudnorm

    if len(wave) == 0:
        raise AudioError("a clip has no samples")
    # The filters of De Man (2018) are exact at every sample rate, the default ones only at 48 kHz.
    block_s = min(_BLOCK_S, (len(wave) - 1) / rate)
    meter = pyloudnorm.Meter(rate, filter_class="DeMan", block_size=block_s)
    return float(meter.integrated_loudness(wave.astype(np.float64)))


def _faded(wave: NDArray[np.float32]) -> NDArray[np.float32]:
    length = min(round(_FADE_S * SAMPLE_RATE), len(wave) // 2)
    ramp = np.sin(np.linspace(0, np.pi / 2, length, endpoint=False)).astype(np.float32) ** 2
    faded = wave.copy()
    faded[:length] *= ramp
    faded[len(faded) - length :] *= ramp[::-1]
    return faded
