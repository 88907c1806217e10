"""Targets that compare the performances of one work, next to the score-free targets.

They are computed per work and stored with the hashes of its MIDI files, so a work is aligned
again only when one of its performances is changed, added or removed. The record also says which
repeats and cuts only some of them play.
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
from mess_core.datasets.demo import Expression, demo_score, perform
from mess_core.errors import AudioError, MidiError, StoreError
from mess_core.midi.reading import read_performance
from mess_core.midi.relative import AlignedPerformance, align_performances
from mess_core.processes import in_processes
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
    """Outcome of aligning one work; ``problem`` is None if it succeeded.

    Examples
    --------
    >>> work = AlignedWork("bach:bwv846", performances=3, computed=True, problem=None, seconds=0.4)
    >>> work.performances, work.problem
    (3, None)
    """

    work_id: str
    performances: int
    computed: bool
    problem: str | None
    seconds: float


def compute_aligned_targets(tracks: pd.DataFrame, layout: Layout) -> Iterator[AlignedWork]:
    """Align the performances of each work with several MIDI files, and store the targets.

    A MIDI file that cannot be used is left out; `compute_track_targets` reports it.

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

    Examples
    --------
    >>> import tempfile
    >>> from mess_core.datasets import parse_sources, read_tracks
    >>> from mess_core.datasets.demo import write_demo_corpus
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = write_demo_corpus(f"{folder}/demo", works=1, players=2, bars=4)
    ...     tracks, _, _ = read_tracks(parse_sources(f"demo={folder}/demo"))
    ...     works = list(compute_aligned_targets(tracks, Layout(f"{folder}/root")))
    >>> [(work.work_id, work.performances, work.problem) for work in works]
    [('demo:work1', 2, None)]
    """
    with_midi = tracks[tracks["midi_path"].notna()]
    works = [
        (str(work_id), members)
        for work_id, members in with_midi.groupby("work_id", sort=True)
        if len(members) > 1
    ]
    yield from in_processes(functools.partial(_compute, layout=layout), works, prepare=_compile)


def stored_aligned_targets(tracks: pd.DataFrame, layout: Layout) -> dict[str, dict[str, Any]]:
    """Return the stored values for the works of a track table: track id to target to value."""
    found: dict[str, dict[str, Any]] = {}
    for work_id in tracks["work_id"].unique():
        with contextlib.suppress(StoreError):
            record = read_json(layout.aligned_targets(str(work_id)))
            if record["version"] == TARGETS_VERSION:
                found |= record["values"]
    return found


def check_aligned_targets(layout: Layout) -> Finding:
    """Check that each work with several MIDI files was aligned, or has a recorded reason."""
    tracks = read_table(layout.tracks)
    with_midi = tracks[tracks["midi_path"].notna()]
    count = with_midi["work_id"].value_counts()
    several = [str(work_id) for work_id in count.index[count > 1]]
    missing, problems, differ = [], {}, 0
    for work_id in several:
        record: dict[str, Any] = {}
        with contextlib.suppress(StoreError):
            record = read_json(layout.aligned_targets(work_id))
        if record.get("version") != TARGETS_VERSION:
            missing.append(work_id)
        elif record["problem"] is not None:
            problems[work_id] = record["problem"]
        differ += len(record.get("repeats_and_cuts", {}))
    facts = {"works": len(several), "missing": missing[:5], "not_aligned": problems}
    return Finding(not missing, {**facts, "performances_with_other_repeats_or_cuts": differ})


@functools.cache
def _compile() -> None:
    """Compile the alignment once, so that all processes load it from the cache."""
    notes = perform(demo_score(0), Expression(), seed=0)
    one = notes.performance
    align_performances([one, one])


def _compute(work: tuple[str, pd.DataFrame], layout: Layout) -> AlignedWork:
    began = time.perf_counter()
    work_id, members = work
    digests: dict[str, str] = {}
    paths: dict[str, str] = {}
    for row in members.itertuples():
        with contextlib.suppress(AudioError):
            digests[str(row.track_id)] = file_sha256(str(row.midi_path))
            paths[str(row.track_id)] = str(row.midi_path)
    record_path = layout.aligned_targets(work_id)
    with contextlib.suppress(StoreError):
        stored = read_json(record_path)
        # A file that cannot be read now, of the same performances, does not change what is stored.
        same = set(stored["midi"]) == set(members["track_id"].astype(str))
        unchanged = same and all(stored["midi"].get(one) == sha for one, sha in digests.items())
        if stored["version"] == TARGETS_VERSION and (stored["midi"] == digests or unchanged):
            seconds = time.perf_counter() - began
            return AlignedWork(work_id, len(digests), False, stored["problem"], seconds)
    performances = {}
    for track_id, path in paths.items():
        with contextlib.suppress(MidiError):
            performances[track_id] = read_performance(path)
    values: dict[str, dict[str, float]] = {}
    differences: dict[str, list[str]] = {}
    problem = None
    try:
        together = align_performances(list(performances.values()))
    except MidiError as error:
        problem = error.problem
    else:
        names = list(performances)
        reference = names[together.reference]
        for track_id, stretches in zip(names, together.unshared, strict=True):
            if stretches:
                differences[track_id] = [f"a is {reference}, b is {track_id}", *map(str, stretches)]
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
        "repeats_and_cuts": differences,
    }
    write_json(record_path, record)
    return AlignedWork(work_id, len(digests), True, problem, time.perf_counter() - began)
