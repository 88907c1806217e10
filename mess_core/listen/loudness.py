"""Clips of a triplet as a listener hears them: equally loud, faded, as WAV.

Loudness is ITU-R BS.1770-4's (K-weighting, gated), by pyloudnorm.
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
    import pyloudnorm

    if len(wave) == 0:
        raise AudioError("a clip holds no samples")
    # Its filters of De Man (2018) are right at every sample rate, the default ones at 48 kHz.
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
