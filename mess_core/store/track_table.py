"""The stored track table: write it from a scan, and find what has to be computed."""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import TYPE_CHECKING, Any

from mess_core.audio import file_sha256
from mess_core.datasets.sources import Source, read_tracks
from mess_core.errors import AudioError, StoreError
from mess_core.store.arrays import remove_stale_parts
from mess_core.store.embeddings import EmbeddingStore
from mess_core.store.failures import clear_failures, failures_table, settled_cause
from mess_core.store.findings import EXAMPLES, Finding
from mess_core.store.layout import Layout, escape_track_id
from mess_core.store.music import apply_overrides, with_music
from mess_core.store.renames import find_renames, follow_renames
from mess_core.store.segment_windows import windows_serve
from mess_core.store.tables import read_json, read_table, write_json, write_table
from mess_core.store.transcriptions import with_transcriptions

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

__all__ = [
    "check_tracks",
    "outdated_tables",
    "pending_tracks",
    "refresh_tracks",
    "scan_report",
    "scan_summary",
    "tracks_of",
]


def refresh_tracks(
    layout: Layout, sources: Sequence[Source]
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Scan the sources, and write the track table and its report.

    Returns
    -------
    tracks : DataFrame
    report : dict
        Report of `read_tracks`, with ``unknown_overrides`` (corrected tracks that the library
        lacks), and the track ids ``added``, ``removed`` and ``changed``
        since the last table, and ``renamed``: pairs of old and new id with the same audio,
        whose embeddings and targets were moved to the new name. A renamed track counts as
        neither added nor removed. Data sets in ``problems`` could not be read, and keep their
        tracks.

    Raises
    ------
    DatasetError
        If no source's folder and metadata can be used.
    StoreError
        If the data root cannot be read or written.
    """
    known = read_table(layout.audio_hashes) if layout.audio_hashes.exists() else None
    before = read_table(layout.tracks) if layout.tracks.exists() else None
    tracks, report, hashes = read_tracks(sources, known_hashes=known, known_tracks=before)
    tracks, report["unknown_overrides"] = apply_overrides(layout, tracks)
    old = (
        {} if before is None else dict(zip(before["track_id"], before["audio_sha256"], strict=True))
    )
    new = dict(zip(tracks["track_id"], tracks["audio_sha256"], strict=True))
    report["added"] = sorted(set(new) - set(old))
    report["removed"] = sorted(set(old) - set(new))
    report["changed"] = sorted(
        track_id for track_id in set(new) & set(old) if str(new[track_id]) != str(old[track_id])
    )
    # A run in progress may have failed on a track that had been removed by then.
    failed = set(failures_table(layout.of(None))["track_id"])
    clear_failures(layout, {*report["removed"], *(failed - set(new))})
    renamed = [] if before is None else find_renames(before, tracks)
    follow_renames(layout, renamed)
    tracks = with_music(layout, with_transcriptions(layout, tracks))
    report["renamed"] = [[old_id, new_id] for (_, old_id), (_, new_id) in renamed]
    went, came = ({pair[side][1] for pair in renamed} for side in (0, 1))
    for kind, names in (("added", came), ("removed", went), ("changed", came | went)):
        report[kind] = sorted(set(report[kind]) - names)
    for folder in ("embeddings", "proxy_targets", "indices", "metadata", "transcriptions"):
        remove_stale_parts(layout.root / folder)
    write_table(layout.audio_hashes, hashes)
    write_json(layout.tracks_report, report)
    write_table(layout.tracks, tracks)
    return tracks, report


def scan_report(layout: Layout) -> dict[str, Any]:
    """Return the report of the last scan, without skipped files or problems if there was none."""
    report: dict[str, Any] = {"skipped": 0, "problems": [], "datasets": []}
    with contextlib.suppress(StoreError):
        report |= read_json(layout.tracks_report)
    return report


def scan_summary(layout: Layout) -> list[str]:
    """Return lines about what the last scan could not use: files, rows, and whole data sets.

    Examples
    --------
    >>> scan_summary(Layout("memory://never-scanned"))
    []
    """
    report = scan_report(layout)
    lines = []
    for one in report["problems"]:
        stay = f"; its {one['tracks']} tracks stay as they were" if one["tracks"] else ""
        remedy = f". {one['remedy']}" if one["remedy"] else ""
        lines.append(f"data set {one['dataset']!r} cannot be read{stay}: {one['problem']}{remedy}")
    reasons = Counter(
        skipped["reason"] for dataset in report["datasets"] for skipped in dataset["skipped"]
    )
    if total := sum(reasons.values()):
        shown = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common(2))
        more = "" if len(reasons) < 3 else ", ..."
        lines.append(f"{total} entries were skipped ({shown}{more}): mess tracks --skipped")
    return lines


def tracks_of(layout: Layout, keys: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
    """Return the rows of the track table for partition keys, and the keys that it lacks."""
    tracks = read_table(layout.tracks)
    by_key = {
        escape_track_id(str(track_id)): row for row, track_id in enumerate(tracks["track_id"])
    }
    missing = [key for key in keys if key not in by_key]
    return tracks.iloc[[by_key[key] for key in keys if key in by_key]], missing


def pending_tracks(
    layout: Layout, *, wanted: dict[str, Any], targets_version: str, failed_too: bool = False
) -> dict[str, dict[str, str]]:
    """Return the tracks that lack an up-to-date embedding or targets, with the reasons.

    This compares the hashes in the track table and opens no audio. A track that failed is
    left out while everything that determines the failure is unchanged: its file, the encoder
    and its settings, the version of the target definitions.

    Parameters
    ----------
    layout : Layout
    wanted : dict
        Identity of the encoder.
    targets_version : str
        Version of the target definitions.
    failed_too : bool
        Whether to include failed tracks that have not changed since.

    Returns
    -------
    dict
        Track id to {stage: reason}, in the order of the table; stages are "embeddings" and
        "track_targets".
    """
    failed = {
        (row["track_id"], row["stage"]): {} if failed_too else settled_cause(row)
        for row in failures_table(layout).to_dict("records")
    }
    store = EmbeddingStore(layout)
    unread = {problem["dataset"] for problem in scan_report(layout)["problems"]}
    pending: dict[str, dict[str, str]] = {}
    for row in read_table(layout.tracks).to_dict("records"):
        track_id, dataset = str(row["track_id"]), str(row["dataset"])
        if dataset in unread:
            continue
        sources = _sources(row)
        lacks: dict[str, str] = {}
        audio = sources.get("audio")
        if audio is not None and failed.get((track_id, "embeddings")) != {"audio": audio, **wanted}:
            stale = store.staleness(dataset, track_id, wanted=wanted, audio_sha256=audio)
            if stale is not None:
                lacks["embeddings"] = stale
        cause = failed.get((track_id, "track_targets"), {})
        wanted_sources = {
            source: digest
            for source, digest in sources.items()
            if (cause.get("version"), cause.get(source)) != (targets_version, digest)
        }
        windows = {name: wanted[name] for name in ("window_s", "hop_s")}
        stale = _stale_targets(
            layout.track_targets(dataset, track_id), targets_version, windows, wanted_sources
        )
        if stale is not None:
            lacks["track_targets"] = stale
        if lacks:
            pending[track_id] = lacks
    return pending


def check_tracks(layout: Layout) -> Finding:
    """Check that all data sets were read, ids are unique, and audio is hashed and not shared."""
    tracks = read_table(layout.tracks)
    hashed = tracks.dropna(subset=["audio_sha256"])
    duplicates = hashed[hashed["audio_sha256"].duplicated(keep=False)]
    unhashed = tracks[tracks["audio_path"].notna() & tracks["audio_sha256"].isna()]
    repeated = tracks[tracks["track_id"].duplicated()]
    problems = scan_report(layout)["problems"]
    sound = duplicates.empty and unhashed.empty and repeated.empty and not problems
    return Finding(
        sound and len(tracks) > 0,
        {
            "tracks": len(tracks),
            "unread_data_sets": [f"{one['dataset']}: {one['problem']}" for one in problems],
            "same_audio": duplicates["track_id"].head(EXAMPLES).tolist(),
            "without_hash": unhashed["track_id"].head(EXAMPLES).tolist(),
            "repeated_ids": repeated["track_id"].head(EXAMPLES).tolist(),
        },
    )


def _stale_targets(
    path: Any, version: str, windows: dict[str, float], sources: dict[str, str]
) -> str | None:
    """Return why the stored targets do not match `sources`, or None if they do."""
    if not sources:
        return None
    stored: dict[str, Any] = {}
    with contextlib.suppress(StoreError):
        stored = read_json(path)
    if stored.get("version") != version:
        return "missing or of another version"
    if not windows_serve(stored["windows"], windows):
        return "other windows than the encoder's"
    return None if stored["sources"] == sources else "a file has changed"


def outdated_tables(layout: Layout) -> str | None:
    """Return why earlier tables no longer match the track table, or None if they do.

    This detects removed tracks, changed metadata, and tracks computed since. The runs that
    compute embeddings and targets report all other changes of these.
    """
    tracks = read_table(layout.tracks).set_index("track_id")
    for path in (layout.matrix_rows, layout.proxy_targets):
        if not path.exists():
            continue
        built = read_table(path).set_index("track_id")
        gone = built.index.difference(tracks.index)
        if len(gone):
            return f"{path.name} holds {len(gone)} removed tracks, such as {gone[0]!r}"
        made = layout.embedding_sidecar if path == layout.matrix_rows else layout.track_targets
        for track_id, row in tracks.drop(index=built.index).iterrows():
            if made(str(row["dataset"]), str(track_id)).exists():
                return f"{path.name} lacks {track_id!r}, which has been computed since"
        facts = [name for name in built.columns if name in tracks.columns]
        if not built[facts].astype("str").equals(tracks.loc[built.index, facts].astype("str")):
            return f"{path.name} was built with other metadata"
    return None


def _sources(row: dict[str, Any]) -> dict[str, str]:
    """Return the hashes of a track's files, "unreadable" where there is none."""
    sources = {}
    if isinstance(row["audio_path"], str):
        known = row["audio_sha256"]
        sources["audio"] = known if isinstance(known, str) else "unreadable"
    if isinstance(row["midi_path"], str):
        # MIDI files are small: hashing them here saves a column and detects every change.
        try:
            sources["midi"] = file_sha256(row["midi_path"])
        except AudioError:  # removed since the scan: computing it records the failure
            sources["midi"] = "unreadable"
    return sources
