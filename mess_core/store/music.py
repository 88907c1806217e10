"""Which tracks of a library share music, from cached sketches of their notes."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mess_core.datasets.label_comparison import compare_labels
from mess_core.datasets.shared_music import music_groups, shared_stretches
from mess_core.datasets.text_tables import read_text_table
from mess_core.errors import DatasetError, MessError, StoreError
from mess_core.midi.note_sketches import NO_NOTES, Sketch, Sketches, note_sketches
from mess_core.midi.reading import read_performance
from mess_core.paths import locate
from mess_core.store.findings import EXAMPLES, Finding
from mess_core.store.layout import Layout
from mess_core.store.tables import read_table, write_table

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "apply_overrides",
    "check_labels",
    "find_labels",
    "library_sketches",
    "store_labels",
    "with_music",
]

_SUSPICIOUS = ("high", "medium")


def library_sketches(layout: Layout, tracks: pd.DataFrame) -> list[Sketches]:
    """Return the sketches of each track's notes, `NO_NOTES` for tracks without readable MIDI.

    Files are read once, in several processes, and again when their size or time has changed.

    Parameters
    ----------
    layout : Layout
    tracks : DataFrame
        The track table.
    """
    import pandas as pd

    stored: dict[str, tuple[tuple[int, float], Sketches]] = {}
    with contextlib.suppress(StoreError, AttributeError):  # none, or of a version with one sketch
        for row in read_table(layout.note_sketches).itertuples():
            sketches = Sketches(*(_unpacked(getattr(row, one)) for one in Sketches._fields))
            stored[row.path] = (row.size, row.modified), sketches
    stamps: dict[str, tuple[int, float]] = {}
    for path in tracks["midi_path"].dropna().astype(str):
        try:
            status = locate(path).stat()
            stamps[path] = (int(status.st_size), float(getattr(status, "st_mtime", 0.0)))
        except OSError:  # its disk may not be mounted: its music is what it was
            if path in stored:
                stamps[path] = stored[path][0]
    known = {path: stored[path][1] for path in stamps if stored.get(path, ((),))[0] == stamps[path]}
    missing = [path for path in stamps if path not in known]
    if missing:
        found, _ = note_sketches(missing)
        known |= {path: found.get(path, NO_NOTES) for path in missing}
        rows = [
            (path, *stamp, *(one.astype("<u8").tobytes() for one in known[path]))
            for path, stamp in stamps.items()
        ]
        columns = ["path", "size", "modified", *Sketches._fields]
        write_table(layout.note_sketches, pd.DataFrame(rows, columns=columns))
    return [known.get(str(path), NO_NOTES) for path in tracks["midi_path"]]


def _unpacked(packed: bytes) -> Sketch:
    return np.frombuffer(packed, dtype="<u8").astype(np.uint64)


def with_music(layout: Layout, tracks: pd.DataFrame) -> pd.DataFrame:
    """Return the track table with its column ``music``: equal where tracks share music."""
    names = tracks["track_id"].astype(str).tolist()
    groups = music_groups(library_sketches(layout, tracks), names)
    return tracks.assign(music=groups).astype({"music": "string"})


def apply_overrides(layout: Layout, tracks: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Return the track table with the works that ``metadata/work_overrides.csv`` corrects.

    Returns
    -------
    tracks : DataFrame
    unknown : list of str
        Track ids of the file that the library lacks.

    Raises
    ------
    DatasetError
        If the file cannot be read, lacks a column, or names a track twice or without a work.
    """
    path = layout.work_overrides
    if not path.exists():
        return tracks, []
    table = read_text_table(path, required=("track_id", "work_id"))
    corrected: dict[str, str] = {}
    for line, row in table.rows:
        if row["track_id"] in corrected or not row["track_id"] or not row["work_id"]:
            raise DatasetError(
                f"line {line} repeats a track, or lacks a track or a work",
                path=str(path),
                remedy="Write a header `track_id,work_id` and one row per track to correct",
            )
        corrected[row["track_id"]] = row["work_id"]
    known = set(tracks["track_id"].astype(str))
    works = tracks["track_id"].astype(str).map(corrected).fillna(tracks["work_id"])
    unknown = sorted(str(one) for one in corrected if one not in known)
    return tracks.assign(work_id=works.astype("string")), unknown


def store_labels(layout: Layout) -> pd.DataFrame:
    """Write where titles and notes disagree, and return it, as `find_labels` does."""
    found = find_labels(layout)
    write_table(layout.label_findings, found)
    return found


def find_labels(layout: Layout) -> pd.DataFrame:
    """Return where titles and notes disagree.

    Returns
    -------
    DataFrame
        As returned by `compare_labels`, with ``stretches``: what the two tracks share, as minutes
        and seconds of both.
    """
    tracks = read_table(layout.tracks)
    found = compare_labels(tracks, library_sketches(layout, tracks))
    midi = dict(zip(tracks["track_id"].astype(str), tracks["midi_path"], strict=True))
    told = [
        _stretches(midi[row.track_id], midi[row.other]) if row.shared else ""
        for row in found.itertuples()
    ]
    return found.assign(stretches=told)


def _stretches(first: str, second: str) -> str:
    try:
        shared = shared_stretches(read_performance(first), read_performance(second))
    except MessError:  # removed since the sketches were made
        return ""
    return ", ".join(
        f"{_clock(one.start_s)}-{_clock(one.end_s)} = "
        f"{_clock(one.other_start_s)}-{_clock(one.other_end_s)}"
        for one in shared
    )


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def check_labels(layout: Layout) -> Finding:
    """Check that no titles disagree with the notes, except where that may be another movement."""
    table = read_table(layout.label_findings)
    suspicious = table[table["confidence"].isin(_SUSPICIOUS)]
    return Finding(suspicious.empty, {"findings": len(table), "suspicious": _told(suspicious)})


def _told(table: pd.DataFrame) -> Sequence[Any]:
    return [
        f"{row.finding}: {row.track_id} ({row.title}) and {row.other} ({row.other_title})"
        for row in table.head(EXAMPLES).itertuples()
    ]
