"""Validation of timing targets and alignment against human-checked beats (ASAP).

Foscarin et al., "ASAP: a dataset of aligned scores and performances for piano transcription",
ISMIR 2020. Annotated beat times give a score-based measure of rubato and tempo variability; beats
of two performances of a piece measure how accurately they are aligned.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray

from mess_core.datasets.asap import read_beats
from mess_core.errors import MidiError
from mess_core.midi.alignment import align
from mess_core.midi.performance import Performance
from mess_core.midi.reading import read_performance
from mess_core.midi.relative import align_performances
from mess_core.midi.rhythm import log2_tempo, tempo_spread
from mess_core.targets.first_published import first_published_targets
from mess_core.validation.correlation import GroupedCorrelation, grouped_spearman

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "beat_table",
    "on_note",
    "random_pairs",
    "timing_correlations",
    "transfer_table",
    "wrong_signs",
]

_ON_NOTE_S = 0.03

Floats = NDArray[np.float64]
WAYS = {
    "first definition": "first",
    "score-free": "free",
    "aligned with the other performances": "aligned",
    "annotated beats of one performance, carried over": "carried",
}


def beat_table(
    performances: pd.DataFrame, *, say: Callable[[str], None] = lambda _: None, workers: int = 2
) -> pd.DataFrame:
    """Measure rubato and tempo variability of every performance with and without beats.

    Parameters
    ----------
    performances : DataFrame
        As returned by `read_asap`.
    say : callable
        Called with progress messages.
    workers : int
        Number of processes.

    Returns
    -------
    DataFrame
        `performances` with ``rubato_truth`` (from beats), ``rubato_first``, ``rubato_free``,
        ``rubato_aligned``, ``rubato_carried`` (see `WAYS`), and the same columns for
        ``tempo_variability``.
    """
    import pandas as pd

    parts = [part for _, part in performances.groupby("piece", sort=True)]
    done = []
    jobs = (delayed(_piece_table)(part) for part in parts)
    tables = Parallel(n_jobs=workers, return_as="generator")(jobs)
    for number, table in enumerate(tables, start=1):
        done.append(table)
        say(f"piece {number} of {len(parts)}")
    return pd.concat(done, ignore_index=True)


def timing_correlations(
    table: pd.DataFrame, *, smallest: int = 4
) -> dict[tuple[str, str], GroupedCorrelation]:
    """Correlate targets with beat-based ground truth, by target and way of measuring.

    Spearman correlation, across performances and within pieces of at least `smallest`.
    """
    return {
        (target, way): grouped_spearman(
            table[f"{target}_{column}"].to_numpy(),
            table[f"{target}_truth"].to_numpy(),
            table["piece"].tolist(),
            smallest=smallest,
        )
        for target in ("rubato", "tempo_variability")
        for way, column in WAYS.items()
    }


def wrong_signs(table: pd.DataFrame) -> dict[tuple[str, str], list[tuple[str, float]]]:
    """Return the pieces of at least 6 performances with a negative correlation, and that."""
    return {
        way: [(str(piece), r) for piece, r in found.each.items() if r < 0]
        for way, found in timing_correlations(table, smallest=6).items()
    }


def transfer_table(
    performances: pd.DataFrame, *, seed: int = 0, say: Callable[[str], None] = lambda _: None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Align one random pair of each piece and transfer the beats of one to the other.

    Returns
    -------
    pairs : DataFrame
        ``piece, notes, seconds, beats, gated`` (share of beats outside trusted regions).
    errors : DataFrame
        ``piece, error_ms, trusted, struck`` (whether both play a note there): one row per beat.
    """
    import pandas as pd

    pairs, errors = [], []
    for piece, a, b, beats_a, beats_b in random_pairs(performances, seed=seed):
        began = time.perf_counter()
        alignment = align(a, b)
        seconds = time.perf_counter() - began
        error_ms = 1000 * np.abs(alignment.map_time(beats_a) - beats_b)
        trusted = alignment.trusted(beats_a)
        pairs.append(
            {
                "piece": piece,
                "notes": len(a),
                "seconds": seconds,
                "beats": len(error_ms),
                "gated": float(1 - trusted.mean()),
            }
        )
        struck = on_note(a, beats_a) & on_note(b, beats_b)
        row = {"piece": piece, "error_ms": error_ms, "trusted": trusted, "struck": struck}
        errors.append(pd.DataFrame(row))
        say(f"{piece}: median {np.median(error_ms):.1f} ms")
    return pd.DataFrame(pairs), pd.concat(errors, ignore_index=True)


def on_note(performance: Performance, beats_s: Floats) -> NDArray[np.bool_]:
    """Return which beats (s) fall on a note, within 30 ms: the others were placed by a rule."""
    after = np.clip(np.searchsorted(performance.onset_s, beats_s), 1, len(performance) - 1)
    near = np.stack([performance.onset_s[after - 1], performance.onset_s[after]]) - beats_s
    found: NDArray[np.bool_] = np.abs(near).min(axis=0) <= _ON_NOTE_S
    return found


def random_pairs(
    performances: pd.DataFrame, *, seed: int = 0
) -> Iterator[tuple[str, Performance, Performance, Floats, Floats]]:
    """Yield two performances of each piece: piece, a, b, beats of a, beats of b.

    Both have the most common number of beats, since only performances with the same repeats have
    corresponding beats.
    """
    rng = np.random.default_rng(seed)
    for piece, part in performances.groupby("piece", sort=True):
        beats = {str(row.midi): read_beats(str(row.beats)) for row in part.itertuples()}
        counts = [len(one) for one in beats.values()]
        usual = max(sorted(set(counts)), key=counts.count)
        same = [path for path, one in beats.items() if len(one) == usual]
        if len(same) > 1:
            a, b = (str(path) for path in rng.choice(same, 2, replace=False))
            yield str(piece), read_performance(a), read_performance(b), beats[a], beats[b]


def _piece_table(part: pd.DataFrame) -> pd.DataFrame:
    performances = [read_performance(path) for path in part["midi"]]
    beats = [read_beats(path) for path in part["beats"]]
    pairs: dict[str, Any] = {
        "truth": [tempo_spread(log2_tempo(one)) for one in beats],
        "first": [
            (one["rubato"], one["tempo_variability"])
            for one in map(first_published_targets, performances)
        ],
        "free": [tempo_spread(log2_tempo(one.beats_s)) for one in performances],
    }
    try:
        together = align_performances(performances)
        pairs["aligned"] = [together.spread(index) for index in range(len(performances))]
        pairs["carried"] = _carried_over(performances, together.reference, beats)
    except MidiError:
        pairs["aligned"] = pairs["carried"] = [(np.nan, np.nan)] * len(performances)
    columns = {
        f"{target}_{way}": [pair[index] for pair in values]
        for way, values in pairs.items()
        for index, target in enumerate(("rubato", "tempo_variability"))
    }
    return part.assign(**columns)


def _carried_over(
    performances: list[Performance], reference: int, beats: list[Floats]
) -> list[tuple[float, float]]:
    """Return rubato and variability on the reference's beats, carried over by alignment."""
    spreads = []
    for index, one in enumerate(performances):
        beats_s = beats[reference]
        if index != reference:
            alignment = align(performances[reference], one)
            beats_s = np.where(alignment.trusted(beats_s), alignment.map_time(beats_s), np.nan)
        spreads.append(tempo_spread(log2_tempo(beats_s)))
    return spreads
