"""The demo corpus: short synthetic pieces by players whose expression is known.

All audio is synthesised here, so nothing has to be downloaded, and the ground truth is exact:
``ground_truth.csv`` next to the audio contains the tempo, rubato, dynamics, articulation,
asynchrony and pedal of every performance. Five players with habits that are easy to hear (see
`HABITS`) play pieces of eight characters in several keys and registers. The pieces are random walks
over chord progressions: different enough to be distinguished, but not meant as music.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, astuple, dataclass, fields
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mess_core.datasets.synthesis import Notes, synthesise
from mess_core.midi.performance import Performance, released_in_time

__all__ = [
    "HABITS",
    "Expression",
    "Score",
    "demo_score",
    "perform",
    "write_demo_corpus",
    "write_midi",
]

DEMO_VERSION = "3"
_SECONDS = 11.5
_PROGRESSIONS = ((0, 5, 3, 4), (0, 3, 4, 0), (0, 4, 5, 3), (0, 1, 4, 0))
_MAJOR, _MINOR = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10)
_PENTATONIC, _OCTATONIC = (0, 2, 4, 7, 9), (0, 1, 3, 4, 6, 7, 9, 10)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Character:
    title: str
    beats_per_bar: int
    notes_per_beat: int
    bpm: float
    chords: bool = True
    semitones: int = 0
    broken: bool = False
    scale: tuple[int, ...] = ()


_CHARACTERS = (
    _Character("Chorale", 4, 1, 76),
    _Character("Waltz", 3, 1, 132),
    _Character("Invention", 4, 2, 96, chords=False),
    _Character("Nocturne", 4, 2, 66),
    _Character("Toccata", 2, 4, 112, scale=_OCTATONIC),
    _Character("Berceuse", 3, 1, 84, chords=False, scale=_PENTATONIC),
    _Character("March", 4, 1, 120, semitones=-12),
    _Character("Elegy", 4, 2, 58, semitones=-7, broken=True),
)
# Register and tempo of the pieces of one character: as above, high and slower, low and faster.
_VARIANTS = ((0, 1.0), (10, 0.88), (-7, 1.14))


@dataclass(frozen=True)
class Score:
    """A piece as notated, before it is performed.

    Attributes
    ----------
    beat, length_beats : ndarray, float64, shape [notes]
    pitch : ndarray, int64, shape [notes]
    melody : ndarray, bool, shape [notes]
    bpm : float
        Nominal tempo.
    """

    beat: Floats
    length_beats: Floats
    pitch: NDArray[np.int64]
    melody: NDArray[np.bool_]
    bpm: float


@dataclass(frozen=True)
class Expression:
    """How a player performs; every field is a quantity that a target should recover.

    Attributes
    ----------
    tempo_factor : float
        Factor on the nominal tempo.
    rubato : float
        Standard deviation of log2 tempo around its drift.
    tempo_drift : float
        Standard deviation of the slow log2 tempo curve.
    velocity : float
        Mean MIDI velocity.
    dynamics : float
        Standard deviation of velocity over the phrase arch, in MIDI units.
    articulation : float
        Key-down time over notated length.
    asynchrony_ms : float
        Standard deviation of onsets within chords.
    pedal : float
        Share of each bar with the pedal down.
    """

    tempo_factor: float = 1.0
    rubato: float = 0.05
    tempo_drift: float = 0.03
    velocity: float = 64.0
    dynamics: float = 8.0
    articulation: float = 0.9
    asynchrony_ms: float = 5.0
    pedal: float = 0.3


HABITS = {
    "steady": Expression(1.0, 0.01, 0.01, 62, 4, 0.9, 3, 0.2),
    "free": Expression(0.98, 0.16, 0.08, 56, 8, 0.95, 15, 0.5),
    "dry": Expression(1.03, 0.03, 0.02, 66, 6, 0.45, 5, 0.0),
    "dramatic": Expression(1.07, 0.07, 0.06, 82, 16, 0.75, 9, 0.3),
    "gentle": Expression(0.92, 0.05, 0.04, 45, 3, 1.08, 7, 0.85),
}
"""Players of the demo corpus: name to how they play when nothing moves them to do otherwise."""

_LOWEST = Expression(0.87, 0.0, 0.0, 40, 2, 0.4, 1, 0.0)
_HIGHEST = Expression(1.13, 0.2, 0.14, 92, 19, 1.15, 20, 0.95)
_MOOD = 0.12  # of the range, up or down from piece to piece


def demo_score(work: int, *, bars: int | None = None) -> Score:
    """Return the piece with this number, which is the same on every call.

    Parameters
    ----------
    work : int
        Pieces 0 to 7 have different characters; piece 8 has that of piece 0, in another register
        and tempo, and so on.
    bars : int, optional
        As many as last 11.5 s by default.
    """
    character = _CHARACTERS[work % len(_CHARACTERS)]
    semitones, faster = _VARIANTS[work // len(_CHARACTERS) % len(_VARIANTS)]
    bpm = character.bpm * faster
    beats = character.beats_per_bar
    if bars is None:
        bars = max(2, round(_SECONDS * bpm / 60 / beats))
    rng = np.random.default_rng([work, 20_240])
    scale = character.scale or (_MAJOR if work % 2 == 0 else _MINOR)
    tonic = 48 + int(rng.integers(0, 12)) + character.semitones + semitones
    progression = _PROGRESSIONS[work % len(_PROGRESSIONS)]
    notes: list[tuple[float, float, int, bool]] = []

    def degree(step: int) -> int:
        return tonic + 12 * (step // len(scale)) + scale[step % len(scale)]

    lowest, walk, highest = (round(step * len(scale) / 7) for step in (9, 14, 20))
    for bar in range(bars):
        root = progression[bar % len(progression)]
        for beat in range(beats):
            at = float(bar * beats + beat)
            if beat == 0:
                notes.append((at, 1.0 * beats / 2, degree(root) - 12, False))
            if character.broken:
                notes += [
                    (at + part / 4, 0.5, degree(root + third), False)
                    for part, third in enumerate((0, 2, 4, 2))
                ]
            elif character.chords:
                notes += [(at, 1.0, degree(root + third), False) for third in (2, 4)]
            for part in range(character.notes_per_beat):
                walk = int(np.clip(walk + rng.integers(-2, 3), lowest, highest))
                length = 1 / character.notes_per_beat
                notes.append((at + part * length, length, degree(walk), True))
    table = np.asarray([note[:3] for note in notes], dtype=np.float64)
    return Score(
        beat=table[:, 0],
        length_beats=table[:, 1],
        pitch=table[:, 2].astype(np.int64),
        melody=np.asarray([note[3] for note in notes]),
        bpm=bpm,
    )


def perform(score: Score, expression: Expression, *, seed: int) -> Notes:
    """Perform a score with exactly this expression.

    Parameters
    ----------
    score : Score
    expression : Expression
    seed : int
        Determines the details that the expression leaves open.

    Returns
    -------
    Notes
    """
    rng = np.random.default_rng([seed, 7])
    grid = np.arange(0, score.beat.max() + 3, 0.25)  # quarter beats
    # Rubato is a sine with a period of five beats (at two beats, sampling once per beat would
    # alias it); drift is half a cosine over the piece.
    fast = np.sin(2 * np.pi * grid / 5.0 + rng.uniform(0, 2 * np.pi))
    slow = np.cos(2 * np.pi * grid / grid[-1] + rng.uniform(0, 2 * np.pi))
    log_tempo = (
        np.log2(score.bpm * expression.tempo_factor / 60)
        + expression.rubato * np.sqrt(2) * fast
        + expression.tempo_drift * np.sqrt(2) * slow
    )
    time_s = np.concatenate([[0.0], np.cumsum(0.25 / 2 ** log_tempo[:-1])]) + 0.3
    onset = np.interp(score.beat, grid, time_s)
    end = np.interp(score.beat + score.length_beats, grid, time_s)
    onset = onset + expression.asynchrony_ms / 1000 * rng.standard_normal(len(onset))
    offset = onset + np.maximum(end - np.interp(score.beat, grid, time_s), 0.05) * (
        expression.articulation
    )
    arch = np.sin(2 * np.pi * score.beat / 16 + rng.uniform(0, 2 * np.pi)) * np.sqrt(2)
    velocity = expression.velocity + expression.dynamics * arch + np.where(score.melody, 6.0, -3.0)
    bars = np.arange(0, score.beat.max() + 1, 4.0)
    pedal = np.stack(
        [np.interp(bars, grid, time_s), np.interp(bars + 4 * expression.pedal, grid, time_s)],
        axis=1,
    )
    order = np.lexsort((score.pitch, onset))
    return Notes(
        onset_s=np.maximum(onset[order], 0.0),
        offset_s=released_in_time(onset, offset, score.pitch)[order],
        pitch=score.pitch[order],
        velocity=np.clip(np.round(velocity[order]), 1, 127).astype(np.int64),
        pedal_s=pedal if expression.pedal > 0 else np.empty((0, 2)),
    )


def write_midi(notes: Notes | Performance, path: str | PathLike[str], *, program: int = 0) -> None:
    """Write notes and pedal as a standard MIDI file for a General MIDI program, from 0."""
    import pretty_midi

    midi = pretty_midi.PrettyMIDI(resolution=960)
    piano = pretty_midi.Instrument(program=program)
    for onset, offset, pitch, velocity in zip(
        notes.onset_s, notes.offset_s, notes.pitch, notes.velocity, strict=True
    ):
        piano.notes.append(pretty_midi.Note(int(velocity), int(pitch), float(onset), float(offset)))
    for down, up in notes.pedal_s:
        piano.control_changes.append(pretty_midi.ControlChange(64, 127, float(down)))
        piano.control_changes.append(pretty_midi.ControlChange(64, 0, float(up)))
    midi.instruments.append(piano)
    midi.write(str(path))


def write_demo_corpus(
    folder: str | PathLike[str],
    *,
    works: int = 24,
    players: int = 5,
    bars: int | None = None,
    seed: int = 0,
) -> int:
    """Synthesise the corpus into a folder, unless the folder already contains it.

    Parameters
    ----------
    folder : path-like
        Written under a temporary name in the same folder and then renamed.
    works : int
    players : int
        The first of `HABITS`; there are five.
    bars : int, optional
        Length of each piece, see `demo_score`.
    seed : int

    Returns
    -------
    int
        Number of performances.
    """
    import csv

    import soundfile as sf

    target = Path(folder)
    recipe = {
        "version": DEMO_VERSION,
        "works": works,
        "players": players,
        "bars": bars,
        "seed": seed,
    }
    if players > len(HABITS):
        raise ValueError(f"players must be at most {len(HABITS)}, not {players}")
    manifest = target / "demo.json"
    if manifest.is_file() and json.loads(manifest.read_text()) == recipe:
        return works * players
    part = target.with_name(f".{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    rows, ground_truth = [], []
    for work in range(works):
        score = demo_score(work, bars=bars)
        title = f"{_CHARACTERS[work % len(_CHARACTERS)].title} No. {work + 1}"
        for number, player in enumerate(list(HABITS)[:players]):
            track_id = f"demo_{work + 1:02d}_{player}"
            expression = _in_this_piece(HABITS[player], [seed, number, work])
            notes = perform(score, expression, seed=seed + 1000 * work + number)
            sf.write(part / f"{track_id}.flac", synthesise(notes), 24_000, subtype="PCM_16")
            write_midi(notes, part / f"{track_id}.mid")
            rows.append([track_id, "MESS", title, f"demo:work{work + 1}", player])
            ground_truth.append({"track_id": track_id, **asdict(expression)})
    with (part / "metadata.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["track_id", "composer", "title", "work_id", "performer"])
        writer.writerows(rows)
    with (part / "ground_truth.csv").open("w", newline="") as file:
        columns = ["track_id", *(field.name for field in fields(Expression))]
        table = csv.DictWriter(file, columns)
        table.writeheader()
        table.writerows(ground_truth)
    (part / "demo.json").write_text(json.dumps(recipe))
    if target.exists():
        shutil.rmtree(target)
    part.rename(target)
    return works * players


def _in_this_piece(habit: Expression, seed: list[int]) -> Expression:
    """Vary a player's habits slightly, as from piece to piece."""
    lowest, usual, highest = (np.array(astuple(one)) for one in (_LOWEST, habit, _HIGHEST))
    mood = _MOOD * np.random.default_rng(seed).uniform(-1, 1, len(usual))
    moved = np.clip(usual + mood * (highest - lowest), lowest, highest)
    return Expression(*moved.tolist())
