"""The track table in the store: written from a scan, compared with what was there."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from mess_core.audio import file_sha256
from mess_core.datasets.sources import Source, read_tracks
from mess_core.errors import AudioError, StoreError
from mess_core.store.arrays import remove_stale_parts
from mess_core.store.embeddings import EmbeddingStore
from mess_core.store.failures import clear_failure, failures_table
from mess_core.store.layout import Layout, escape_track_id
from mess_core.store.tables import read_json, read_table, write_json, write_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

__all__ = ["pending_tracks", "refresh_tracks", "tracks_of"]


def refresh_tracks(
    layout: Layout, sources: Sequence[Source]
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Scan the sources and write the track table and its report.

    Returns
    -------
    tracks : DataFrame
    report : dict
        As from `read_tracks`, with ``added``, ``removed`` and ``changed`` track ids since
        the last table.

    Raises
    ------
    DatasetError, StoreError
    """
    known = read_table(layout.audio_hashes) if layout.audio_hashes.exists() else None
    before = read_table(layout.tracks) if layout.tracks.exists() else None
    tracks, report, hashes = read_tracks(sources, known_hashes=known)
    old = (
        {} if before is None else dict(zip(before["track_id"], before["audio_sha256"], strict=True))
    )
    new = dict(zip(tracks["track_id"], tracks["audio_sha256"], strict=True))
    report["added"] = sorted(set(new) - set(old))
    report["removed"] = sorted(set(old) - set(new))
    report["changed"] = sorted(
        track_id for track_id in set(new) & set(old) if str(new[track_id]) != str(old[track_id])
    )
    for stage in ("embeddings", "track_targets"):
        for track_id in report["removed"]:
            clear_failure(layout, stage, track_id)
    for folder in ("embeddings", "proxy_targets", "indices", "metadata"):
        remove_stale_parts(layout.root / folder)
    write_table(layout.audio_hashes, hashes)
    write_json(layout.tracks_report, report)
    write_table(layout.tracks, tracks)
    return tracks, report


def tracks_of(layout: Layout, keys: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
    """Rows of the track table for partition keys, and the keys that it does not have."""
    tracks = read_table(layout.tracks)
    by_key = {
        escape_track_id(str(track_id)): row for row, track_id in enumerate(tracks["track_id"])
    }
    missing = [key for key in keys if key not in by_key]
    return tracks.iloc[[by_key[key] for key in keys if key in by_key]], missing


def pending_tracks(
    layout: Layout, *, wanted: dict[str, Any], targets_version: str
) -> dict[str, str]:
    """Tracks that lack an embedding or targets as they would be made now, with the reason.

    Judged by the hashes in the track table and without opening audio. A file that failed is
    left out as long as it is the same and the definitions are.

    Parameters
    ----------
    layout : Layout
    wanted : dict
        Identity of the encoder.
    targets_version : str

    Returns
    -------
    dict
        Track id to reason, in the order of the table.
    """
    failed = {
        (row["track_id"], row["stage"]): str(row["cause"])
        for row in failures_table(layout).to_dict("records")
    }
    store = EmbeddingStore(layout)
    pending: dict[str, str] = {}
    for row in read_table(layout.tracks).to_dict("records"):
        track_id, dataset = str(row["track_id"]), str(row["dataset"])
        sha256 = row["audio_sha256"] if isinstance(row["audio_sha256"], str) else None
        if sha256 is not None and sha256 not in failed.get((track_id, "embeddings"), ""):
            stale = store.staleness(dataset, track_id, wanted=wanted, audio_sha256=sha256)
            if stale is not None:
                pending[track_id] = f"embedding: {stale}"
                continue
        # MIDI files are small: hashing them here saves a column and notices every change.
        midi_path = row["midi_path"] if isinstance(row["midi_path"], str) else None
        midi = None
        if midi_path is not None:
            try:
                midi = file_sha256(midi_path)
            except AudioError:  # gone since the scan: computing it records the failure
                midi = "unreadable"
        cause = failed.get((track_id, "track_targets"), "")
        present = {"audio": sha256, "midi": midi}
        wanted_sources = {
            source: digest
            for source, digest in present.items()
            if digest is not None and digest not in cause
        }
        place = layout.track_targets(dataset, track_id)
        if not wanted_sources:
            continue
        stored: dict[str, Any] = {}
        with contextlib.suppress(StoreError):
            stored = read_json(place)
        if stored.get("version") != targets_version:
            pending[track_id] = "targets: missing or of another version"
        elif stored["sources"] != wanted_sources:
            pending[track_id] = "targets: a file has changed"
    return pending
