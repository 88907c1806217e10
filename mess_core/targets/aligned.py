"""What performances of one work tell when they are compared: columns beside the score-free ones.

Computed per work and stored by the hashes of its MIDI files, so a work is aligned again
only when one of its performances changes, comes or goes.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mess_core.audio import file_sha256
from mess_core.errors import AudioError, MidiError, StoreError
from mess_core.midi.performance import read_performance
from mess_core.midi.relative import AlignedPerformance, align_performances
from mess_core.store.findings import Finding
from mess_core.store.layout import Layout
from mess_core.store.tables import read_json, read_table, write_json
from mess_core.targets.registry import TARGETS_VERSION, target, targets

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "AlignedWork",
    "check_aligned_targets",
    "compute_aligned_targets",
    "stored_aligned_targets",
]


_work_target = functools.partial(
    target, dimension="expression", source="work", on_segments=False, extra=True
)


@_work_target("rubato_aligned", unit="log2")
def rubato_aligned(performance: AlignedPerformance) -> float:
    """As rubato, on beats found from all performances of the work together."""
    return performance.spread[0]


@_work_target("tempo_variability_aligned", unit="log2")
def tempo_variability_aligned(performance: AlignedPerformance) -> float:
    """As tempo_variability, on beats found from all performances of the work together."""
    return performance.spread[1]


@_work_target("relative_tempo", unit="log2")
def relative_tempo(performance: AlignedPerformance) -> float:
    """Median over beats of the tempo minus the mean of the other performances' (log2)."""
    return _median(performance.relative_tempo)


@_work_target("relative_velocity", unit="MIDI")
def relative_velocity(performance: AlignedPerformance) -> float:
    """Median over beats of the velocity minus the mean of the other performances'."""
    return _median(performance.relative_velocity)


@_work_target("relative_articulation", unit="log2")
def relative_articulation(performance: AlignedPerformance) -> float:
    """Median over beats of key-down time per beat relative to the other performances' (log2)."""
    return _median(performance.relative_length)


def _median(curve: Any) -> float:
    known = curve[np.isfinite(curve)]
    return float(np.median(known)) if len(known) else float("nan")


@dataclass(frozen=True)
class AlignedWork:
    """What became of one work: ``problem`` is None if it could be aligned."""

    work_id: str
    performances: int
    computed: bool
    problem: str | None
    seconds: float


def compute_aligned_targets(tracks: pd.DataFrame, layout: Layout) -> Iterator[AlignedWork]:
    """Align the performances of each work that has several with MIDI, and store the columns.

    A MIDI file that cannot be used is left out of its work; `compute_track_targets` reports it.

    Parameters
    ----------
    tracks : DataFrame
        The whole track table: a work is compared with all of its performances.
    layout : Layout

    Yields
    ------
    AlignedWork

    Raises
    ------
    StoreError
        If the data root cannot be written.
    """
    with_midi = tracks[tracks["midi_path"].notna()]
    for work_id, members in with_midi.groupby("work_id", sort=True):
        if len(members) > 1:
            yield _compute(str(work_id), members, layout)


def stored_aligned_targets(tracks: pd.DataFrame, layout: Layout) -> dict[str, dict[str, Any]]:
    """Track id to column to value, of what is stored for the works of a track table."""
    found: dict[str, dict[str, Any]] = {}
    for work_id in tracks["work_id"].unique():
        with contextlib.suppress(StoreError):
            record = read_json(layout.aligned_targets(str(work_id)))
            if record["version"] == TARGETS_VERSION:
                found |= record["values"]
    return found


def check_aligned_targets(layout: Layout) -> Finding:
    """Every work with several performances on MIDI was aligned, or it is said why not."""
    tracks = read_table(layout.tracks)
    with_midi = tracks[tracks["midi_path"].notna()]
    count = with_midi["work_id"].value_counts()
    several = [str(work_id) for work_id in count.index[count > 1]]
    missing, problems = [], {}
    for work_id in several:
        record: dict[str, Any] = {}
        with contextlib.suppress(StoreError):
            record = read_json(layout.aligned_targets(work_id))
        if record.get("version") != TARGETS_VERSION:
            missing.append(work_id)
        elif record["problem"] is not None:
            problems[work_id] = record["problem"]
    return Finding(
        not missing, {"works": len(several), "missing": missing[:5], "not_aligned": problems}
    )


def _compute(work_id: str, members: pd.DataFrame, layout: Layout) -> AlignedWork:
    began = time.perf_counter()
    digests: dict[str, str] = {}
    paths: dict[str, str] = {}
    for row in members.itertuples():
        with contextlib.suppress(AudioError):
            digests[str(row.track_id)] = file_sha256(str(row.midi_path))
            paths[str(row.track_id)] = str(row.midi_path)
    place = layout.aligned_targets(work_id)
    with contextlib.suppress(StoreError):
        stored = read_json(place)
        if stored["version"] == TARGETS_VERSION and stored["midi"] == digests:
            seconds = time.perf_counter() - began
            return AlignedWork(work_id, len(digests), False, stored["problem"], seconds)
    performances = {}
    for track_id, path in paths.items():
        with contextlib.suppress(MidiError):
            performances[track_id] = read_performance(path)
    values: dict[str, dict[str, float]] = {}
    problem = None
    try:
        together = align_performances(list(performances.values()))
    except MidiError as error:
        problem = error.problem
    else:
        for index, track_id in enumerate(performances):
            one = AlignedPerformance(together, index)
            values[track_id] = {
                column.name: float(column.function(one)) for column in targets("work", extra=True)
            }
    record = {
        "work_id": work_id,
        "version": TARGETS_VERSION,
        "midi": digests,
        "problem": problem,
        "values": values,
    }
    write_json(place, record)
    return AlignedWork(work_id, len(digests), True, problem, time.perf_counter() - began)
