"""How fast an encoder is on this machine, as it is and with cheaper choices on a CPU."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mess_core.encoders.base import Encoder
from mess_core.encoders.loading import load_encoder
from mess_core.encoders.registry import find_encoder

__all__ = ["Choice", "measured_choices"]

_WINDOWS = 4


@dataclass(frozen=True)
class Choice:
    """A way to embed, and what it costs on this machine.

    Attributes
    ----------
    setting : str
        What to set in the environment; empty for the encoder as it is.
    speed : float
        Seconds of audio per second.
    error : float
        How far a track's vector of noise is from that of the encoder as it is, relative to its
        length.
    """

    setting: str
    speed: float
    error: float


def measured_choices(name: str, *, device: str = "auto") -> list[Choice]:
    """Measure an encoder as it is and, on a CPU, without overlap of windows and in bfloat16.

    Parameters
    ----------
    name : str
        As for `load_encoder`.
    device : str

    Returns
    -------
    list of Choice
        The encoder as it is comes first.

    Raises
    ------
    EncoderError
        If the encoder is not available.

    Examples
    --------
    >>> choices = measured_choices("untrained:tiny", device="cpu")
    >>> [choice.setting for choice in choices][:2]
    ['', 'MESS_ENCODER=untrained:tiny,hop_s=5']
    >>> choices[0].error
    0.0
    """
    plain = load_encoder(name, device=device)
    window = plain.settings.window_s
    rng = np.random.default_rng(0)
    noise = 0.1 * rng.standard_normal(int(_WINDOWS * window * plain.sample_rate))
    wave = noise.astype(np.float32)
    vector, speed = _timed(plain, wave)
    found = [Choice("", speed, 0.0)]
    if plain.device.type != "cpu":
        return found
    apart = f"{name},hop_s={window:g}" if plain.settings.hop_s < window else None
    others = [(apart, "auto")] if apart else []
    if find_encoder(name).family.half:
        others += [(other, "bfloat16") for other in (name, apart) if other]
    for other, dtype in others:
        another, speed = _timed(load_encoder(other, device=device, dtype=dtype), wave)
        error = float(np.linalg.norm(another - vector) / np.linalg.norm(vector))
        set_to = [f"MESS_ENCODER={other}"] if other != name else []
        set_to += [f"MESS_DTYPE={dtype}"] if dtype != "auto" else []
        found.append(Choice(" ".join(set_to), speed, error))
    return found


def _timed(encoder: Encoder, wave: NDArray[np.float32]) -> tuple[NDArray[np.float32], float]:
    """Return the vector of a wave, and the speed of a second run: the first also prepares."""
    encoder.embed(wave[: int(encoder.settings.window_s * encoder.sample_rate)])
    began = time.perf_counter()
    vector = encoder.embed(wave).track
    spent = time.perf_counter() - began
    return vector, len(wave) / encoder.sample_rate / spent
