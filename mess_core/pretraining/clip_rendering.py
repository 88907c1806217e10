"""Render excerpts through several instruments and rooms, and cache their features and labels.

One ``.npz`` per MIDI file holds all its clips, so that rendering can be stopped and resumed. All
excerpts of a file go through a soundfont in one call, since loading it takes longest.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from mess_core.datasets.rendering import check_soundfont, play_soundfont
from mess_core.datasets.synthesis import Notes, synthesise
from mess_core.encoders.piano import HOP, SAMPLE_RATE, LogMel
from mess_core.errors import AudioError
from mess_core.midi.performance import Performance
from mess_core.midi.reading import read_performance
from mess_core.pretraining.excerpts import EXCERPT_S, cut_excerpts, manipulated
from mess_core.pretraining.labels import labels_of
from mess_core.store.arrays import write_bytes

__all__ = ["RENDERING_VERSION", "Instrument", "installed_instruments", "render_file"]

RENDERING_VERSION = "3"
"""Raised when clips or labels of the same file would be others."""

_ONE_NOTE = Notes(
    np.array([0.1]), np.array([0.5]), np.array([60]), np.array([90]), np.empty((0, 2))
)
_GAP_S = 3.0
_COPIES = 2
_DETUNED_CENTS = 15.0
FRAMES = int(EXCERPT_S * SAMPLE_RATE / HOP)


@dataclass(frozen=True)
class Instrument:
    """Something that plays notes.

    Attributes
    ----------
    soundfont : str
        Path of an ``.sf2`` file; empty for the built-in synthesiser.
    program : int
        General MIDI program, from 0.
    """

    soundfont: str = ""
    program: int = 0

    @property
    def name(self) -> str:
        return f"{Path(self.soundfont).stem}:{self.program}" if self.soundfont else "synthesiser"


def installed_instruments(soundfonts: Sequence[str | PathLike[str]]) -> list[Instrument]:
    """Pianos of the soundfonts (grand and bright), and the built-in synthesiser.

    Raises
    ------
    AudioError
        If a soundfont is named and FluidSynth or the file is missing, it is not a soundfont, or it
        is silent where General MIDI has its pianos.
    """
    found = [Instrument()]
    for path in soundfonts:
        check_soundfont(path)
        for program in (0, 1):
            if not play_soundfont(_ONE_NOTE, path, sample_rate=SAMPLE_RATE, program=program).any():
                raise AudioError(
                    f"plays nothing as General MIDI program {program}, a piano",
                    path=str(path),
                    remedy="Name a soundfont with all General MIDI instruments, such as FluidR3_GM",
                )
            found.append(Instrument(str(path), program))
    return found


def render_file(
    midi: str | PathLike[str],
    cached: Any,
    instruments: Sequence[Instrument],
    *,
    excerpts: int,
    seed: int,
) -> None:
    """Cut, manipulate and render excerpts of one MIDI file, unless that is cached.

    Every excerpt is played as it is by two instruments (by one, if there is one only) and in two
    manipulated copies by one each. Nothing is written if no excerpt has enough notes.

    Parameters
    ----------
    midi : path-like
    cached : Path
        The ``.npz`` to write: ``mel`` float16 [clips, frames, bands]; ``onset``, ``sounding``,
        ``pedal``, ``pooled`` (see `mess_core.pretraining.labels.Labels`) per clip; ``excerpt`` and
        ``performance`` int64 [clips], equal for clips of the same notes and of the same
        performance.
    instruments : sequence of Instrument
    excerpts : int
        At most as many of the file.
    seed : int

    Raises
    ------
    MidiError
        If the file cannot be read.
    AudioError
        If FluidSynth fails.
    """
    if cached.exists():
        return
    rng = np.random.default_rng(seed)
    plan: list[tuple[Instrument, Performance, int, int]] = []
    performances = 0
    for number, excerpt in enumerate(cut_excerpts(read_performance(midi), excerpts, seed=seed)):
        order = rng.permutation(len(instruments)).tolist()
        copies = (manipulated(excerpt, rng) for _ in range(_COPIES))
        played = [(excerpt, performances)] * min(2, len(order))
        played += [(one, performances + 1 + copy) for copy, one in enumerate(copies) if one]
        for turn, (one, performance) in enumerate(played):
            plan.append((instruments[order[turn % len(order)]], one, number, performance))
        performances += 1 + _COPIES
    if not plan:
        return
    waves: dict[int, NDArray[np.float32]] = {}
    for instrument in dict.fromkeys(one[0] for one in plan):
        mine = [row for row, one in enumerate(plan) if one[0] == instrument]
        cents = rng.uniform(-_DETUNED_CENTS, _DETUNED_CENTS)
        rendered = _rendered(
            [plan[row][1] for row in mine], instrument, reverb=seed % 2 == 0, cents=cents
        )
        waves |= dict(zip(mine, rendered, strict=True))
    labels = [labels_of(one, EXCERPT_S) for _, one, _, _ in plan]
    arrays: dict[str, Any] = {
        "mel": np.stack([_mel(waves[row]) for row in range(len(plan))]),
        "onset": np.stack([one.onset for one in labels]),
        "sounding": np.packbits(np.stack([one.sounding for one in labels]), axis=-1),
        "pedal": np.stack([one.pedal for one in labels]),
        "pooled": np.stack([one.pooled for one in labels]),
        "excerpt": np.array([one[2] for one in plan]),
        "performance": np.array([one[3] for one in plan]),
    }
    file = io.BytesIO()
    np.savez(file, **arrays)
    write_bytes(cached, file.getvalue())


_front_end: LogMel | None = None


def _mel(wave: NDArray[np.float32]) -> NDArray[np.float16]:
    import torch

    global _front_end
    if _front_end is None:
        _front_end = LogMel()
    with torch.no_grad():
        mel = _front_end(torch.from_numpy(wave)[None])[0, :FRAMES]
    half: NDArray[np.float16] = mel.numpy().astype(np.float16)
    return half


def _rendered(
    performances: Sequence[Performance], instrument: Instrument, *, reverb: bool, cents: float
) -> list[NDArray[np.float32]]:
    """Clips of `EXCERPT_S`, mono at the encoder's rate, by an instrument that is out of tune."""
    length = int(EXCERPT_S * SAMPLE_RATE)
    faster = 2.0 ** (cents / 1200)  # played slower by as much, so that time is right in the end
    parts = [_timed(_notes(one), factor=faster) for one in performances]
    if not instrument.soundfont:
        waves = [synthesise(one, sample_rate=SAMPLE_RATE) for one in parts]
        return [_fitted(_retuned(wave, faster), length) for wave in waves]
    step = EXCERPT_S + _GAP_S
    joined = _joined([_timed(one, by=number * step) for number, one in enumerate(parts)])
    wave = play_soundfont(
        joined,
        instrument.soundfont,
        sample_rate=SAMPLE_RATE,
        program=instrument.program,
        reverb=reverb,
    )
    starts = [round(number * step * SAMPLE_RATE) for number in range(len(performances))]
    room = length + SAMPLE_RATE // 2
    return [_fitted(_retuned(wave[start : start + room], faster), length) for start in starts]


def _retuned(wave: NDArray[np.float32], faster: float) -> NDArray[np.float32]:
    retuned: NDArray[np.float32] = soxr.resample(wave, SAMPLE_RATE * faster, SAMPLE_RATE)
    return retuned


def _notes(one: Performance) -> Notes:
    """Return notes and pedal up to the end of the excerpt: the next one shall begin in silence."""
    return Notes(
        one.onset_s,
        np.minimum(one.offset_s, EXCERPT_S),
        one.pitch,
        one.velocity,
        np.minimum(one.pedal_s, EXCERPT_S),
    )


def _timed(notes: Notes, *, factor: float = 1.0, by: float = 0.0) -> Notes:
    return replace(
        notes,
        onset_s=notes.onset_s * factor + by,
        offset_s=notes.offset_s * factor + by,
        pedal_s=notes.pedal_s * factor + by,
    )


def _joined(parts: Sequence[Notes]) -> Notes:
    names = ("onset_s", "offset_s", "pitch", "velocity", "pedal_s")
    return Notes(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def _fitted(wave: NDArray[np.float32], length: int) -> NDArray[np.float32]:
    return np.pad(wave[:length], (0, max(0, length - len(wave))))
