"""Fingerprints of the inputs that evaluation results depend on: a library, a folder."""

from __future__ import annotations

import contextlib
from os import PathLike
from pathlib import Path
from typing import Any

from mess_core.audio import file_sha256
from mess_core.errors import MessError, StoreError
from mess_core.evaluation.splits import load_split
from mess_core.evaluation.systems import MODELS
from mess_core.store.cache import fingerprint
from mess_core.store.embeddings import EmbeddingStore
from mess_core.store.layout import Layout
from mess_core.store.matrix import load_matrix
from mess_core.store.tables import read_table
from mess_core.targets.registry import TARGETS_VERSION

__all__ = ["EVALUATION_VERSION", "folder_fingerprint", "library_fingerprint"]

EVALUATION_VERSION = "5"
"""Version of the criteria and models; changing it invalidates all cached results."""

_TRACK_COLUMNS = ["track_id", "work_id", "composer", "title", "performer", "audio_sha256"]


def library_fingerprint(layout: Layout, by: str) -> str:
    """Return a hash of everything in a data root that evaluation results depend on.

    It covers the tables, the split, the embeddings and their sidecars, and the bytes of the MIDI
    files and segment targets of all tracks that have passages.

    Parameters
    ----------
    layout : Layout
    by : {"work", "performer", "both", "recording"}
        The split that is evaluated on.

    Raises
    ------
    StoreError
        If there is no embedding matrix, track or passage table.
    """
    _, _, manifest = load_matrix(layout)
    parts: list[Any] = [EVALUATION_VERSION, TARGETS_VERSION, str(MODELS)]
    parts += [by, manifest["matrix_sha256"], manifest["identity"]]
    with contextlib.suppress(StoreError):
        parts.append(load_split(layout.splits / f"{by}.json").sha256)
    tracks, passages = read_table(layout.tracks), read_table(layout.passages)
    parts += [tracks[_TRACK_COLUMNS].to_csv(index=False), passages.to_csv(index=False)]
    if layout.single_factor_triplets.exists():
        parts.append(read_table(layout.single_factor_triplets).to_csv(index=False))
    store = EmbeddingStore(layout)
    for row in tracks[tracks["track_id"].isin(passages["track_id"])].itertuples():
        dataset, track = str(row.dataset), str(row.track_id)
        parts += [store.sidecar(dataset, track), _sha256(row.midi_path)]
        parts.append(_sha256(layout.segment_targets(dataset, track)))
    return fingerprint(*parts)


def folder_fingerprint(folder: str | PathLike[str]) -> str:
    """Return a hash of the names and bytes of a folder's CSV and MIDI files."""
    root = Path(folder)
    files = sorted(
        path for kind in ("*.csv", "*.mid", "*.midi") for path in root.rglob(kind) if path.is_file()
    )
    named = [(path.relative_to(root).as_posix(), _sha256(path)) for path in files]
    return fingerprint(EVALUATION_VERSION, TARGETS_VERSION, str(MODELS), named)


def _sha256(path: Any) -> str:
    """Return a file's hash, or "unreadable" if it cannot be read."""
    try:
        return file_sha256(path)
    except MessError:
        return "unreadable"
