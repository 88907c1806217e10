"""Data sets: one module per folder layout, and one track table for all of them."""

from mess_core.datasets.base import (
    Scan,
    Skipped,
    Track,
    track_table,
    validate_track_table,
)
from mess_core.datasets.layouts import scan_source, scanner
from mess_core.datasets.sources import (
    Source,
    configured_sources,
    list_track_ids,
    parse_sources,
    read_tracks,
)
from mess_core.datasets.works import composer_key, leak_safe_groups, work_id

__all__ = [
    "Scan",
    "Skipped",
    "Source",
    "Track",
    "composer_key",
    "configured_sources",
    "leak_safe_groups",
    "list_track_ids",
    "parse_sources",
    "read_tracks",
    "scan_source",
    "scanner",
    "track_table",
    "validate_track_table",
    "work_id",
]
