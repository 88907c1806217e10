"""A small additive piano in NumPy, for the demo corpus and for synthetic ground truth.

It does not replace a sampled grand piano: it only has to render notes at the right time,
length, level and brightness, identically on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mess_core.midi.performance import Performance

__all__ = ["Notes", "synthesise"]

_PARTIALS = 8
_LONGEST_S = 4.0
_RELEASE_S = 0.06
_GAIN = 0.12

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Notes:
    """Notes to synthesise.

    Attributes
    ----------
    onset_s, offset_s : ndarray, float64, shape [notes]
    pitch, velocity : ndarray, int64, shape [notes]
        MIDI numbers.
    pedal_s : ndarray, float64, shape [presses, 2]
        Down and up times of the sustain pedal.
    """

    onset_s: Floats
    offset_s: Floats
    pitch: NDArray[np.int64]
    velocity: NDArray[np.int64]
    pedal_s: Floats

    @property
    def performance(self) -> Performance:
        """The notes as a performance, if they are sorted by onset, as those of `perform` are."""
        return Performance(self.onset_s, self.offset_s, self.pitch, self.velocity, self.pedal_s)


def synthesise(notes: Notes | Performance, *, sample_rate: int = 24_000) -> NDArray[np.float32]:
    """Render notes to mono audio.

    Parameters
    ----------
    notes : Notes or Performance
    sample_rate : int
        Hz.

    Returns
    -------
    ndarray, float32, shape [samples]
        Not normalised: level follows velocity, so performances differ in loudness.
    """
    offsets = notes.offset_s.copy()
    for down, up in notes.pedal_s:
        held = (offsets >= down) & (offsets < up)
        offsets[held] = up
    total = int((offsets.max() + 0.5) * sample_rate)
    out = np.zeros(total, dtype=np.float64)
    fade = np.exp(-np.arange(int(_RELEASE_S * 4 * sample_rate)) / (_RELEASE_S / 3 * sample_rate))
    for onset, offset, pitch, velocity in zip(
        notes.onset_s, offsets, notes.pitch, notes.velocity, strict=True
    ):
        dark, bright = _tones(int(pitch), sample_rate)
        level = float(velocity) / 127.0
        first = round(float(onset) * sample_rate)
        held = min(int((offset - onset) * sample_rate), len(dark) - 1)
        length = min(held + len(fade), len(dark), total - first)
        # Harder strikes excite the upper partials more (Askenfelt & Jansson, 1990).
        tone = dark[:length] * (1.0 - level) + bright[:length] * level
        if length > held:
            tone[held:] *= fade[: length - held]
        out[first : first + length] += _GAIN * level**1.7 * tone
    return np.tanh(out).astype(np.float32)


@lru_cache(maxsize=256)
def _tones(pitch: int, sample_rate: int) -> tuple[Floats, Floats]:
    """Return a soft and a hard strike of one key at unit level, each [samples]."""
    time_s = np.arange(int(_LONGEST_S * sample_rate)) / sample_rate
    fundamental = 440.0 * 2 ** ((pitch - 69) / 12)
    decay_s = 1.6 * 2 ** (-(pitch - 60) / 24)
    inharmonicity = 3e-4 * 2 ** ((pitch - 60) / 12)
    dark, bright = np.zeros(len(time_s)), np.zeros(len(time_s))
    for partial in range(1, _PARTIALS + 1):
        frequency = partial * fundamental * np.sqrt(1 + inharmonicity * partial**2)
        if frequency > 0.45 * sample_rate:
            break
        wave = np.sin(2 * np.pi * frequency * time_s + partial)
        wave *= np.exp(-time_s / (decay_s / (1 + 0.25 * (partial - 1))))
        dark += wave / partial**2.2
        bright += wave / partial**0.9
    attack = 1 - np.exp(-time_s / 0.002)
    return dark * attack, bright * attack * 0.6
