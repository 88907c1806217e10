"""How fast an encoder is on this machine, as it is and with cheaper choices on a CPU."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mess_core.encoders.base import Encoder
from mess_core.encoders.loading import load_encoder
from mess_core.encoders.registry import find_encoder

__all__ = ["Choice", "measured_choices"]


@dataclass(frozen=True)
class Choice:
    """A way to embed, and what it costs on this machine.

    Attributes
    ----------
    setting : str
        What to set in the environment; empty for the encoder as it is configured.
    seconds : float
        To decode and embed the recording.
    error : float
        How far the recording's vector is from that of the encoder as it is, relative to its length.
    """

    setting: str
    seconds: float
    error: float


def measured_choices(
    name: str,
    path: str | PathLike[str],
    *,
    device: str = "auto",
    dtype: str = "auto",
    offline: bool | None = None,
) -> list[Choice]:
    """Measure an encoder as it is and, on a CPU, without overlap of windows and in bfloat16.

    Parameters
    ----------
    name : str
        As for `load_encoder`.
    path : path-like
        Recording of several windows.
    device, dtype, offline
        As for `load_encoder`.

    Returns
    -------
    list of Choice
        The encoder as it is comes first. A choice that the encoder cannot compute is left out.

    Raises
    ------
    EncoderError
        If the encoder is not available.
    AudioError
        If the recording cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from mess_core.datasets.demo import write_demo_corpus
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = write_demo_corpus(folder, works=1, players=1, bars=4)
    ...     path = next(Path(folder).glob("*.flac"))
    ...     choices = measured_choices("untrained:tiny", path, device="cpu")
    >>> [choice.setting for choice in choices][:2]
    ['', 'MESS_ENCODER=untrained:tiny,hop_s=5']
    >>> choices[0].error
    0.0
    """
    load: dict[str, Any] = {"device": device, "offline": offline}
    plain = load_encoder(name, dtype=dtype, **load)
    vector, seconds = _timed(plain, path)
    found = [Choice("", seconds, 0.0)]
    if plain.device.type != "cpu":
        return found
    window = plain.settings.window_s
    apart = f"{name},hop_s={window:g}" if plain.settings.hop_s < window else None
    others = [(apart, dtype)] if apart else []
    if find_encoder(name).family.half and str(plain.dtype) != "torch.bfloat16":
        others += [(other, "bfloat16") for other in (name, apart) if other]
    for other, kind in others:
        # Not every operation of every architecture exists in bfloat16.
        with contextlib.suppress(RuntimeError):
            another, seconds = _timed(load_encoder(other, dtype=kind, **load), path)
            error = float(np.linalg.norm(another - vector) / np.linalg.norm(vector))
            set_to = [f"MESS_ENCODER={other}"] if other != name else []
            set_to += [f"MESS_DTYPE={kind}"] if kind != dtype else []
            found.append(Choice(" ".join(set_to), seconds, error))
    return found


def _timed(encoder: Encoder, path: str | PathLike[str]) -> tuple[NDArray[np.float32], float]:
    """Return the vector of a recording, and the seconds of a second run: the first prepares."""
    encoder.embed(path)
    began = time.perf_counter()
    vector = encoder.embed(path).track
    return vector, time.perf_counter() - began
