"""Random piano music in random performances, to train an encoder on notes that nobody owns.

Pieces are made of sections: a chord progression in a key, a melody that walks on the scale, and an
accompaniment of one of several kinds. Tempo, dynamics, articulation, asynchrony and pedal vary
between and within sections, independently of the notes. It resembles music in its statistics only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mess_core.datasets.demo import write_midi
from mess_core.datasets.synthesis import Notes
from mess_core.midi.performance import released_in_time

__all__ = ["random_music", "write_random_music"]

_SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 11), (0, 2, 3, 5, 7, 9, 10), (0, 2, 4, 7, 9))
# Parts of a beat that the notes of a melody last, drawn for each beat.
_RHYTHMS = (
    (1.0,),
    (0.5, 0.5),
    (0.25,) * 4,
    (1 / 3,) * 3,
    (0.75, 0.25),
    (0.5, 0.25, 0.25),
    (1 / 6,) * 6,
)
_ACCOMPANIMENTS = ("none", "chords", "broken", "bass", "offbeat", "octaves", "wide", "voice")

Floats = NDArray[np.float64]
Note = tuple[float, float, int, bool]
"""Onset and length in beats, pitch, and whether it belongs to the melody."""


@dataclass(frozen=True)
class _Section:
    """Notes with the section's bars, and how it is played."""

    notes: list[Note]
    beats: int
    beats_per_bar: int


def random_music(seed: int, *, duration_s: float = 240.0) -> Notes:
    """Return a random piece, played with random expression.

    Parameters
    ----------
    seed : int
        The same seed gives the same notes.
    duration_s : float
        At least as long, up to the end of a section.

    Returns
    -------
    Notes

    Examples
    --------
    >>> notes = random_music(0, duration_s=20.0)
    >>> bool(notes.onset_s.max() > 19)
    True
    """
    rng = np.random.default_rng([seed, 41])
    parts: list[Notes] = []
    bpm = float(2.0 ** rng.uniform(5.7, 7.4))  # 52 to 169
    end = 0.3
    while end < duration_s:
        section = _section(rng, bpm)
        bpm_here = bpm * 2.0 ** (rng.normal(0, 0.15) if rng.random() < 0.4 else 0.0)
        part, end = _performed(section, bpm_here, end, rng)
        parts.append(part)
    names = ("onset_s", "offset_s", "pitch", "velocity", "pedal_s")
    notes = Notes(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))
    order = np.lexsort((notes.pitch, notes.onset_s))
    onset, offset, pitch = notes.onset_s[order], notes.offset_s[order], notes.pitch[order]
    return Notes(
        onset, released_in_time(onset, offset, pitch), pitch, notes.velocity[order], notes.pedal_s
    )


def write_random_music(folder: str | PathLike[str], *, works: int = 200, seed: int = 0) -> int:
    """Write random pieces of four minutes as MIDI files, and ``metadata.csv``.

    Parameters
    ----------
    folder : path-like
        Created if it is missing. Files that are there already are written again.
    works : int
    seed : int

    Returns
    -------
    int
        Number of files.
    """
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    rows = ["track_id,composer,title,work_id"]
    for number in range(works):
        name = f"random_{number:04d}"
        write_midi(random_music(seed * 100_000 + number), target / f"{name}.mid")
        rows.append(f"{name},MESS,Random piece {number},random:{seed}:{number}")
    (target / "metadata.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return works


def _section(rng: np.random.Generator, bpm: float) -> _Section:
    scale = _SCALES[rng.integers(len(_SCALES))]
    tonic = int(rng.integers(0, 12))
    per_bar = int(rng.choice([2, 3, 4, 4]))
    bars = max(2, round(rng.uniform(8, 25) * bpm / 60 / per_bar))
    # No more than some 12 notes per second and voice can be played.
    rhythms = [one for one in _RHYTHMS if len(one) * bpm / 60 <= 12]
    mine = [rhythms[one] for one in rng.integers(0, len(rhythms), 3)]
    rests, leap = rng.choice([0.0, 0.1, 0.3]), int(rng.integers(1, 5))
    doubled = int(rng.choice([0, 0, 0, 12, -12, -4]))
    low, high = sorted(rng.integers(4, 9, 2) * 7 + [0, 10])
    kind = str(rng.choice(_ACCOMPANIMENTS))
    around = int(rng.integers(36, 56))
    notes: list[Note] = []
    walk = (low + high) // 2
    for bar in range(bars):
        root = int(rng.choice([0, 3, 4, 5, 1]))
        chord = [around + (tonic + _degree(scale, root + step) - around) % 12 for step in (0, 2, 4)]
        notes += _accompaniment(kind, chord, bar * per_bar, per_bar, rng)
        for beat in range(per_bar):
            at = float(bar * per_bar + beat)
            for length in mine[rng.integers(3)]:
                walk = int(np.clip(walk + rng.integers(-leap, leap + 1), low, high))
                pitch = int(np.clip(tonic + _degree(scale, walk), 24, 105))
                if rng.random() >= rests:
                    notes.append((at, length, pitch, True))
                    if doubled:
                        notes.append((at, length, int(np.clip(pitch + doubled, 21, 108)), True))
                at += length
    return _Section(notes, bars * per_bar, per_bar)


def _degree(scale: tuple[int, ...], step: int) -> int:
    return 12 * (step // len(scale)) + scale[step % len(scale)]


def _accompaniment(
    kind: str, chord: list[int], at: int, beats: int, rng: np.random.Generator
) -> Iterator[Note]:
    """Yield a bar of accompaniment."""
    bass = chord[0] - 12
    if kind == "chords":
        for beat in range(0, beats, int(rng.integers(1, beats + 1))):
            yield from ((at + beat, 1.0, pitch, False) for pitch in chord)
    elif kind in ("broken", "wide"):
        tones = chord if kind == "broken" else [bass, bass + 7, *chord]
        for part in range(2 * beats):
            yield at + part / 2, 0.5, tones[part % len(tones)], False
    elif kind == "bass":
        yield at, float(beats), bass, False
    elif kind == "offbeat":
        yield at, 1.0, bass, False
        for beat in range(1, beats):
            yield from ((at + beat, 0.6, pitch, False) for pitch in chord)
    elif kind == "octaves":
        for beat in range(beats):
            yield at + beat, 1.0, bass, False
            yield at + beat, 1.0, max(21, bass - 12), False
    elif kind == "voice":
        for beat in range(beats):
            yield at + beat, 1.0, int(rng.choice(chord)) - int(rng.choice([0, 12])), False


def _performed(
    section: _Section, bpm: float, start_s: float, rng: np.random.Generator
) -> tuple[Notes, float]:
    """Play a section from `start_s`; return its notes and its end."""
    beat, length = (np.array([note[at] for note in section.notes]) for at in (0, 1))
    pitch = np.array([note[2] for note in section.notes], dtype=np.int64)
    melody = np.array([note[3] for note in section.notes])
    grid = np.arange(0.0, section.beats + 4, 0.125)
    phrase = section.beats_per_bar * float(rng.choice([2, 4, 8]))
    octaves = np.log2(bpm / 60) + _curve(grid, rng, 0.06)
    octaves -= rng.exponential(0.1) * ((grid % phrase) / phrase) ** 4  # slower at its end
    time_s = start_s + np.concatenate([[0.0], np.cumsum(0.125 / 2.0 ** octaves[:-1])])

    def at(beats: Floats) -> Floats:
        moved: Floats = np.interp(beats, grid, time_s)
        return moved

    scatter = float(rng.choice([0.002, 0.006, 0.012, 0.025]))
    onset = at(beat) + rng.normal(0, scatter, len(beat)) - melody * rng.uniform(0, 0.03)
    shares = 2.0 ** rng.uniform(-1.8, 0.5, 2)  # of the accompaniment and of the melody
    held = (at(beat + length) - at(beat)) * shares[melody.astype(int)]
    held *= 2.0 ** rng.normal(0, 0.15, len(beat))
    level = float(np.clip(rng.normal(58, 16), 25, 105))
    arch = rng.exponential(7.0) * np.sin(np.pi * (beat % phrase) / phrase)
    accents = rng.uniform(0, 8) * (beat % section.beats_per_bar == 0)
    velocity = level + arch + accents + melody * rng.uniform(-2, 14)
    velocity += np.interp(beat, grid, _curve(grid, rng, 5.0))
    velocity += rng.normal(0, rng.uniform(1, 9), len(beat))
    return Notes(
        onset_s=np.maximum(onset, start_s),
        offset_s=np.maximum(onset, start_s) + np.maximum(held, 0.03),
        pitch=pitch,
        velocity=np.clip(np.round(velocity), 8, 127).astype(np.int64),
        pedal_s=_pedal(section, at, rng),
    ), float(at(np.array([float(section.beats)]))[0])


def _curve(grid: Floats, rng: np.random.Generator, depth: float) -> Floats:
    """Return a sum of slow sines of random depth, period and phase."""
    total = np.zeros(len(grid))
    for period in 2.0 ** rng.uniform(1.5, 5.0, 3):
        phase = 2 * np.pi * (grid / period + rng.random())
        total += rng.exponential(depth) * np.sin(phase)
    return total


def _pedal(section: _Section, at: Callable[[Floats], Floats], rng: np.random.Generator) -> Floats:
    every = float(rng.choice([0.0, 1.0, section.beats_per_bar, 2.0 * section.beats_per_bar]))
    if not every:
        return np.empty((0, 2))
    downs = np.arange(0.0, section.beats, every)
    down = at(downs) + rng.uniform(0.0, 0.08)
    up = at(downs + every * rng.uniform(0.3, 1.0))
    presses: Floats = np.stack([down, np.maximum(up, down + 0.02)], axis=1)
    return presses
