"""Compute targets of files and of whole track tables."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Iterator
from os import PathLike
from typing import TYPE_CHECKING, Any

from mess_core.audio import file_sha256, load_audio
from mess_core.errors import MessError, StoreError
from mess_core.midi.performance import read_performance
from mess_core.store.failures import clear_failure, is_transient, record_failure
from mess_core.store.layout import Layout
from mess_core.store.outcomes import TrackOutcome
from mess_core.store.tables import read_json, write_json, write_table
from mess_core.targets.analysis import analyse
from mess_core.targets.registry import TARGETS_VERSION, Source, targets

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "collect_proxy_targets",
    "compute_track_targets",
    "proxy_target_table",
    "targets_from_audio",
    "targets_from_midi",
]


def targets_from_audio(path: str | PathLike[str]) -> dict[str, float]:
    """The 15 audio targets of a recording.

    Parameters
    ----------
    path : path-like or fsspec URL

    Returns
    -------
    dict
        Target name to value in its unit; NaN where the property is not defined.

    Raises
    ------
    AudioError
        If the audio cannot be used.
    """
    samples = load_audio(path)
    try:
        analysis = analyse(samples)
    except MessError as error:
        raise type(error)(error.problem, path=path, remedy=error.remedy) from None
    return {one.name: float(one.function(analysis)) for one in targets("audio", extra=True)}


def targets_from_midi(path: str | PathLike[str]) -> dict[str, float]:
    """The 7 MIDI targets of a performance, and the additional MIDI scalars.

    Parameters
    ----------
    path : path-like or fsspec URL

    Returns
    -------
    dict
        Target name to value in its unit; NaN where the property is not defined.

    Raises
    ------
    MidiError
        If the file cannot be used.
    """
    performance = read_performance(path)
    return {one.name: float(one.function(performance)) for one in targets("midi", extra=True)}


def compute_track_targets(tracks: pd.DataFrame, layout: Layout) -> Iterator[TrackOutcome]:
    """Compute and store the targets of each track of a track table.

    What is stored for the same files and version is left alone. Audio and MIDI fail
    apart: a track with a truncated MIDI keeps its audio targets and counts as failed.

    Parameters
    ----------
    tracks : DataFrame
        Rows of the track table.
    layout : Layout

    Yields
    ------
    TrackOutcome

    Raises
    ------
    StoreError
        If the data root cannot be written.
    """
    for row in tracks.to_dict("records"):
        yield _compute(row, layout)


def proxy_target_table(tracks: pd.DataFrame, layout: Layout) -> pd.DataFrame:
    """Table of stored targets: one row per track that has any, in the table's order.

    Returns
    -------
    DataFrame
        ``track_id``, the 22 targets, the additional columns; NaN = not available.
    """
    import numpy as np
    import pandas as pd

    names = [one.name for one in targets(extra=True)]
    rows = []
    for row in tracks.to_dict("records"):
        place = layout.track_targets(row["dataset"], row["track_id"])
        try:
            stored = read_json(place)
        except StoreError:  # the coverage check names the tracks that are not in the table
            continue
        if stored.get("version") == TARGETS_VERSION:
            values = {name: _number(stored["values"].get(name)) for name in names}
            rows.append({"track_id": row["track_id"], **values})
    table = pd.DataFrame(rows, columns=["track_id", *names])
    return table.astype(dict.fromkeys(names, np.float64))


def collect_proxy_targets(tracks: pd.DataFrame, layout: Layout) -> tuple[pd.DataFrame, str]:
    """Write `proxy_target_table` to the store.

    Returns
    -------
    table : DataFrame
    digest : str
        SHA-256 of its content and the targets' version.

    Raises
    ------
    StoreError
        If no track has targets, or the store cannot be written.
    """
    table = proxy_target_table(tracks, layout)
    if table.empty:
        raise StoreError("no track has proxy targets", remedy="Materialise `track_targets` first")
    content = f"{TARGETS_VERSION}\n{table.to_csv(index=False)}"
    digest = hashlib.sha256(content.encode()).hexdigest()
    write_table(layout.proxy_targets, table)
    write_json(
        layout.proxy_targets_manifest,
        {"version": TARGETS_VERSION, "sha256": digest, "rows": len(table)},
    )
    return table, digest


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)


def _compute(row: dict[str, Any], layout: Layout) -> TrackOutcome:
    import pandas as pd

    track_id, dataset = row["track_id"], row["dataset"]
    paths: dict[Source, Any] = {"audio": row["audio_path"], "midi": row["midi_path"]}
    functions = {"audio": targets_from_audio, "midi": targets_from_midi}
    place = layout.track_targets(dataset, track_id)
    stored: dict[str, Any] = {"values": {}, "sources": {}}
    with contextlib.suppress(StoreError):  # not there, or damaged: either way made again
        found = read_json(place)
        if found.get("version") == TARGETS_VERSION:
            stored = found
    began = time.perf_counter()
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    failure: Exception | None = None
    cause: dict[str, str] = {}
    computed = False
    for source, path in paths.items():
        names = [one.name for one in targets(source, extra=True)]
        if pd.isna(path):
            continue
        digest = "unreadable"
        try:
            digest = file_sha256(path)
            if stored["sources"].get(source) == digest:
                values |= {name: stored["values"].get(name) for name in names}
            else:
                values |= functions[source](path)
                computed = True
            sources[source] = digest
        except StoreError:
            raise
        except Exception as error:  # whatever a library raises, the next track goes on
            failure = failure or error
            if not is_transient(error):
                cause |= {"version": TARGETS_VERSION, source: digest}
    if values and (computed or stored["sources"] != sources):
        write_json(
            place,
            {
                "track_id": track_id,
                "version": TARGETS_VERSION,
                "sources": sources,
                "values": values,
            },
        )
    if failure is not None:
        if not values:
            place.unlink(missing_ok=True)
        record = record_failure(layout, "track_targets", dataset, track_id, failure, cause=cause)
        return TrackOutcome(track_id, dataset, "failed", record)
    clear_failure(layout, "track_targets", track_id)
    content = f"{TARGETS_VERSION}:{sorted(sources.items())}"
    facts = {
        "targets": sum(value is not None and value == value for value in values.values()),
        "sources": ", ".join(sources),
        "seconds": time.perf_counter() - began,
    }
    return TrackOutcome(
        track_id,
        dataset,
        "done" if computed else "fresh",
        facts,
        hashlib.sha256(content.encode()).hexdigest(),
    )
