"""Expression targets from MIDI: velocities, timing and key overlap.

All of them are invariant to transposition and, except velocities, to gain.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mess_core.midi.chords import asynchrony_ms, struck_together
from mess_core.midi.performance import Performance
from mess_core.midi.rhythm import log2_tempo, tempo_spread
from mess_core.targets.registry import target

__all__ = [
    "articulation_ratio",
    "articulation_ratio_pedal",
    "onset_timing_std",
    "overlap_ratios",
    "pedal_fraction",
    "rubato",
    "tempo_variability",
    "velocity_mean",
    "velocity_range",
    "velocity_std",
]

_LONGEST_IOI_S = 3.0
_REGISTER_SEMITONES = 7


@target("velocity_mean", dimension="expression", unit="MIDI", source="midi")
def velocity_mean(performance: Performance) -> float:
    """Mean key velocity over notes, 0 to 127."""
    return float(performance.velocity.mean())


@target("velocity_std", dimension="expression", unit="MIDI", source="midi")
def velocity_std(performance: Performance) -> float:
    """Standard deviation of key velocities over notes."""
    return float(performance.velocity.std())


@target("velocity_range", dimension="expression", unit="MIDI", source="midi")
def velocity_range(performance: Performance) -> float:
    """95th minus 5th percentile of key velocities."""
    low, high = np.percentile(performance.velocity, [5, 95])
    return float(high - low)


@target("rubato", dimension="expression", unit="log2", source="midi", on_segments=False)
def rubato(performance: Performance) -> float:
    """Spread of beat-level tempo around its 9-beat trend, in octaves; score-free.

    Standard deviation, over beats that are found from the onsets alone
    (`mess_core.midi.rhythm`). A tempo that alternates by more than about a quarter octave
    from one beat to the next is interpreted as another rhythm. NaN with fewer than 10 beats.
    """
    return tempo_spread(log2_tempo(performance.beats_s))[0]


@target("tempo_variability", dimension="expression", unit="log2", source="midi", on_segments=False)
def tempo_variability(performance: Performance) -> float:
    """Spread of the 9-beat tempo trend itself, in octaves; score-free.

    Standard deviation over the same beats as rubato. NaN with fewer than 10 beats.
    """
    return tempo_spread(log2_tempo(performance.beats_s))[1]


@target("articulation_ratio", dimension="expression", unit="1", source="midi")
def articulation_ratio(performance: Performance) -> float:
    """Median key overlap ratio within registers; below 1 staccato, above 1 legato.

    (offset - onset) / (next onset in the same register - onset), where the same register
    is within a fifth of the note; Bresin and Battel (2000) for the key overlap ratio.
    Keys only: the pedal is left out.
    """
    return _median(overlap_ratios(performance, performance.offset_s))


@target("articulation_ratio_pedal", dimension="expression", unit="1", source="midi", extra=True)
def articulation_ratio_pedal(performance: Performance) -> float:
    """As articulation_ratio, with notes lasting as long as the sustain pedal holds them."""
    return _median(overlap_ratios(performance, performance.sounding_offset_s))


@target("onset_timing_std", dimension="expression", unit="ms", source="midi")
def onset_timing_std(performance: Performance) -> float:
    """Root mean square deviation of onsets from their chord's mean onset (asynchrony).

    Chords are the notes within 0.6 of the local interval between chords, 30 to 90 ms
    (`mess_core.midi.chords`). NaN where no two notes are struck together.
    """
    return asynchrony_ms(performance.onset_s, struck_together(performance))


@target("pedal_fraction", dimension="expression", unit="1", source="midi", extra=True)
def pedal_fraction(performance: Performance) -> float:
    """Share of the performance with the sustain pedal down."""
    return performance.pedal_fraction


@target("log_ioi_std", dimension="expression", unit="log2", source="midi", extra=True)
def log_ioi_std(performance: Performance) -> float:
    """Standard deviation of log2 intervals between successive chords."""
    intervals = np.diff(performance.chord_onset_s)
    return float(np.log2(intervals).std()) if len(intervals) > 1 else float("nan")


def overlap_ratios(performance: Performance, offset_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the key overlap ratio of each note followed by one in its register, [<= notes]."""
    onset, pitch, chord = performance.onset_s, performance.pitch, performance.chord_of_note
    count = len(onset)
    following = np.full(count, np.inf)
    # The next onset in the register is nearly always within a few dozen notes.
    for ahead in range(1, min(64, count)):
        later = slice(ahead, count)
        here = slice(0, count - ahead)
        found = (
            np.isinf(following[here])
            & (chord[later] > chord[here])
            & (np.abs(pitch[later] - pitch[here]) <= _REGISTER_SEMITONES)
        )
        following[here] = np.where(found, onset[later], following[here])
    interval = following - onset
    usable = interval <= _LONGEST_IOI_S
    ratios: NDArray[np.float64] = (offset_s - onset)[usable] / interval[usable]
    return ratios


def _median(ratios: NDArray[np.float64]) -> float:
    return float(np.median(ratios)) if len(ratios) else float("nan")
