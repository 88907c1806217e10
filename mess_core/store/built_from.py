"""What tables, probing and indices were made from, so that nothing is made again from the same."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import mess_core
from mess_core.errors import StoreError
from mess_core.store.layout import Layout
from mess_core.store.tables import read_json, write_json

__all__ = ["is_current", "made_from", "record_built"]

_IGNORED = {"MESS_DATA_ROOT", "MESS_DATASETS", "MESS_DEVICE", "MESS_LOCKS", "MESS_WORKERS"}
"""Settings that change no result."""

_PER_TRACK = {"embeddings", "track_targets", "transcription"}


def made_from(layout: Layout) -> str:
    """Return a hash of everything that the library-wide results of an encoder are made from.

    The track table and its corrections, what is stored per track (by size and time of change), the
    settings in the environment, and the code.

    Parameters
    ----------
    layout : Layout
        Of an encoder.

    Examples
    --------
    >>> layout = Layout("memory://nothing-yet", "none")
    >>> made_from(layout) == made_from(layout)
    True
    """
    digest = hashlib.sha256(_code().encode())
    for name, value in sorted(os.environ.items()):
        if name.startswith("MESS_") and name not in _IGNORED:
            digest.update(f"{name}={value}\n".encode())
    for path in (layout.tracks, layout.work_overrides):
        digest.update(path.read_bytes() if path.exists() else b"-")
    for line in _stored(layout):
        digest.update(line.encode())
    return digest.hexdigest()


def record_built(layout: Layout, made: str) -> None:
    """Record what the library-wide results were made from: `made_from` before they were."""
    results = [str(path) for path in _results(layout) if path.exists()]
    write_json(layout.built_from, {"made_from": made, "results": results})


def is_current(layout: Layout) -> bool:
    """Return whether the library-wide results were made from what is there now, and are there."""
    try:
        record = read_json(layout.built_from)
    except StoreError:  # never built, or damaged
        return False
    there = {str(path) for path in _results(layout) if path.exists()}
    return record.get("made_from") == made_from(layout) and set(record["results"]) <= there


def _results(layout: Layout) -> list[Any]:
    versions = [
        layout.indices / name / path.read_text().strip() / file
        for name in ("track", "passage")
        if (path := layout.indices / name / "latest").exists()
        for file in ("manifest.json", "index.faiss", "rows.parquet")
    ]
    return [
        *versions,
        layout.proxy_targets,
        layout.proxy_targets_manifest,
        layout.matrix,
        layout.matrix_rows,
        layout.matrix_manifest,
        layout.probing / "results.json",
        layout.probing / "aspects.json",
        layout.indices / "track" / "latest",
        layout.indices / "passage" / "latest",
    ]


def _stored(layout: Layout) -> Iterator[str]:
    folders = [
        *(one / "sidecars" for one in _folders(layout.embeddings) if one.name.endswith("-emb")),
        # Not what the build itself writes: alignments follow from the hashes in the records.
        *(one for one in _folders(layout.root / "proxy_targets") if one.name != "aligned"),
        *(one for one in _folders(layout.failures) if one.name in _PER_TRACK),
    ]
    for folder in sorted(folders, key=str):
        for path in sorted(folder.glob("*.json"), key=str):
            status = path.stat()
            changed = getattr(status, "st_mtime_ns", None) or status.st_mtime
            yield f"{folder.name}/{path.name} {status.st_size} {changed}\n"


def _folders(path: Any) -> list[Any]:
    return [one for one in path.iterdir() if one.is_dir()] if path.exists() else []


@cache
def _code() -> str:
    """Return a hash of the package's source: whatever it changes may change a result."""
    root = Path(mess_core.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()
