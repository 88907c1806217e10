"""Single-property sweeps: does each target follow its own property, and no other?

Short clips are synthesised in which exactly one property varies, and every target is measured on
all of them. A target must be rank-correlated with its own sweep and must not respond to the others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mess_core.audio import SAMPLE_RATE
from mess_core.datasets.demo import Expression, demo_score, perform
from mess_core.midi.performance import Performance
from mess_core.targets.analysis import analyse
from mess_core.targets.registry import targets

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["AUDIO_SWEEPS", "MIDI_SWEEPS", "OWN_SWEEP", "Clip", "render", "sweep_table"]

_STEPS = 10
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Clip:
    """Parameters of a synthesised clip, one field per property that can be swept.

    Attributes
    ----------
    bpm : float
        Struck notes per minute.
    tilt_db : float
        Gain per octave above 500 Hz.
    decay_s, attack_s : float
        Decay and attack of each note.
    contrast_db : float
        Level difference between the loud and soft halves of every 1.6 s.
    rise_db, fall_db : float
        Size of one crescendo (diminuendo) over 6 s, after which the level stays.
    classes : int
        Number of pitch classes, 1 to 12.
    sections : int
        Number of sections of contrasting harmony.
    unevenness : float
        Unevenness of section lengths, 0 to 1.
    gain : float
        Factor applied to all samples.
    silence_s : float
        Silence before and after the music.
    """

    bpm: float = 120.0
    tilt_db: float = -3.0
    decay_s: float = 0.25
    attack_s: float = 0.004
    contrast_db: float = 0.0
    rise_db: float = 0.0
    fall_db: float = 0.0
    classes: int = 5
    sections: int = 1
    unevenness: float = 0.0
    gain: float = 1.0
    silence_s: float = 0.0
    seconds: float = 20.0


AUDIO_SWEEPS: dict[str, tuple[Clip, str, Floats]] = {
    "bpm": (Clip(), "bpm", np.linspace(76, 164, _STEPS)),
    "tilt": (Clip(), "tilt_db", np.linspace(-12, -2, _STEPS)),
    "decay": (Clip(), "decay_s", np.geomspace(0.5, 0.08, _STEPS)),
    "attack": (Clip(), "attack_s", np.geomspace(0.06, 0.002, _STEPS)),
    "contrast": (Clip(), "contrast_db", np.linspace(0, 24, _STEPS)),
    "rise": (Clip(), "rise_db", np.linspace(0, 24, _STEPS)),
    "fall": (Clip(), "fall_db", np.linspace(0, 24, _STEPS)),
    "classes": (Clip(), "classes", np.arange(1.0, 13.0)),
    "sections": (Clip(seconds=72.0), "sections", np.arange(1.0, 9.0)),
    "unevenness": (Clip(seconds=72.0, sections=5), "unevenness", np.linspace(0, 0.6, _STEPS)),
    "gain": (Clip(), "gain", np.linspace(0.1, 1.0, _STEPS)),
    "silence": (Clip(), "silence_s", np.linspace(0, 8, _STEPS)),
}
"""Sweep to (base clip, field that varies, its values); the property increases along the values."""

MIDI_SWEEPS: dict[str, tuple[str, Floats]] = {
    "tempo": ("tempo_factor", np.linspace(0.75, 1.3, _STEPS)),
    "rubato": ("rubato", np.linspace(0.01, 0.13, _STEPS)),
    "tempo drift": ("tempo_drift", np.linspace(0.01, 0.13, _STEPS)),
    "velocity": ("velocity", np.linspace(40, 90, _STEPS)),
    "dynamics": ("dynamics", np.linspace(2, 20, _STEPS)),
    "articulation": ("articulation", np.linspace(0.3, 1.2, _STEPS)),
    "asynchrony": ("asynchrony_ms", np.linspace(1, 9, _STEPS)),
    "pedal": ("pedal", np.linspace(0.0, 0.9, _STEPS)),
}
"""Sweep to (field of `Expression` that varies, its values)."""

OWN_SWEEP = {
    "spectral_centroid": "tilt",
    "spectral_bandwidth": "tilt",
    "spectral_rolloff": "tilt",
    "zero_crossing_rate": "tilt",
    "tempo": "bpm",
    "onset_density": "bpm",
    "dynamic_range": "contrast",
    "dynamic_variance": "contrast",
    "crescendo_strength": "rise",
    "diminuendo_strength": "fall",
    "harmonic_complexity": "classes",
    "attack_slopes": "attack",
    "attack_sharpness": "decay",
    "num_phrases": "sections",
    "phrase_regularity": "unevenness",
    "velocity_mean": "velocity",
    "velocity_std": "dynamics",
    "velocity_range": "dynamics",
    "rubato": "rubato",
    "tempo_variability": "tempo drift",
    "articulation_ratio": "articulation",
    "onset_timing_std": "asynchrony",
}
"""Target to the sweep of its own property, which it should follow."""


def render(clip: Clip) -> NDArray[np.float32]:
    """Synthesise a clip; mono float32 at 24 kHz."""
    rng = np.random.default_rng(5)
    edges = _section_edges(clip)
    samples = np.zeros(int(clip.seconds * SAMPLE_RATE) + SAMPLE_RATE)
    length = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    envelope = np.exp(-length / clip.decay_s) * (1 - np.exp(-length / clip.attack_s))
    envelope *= np.clip(
        (1 - length) / 0.2, 0, 1
    )  # a note that is cut off would click like an onset
    lowest = 6 - clip.classes // 2
    partials = np.arange(1, 13)
    tones = {}
    step = 0
    for onset in np.arange(0.25, clip.seconds - 1, 60 / clip.bpm):
        section = int(np.searchsorted(edges, onset, side="right")) - 1
        # Sections alternate by a tritone, so up to six pitch classes do not overlap.
        step = (step + int(rng.integers(1, max(2, clip.classes)))) % clip.classes
        pitch = 54 + (lowest + step + 6 * section) % 12
        if pitch not in tones:
            frequency = 440 * 2 ** ((pitch - 69) / 12) * partials
            gain = 10 ** (clip.tilt_db * np.log2(frequency / 500) / 20) * (frequency < 11_000)
            tones[pitch] = gain @ np.sin(2 * np.pi * frequency[:, None] * length) * envelope
        first = int(onset * SAMPLE_RATE)
        samples[first : first + SAMPLE_RATE] += tones[pitch]
    samples = samples[: int(clip.seconds * SAMPLE_RATE)]
    samples *= 0.05 / np.sqrt(np.mean(np.square(samples)))
    time_s = np.arange(len(samples)) / SAMPLE_RATE
    level_db = -clip.contrast_db * (time_s % 1.6 >= 0.8)
    level_db = level_db - np.interp(time_s, [7, 13], [clip.rise_db, 0])
    level_db = level_db - np.interp(time_s, [7, 13], [0, clip.fall_db])
    quiet = np.zeros(int(clip.silence_s * SAMPLE_RATE))
    loud = clip.gain * samples * 10 ** (level_db / 20)
    return np.concatenate([quiet, loud, quiet]).astype(np.float32)


def _section_edges(clip: Clip) -> Floats:
    lengths = 1 + clip.unevenness * np.where(np.arange(clip.sections) % 2, -1.0, 1.0)
    edges: Floats = np.concatenate([[0.0], np.cumsum(lengths)[:-1]]) / lengths.sum() * clip.seconds
    return edges


def sweep_table(say: Callable[[str], None] = lambda _: None) -> pd.DataFrame:
    """Measure every target on every sweep of its input.

    Parameters
    ----------
    say : callable
        Called with the name of each sweep when it starts.

    Returns
    -------
    DataFrame
        One row per target and sweep: ``target, sweep, own, spearman, movement, leak``.
        ``movement`` is the target's range over the sweep (5th to 95th percentile) relative to its
        range over its own sweep, at most 1. ``leak`` is the absolute Spearman correlation times
        ``movement``, because ranks are meaningless for a target that barely moves.
    """
    import pandas as pd

    measured: dict[tuple[str, str], Floats] = {}
    for name, (base, field, values) in AUDIO_SWEEPS.items():
        say(name)
        kind = type(getattr(base, field))
        clips = [replace(base, **{field: kind(value)}) for value in values]
        _measure(measured, "audio", name, [analyse(render(clip)) for clip in clips])
    for name, (field, values) in MIDI_SWEEPS.items():
        say(name)
        performances = [_perform(Expression(**{field: float(value)})) for value in values]
        _measure(measured, "midi", name, performances)
    rows = []
    for (target, sweep), values in measured.items():
        own = OWN_SWEEP[target]
        movement = min(1.0, _spread(values) / max(_spread(measured[target, own]), 1e-12))
        correlation = _rank_correlation(values)
        rows.append(
            {
                "target": target,
                "sweep": sweep,
                "own": sweep == own,
                "spearman": correlation,
                "movement": movement,
                "leak": abs(correlation) * movement,
            }
        )
    return pd.DataFrame(rows)


def _perform(expression: Expression) -> Performance:
    # Asynchrony needs chords, which this one of the demo scores has.
    notes = perform(demo_score(0, bars=24), expression, seed=3)
    return notes.performance


def _measure(
    measured: dict[tuple[str, str], Floats], source: Any, sweep: str, analysed: list[Any]
) -> None:
    for one in targets(source):
        values = np.asarray([one.function(clip) for clip in analysed], dtype=np.float64)
        measured[one.name, sweep] = values


def _spread(values: Floats) -> float:
    known = values[np.isfinite(values)]
    if len(known) < 3:
        return 0.0
    low, high = np.percentile(known, [5, 95])
    return float(high - low)


def _rank_correlation(values: Floats) -> float:
    """Return the Spearman correlation of values with the steps of a sweep."""
    from scipy.stats import spearmanr

    known = np.isfinite(values)
    if known.sum() < 4 or np.ptp(values[known]) == 0:
        return 0.0
    return float(spearmanr(np.flatnonzero(known), values[known]).statistic)
