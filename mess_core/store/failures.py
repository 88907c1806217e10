"""Records of failures: one small JSON file for each failed track and stage.

A record is written when a track fails and deleted when it succeeds, so the folder always
describes the present state. ``cause`` contains everything that determines the failure
(file hashes, encoder, versions): while it is unchanged, there is no point in trying
again. A failure that may not recur with the same input (memory, disk, network, a device)
is retried up to `MAX_ATTEMPTS` attempts in total, and then waits for a change like the
others.
"""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from mess_core.errors import MessError, StoreError
from mess_core.store.layout import Layout
from mess_core.store.tables import read_json, write_json

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "MAX_ATTEMPTS",
    "clear_failure",
    "clear_failures",
    "failures_table",
    "is_transient",
    "record_failure",
    "settled_cause",
]

COLUMNS = [
    "track_id", "dataset", "stage", "encoder", "error", "problem", "path", "remedy", "transient",
    "attempts", "cause", "at",
]  # fmt: skip

MAX_ATTEMPTS = 3
"""Number of attempts at a track with a transient failure while its cause is unchanged."""


def record_failure(
    layout: Layout,
    stage: str,
    dataset: str,
    track_id: str,
    error: Exception,
    *,
    cause: Mapping[str, Any],
) -> dict[str, Any]:
    """Record why `stage` failed for a track, and return the record.

    Parameters
    ----------
    layout : Layout
    stage, dataset, track_id : str
    error : Exception
    cause : mapping
        File hashes, encoder settings and versions that determine the failure.
    """
    before: dict[str, Any] = {}
    with contextlib.suppress(StoreError):  # the first failure, or a damaged record
        before = read_json(layout.failure(stage, track_id))
    again = before.get("cause") == dict(cause)
    if isinstance(error, MessError):
        remedy = error.remedy
    elif is_transient(error):
        remedy = "Check memory, disk and device; the track is tried again after the next scans"
    else:
        remedy = "This looks like a bug in MESS: please report it"
    record = {
        "track_id": track_id,
        "dataset": dataset,
        "stage": stage,
        "error": type(error).__name__,
        "problem": error.problem if isinstance(error, MessError) else repr(error)[:2000],
        "path": error.path if isinstance(error, MessError) else None,
        "remedy": remedy,
        "transient": is_transient(error),
        "attempts": 1 + (int(before.get("attempts", 1)) if again else 0),
        "cause": dict(cause),
        "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    write_json(layout.failure(stage, track_id), record)
    return record


def is_transient(error: Exception) -> bool:
    """Return whether the same input may succeed another time (memory, disk, network, a device).

    A `MessError` states this itself. Of all other errors, those of the system and of torch
    (``RuntimeError``) count as transient; a ``ValueError`` and the like do not.
    """
    if isinstance(error, MessError):
        return error.transient
    return isinstance(error, MemoryError | OSError | RuntimeError)


def settled_cause(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the cause of a failure that is not retried while it is unchanged, or else {}."""
    if not isinstance(record["cause"], dict):
        return {}
    if record["transient"] and record["attempts"] < MAX_ATTEMPTS:
        return {}
    return record["cause"]


def clear_failure(layout: Layout, stage: str, track_id: str) -> None:
    """Delete the failure record of a track that has succeeded."""
    layout.failure(stage, track_id).unlink(missing_ok=True)


def clear_failures(layout: Layout, track_ids: Collection[str]) -> None:
    """Delete all failure records of these tracks, those of every encoder included."""
    table = failures_table(layout.of(None))
    for row in table[table["track_id"].isin(list(track_ids))].itertuples():
        clear_failure(layout.of(row.encoder), str(row.stage), str(row.track_id))


def failures_table(layout: Layout) -> pd.DataFrame:
    """Return all present failures, one row per track, stage and encoder, sorted by these.

    Parameters
    ----------
    layout : Layout
        If it is of an encoder, failures of embeddings with other encoders are left out.
    """
    import pandas as pd

    rows = []
    if layout.failures.exists():
        for stage in sorted(one for one in layout.failures.iterdir() if one.is_dir()):
            folders: dict[str | None, Any] = {None: stage}
            if stage.name == "embeddings":
                folders |= {one.name: one for one in sorted(stage.iterdir()) if one.is_dir()}
            for encoder, folder in folders.items():
                if encoder is not None and layout.encoder not in {None, encoder}:
                    continue
                for file in sorted(folder.glob("*.json")):
                    # Another process may have deleted it since it was listed.
                    with contextlib.suppress(StoreError):
                        defaults = {"transient": False, "attempts": 1, "encoder": encoder}
                        rows.append({**defaults, **read_json(file)})
    table = pd.DataFrame(rows, columns=COLUMNS)
    table["encoder"] = table["encoder"].astype("object").where(table["encoder"].notna(), None)
    return table.sort_values(["track_id", "stage"], ignore_index=True, kind="stable")
