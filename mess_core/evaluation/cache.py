"""Results beside the fingerprint of what they were made from, so that none is made twice."""

from __future__ import annotations

import contextlib
import hashlib
import json
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mess_core.audio import file_sha256
from mess_core.errors import MessError, StoreError
from mess_core.evaluation.splits import load_split
from mess_core.evaluation.systems import RUNGS
from mess_core.store.embeddings import EmbeddingStore
from mess_core.store.layout import Layout
from mess_core.store.matrix import load_matrix
from mess_core.store.tables import read_json, read_table, write_json, write_table
from mess_core.targets.registry import TARGETS_VERSION

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "EVALUATION_VERSION",
    "answers_table",
    "digest",
    "drop",
    "folder_fingerprint",
    "keep",
    "kept",
    "library_fingerprint",
    "library_of",
]

EVALUATION_VERSION = "2"
"""Version of criteria and ladder together; a change makes everything be computed again."""

_OF_TRACKS = ["track_id", "work_id", "composer", "title", "performer", "audio_sha256"]


def digest(*parts: object) -> str:
    """Hash of texts, numbers and what JSON can hold of other things."""
    everything = [EVALUATION_VERSION, TARGETS_VERSION, str(RUNGS), *parts]
    return hashlib.sha256(json.dumps(everything, default=str, sort_keys=True).encode()).hexdigest()


def library_fingerprint(layout: Layout, by: str) -> str:
    """Hash of everything in a data root that a result depends on.

    Tables, the split, embeddings and their sidecars, and of the tracks that share passages
    the very bytes of their MIDI and segment targets.

    Raises
    ------
    StoreError
        If there is no embedding matrix, track or passage table.
    """
    _, _, manifest = load_matrix(layout)
    parts: list[Any] = [by, manifest["matrix_sha256"], manifest["identity"], "no split"]
    with contextlib.suppress(StoreError):
        parts[-1] = load_split(layout.splits / f"{by}.json").sha256
    tracks, passages = read_table(layout.tracks), read_table(layout.passages)
    parts += [tracks[_OF_TRACKS].to_csv(index=False), passages.to_csv(index=False)]
    if layout.planted_triplets.exists():
        parts.append(read_table(layout.planted_triplets).to_csv(index=False))
    store = EmbeddingStore(layout)
    for row in tracks[tracks["track_id"].isin(passages["track_id"])].itertuples():
        dataset, track = str(row.dataset), str(row.track_id)
        parts += [store.sidecar(dataset, track), _sha256(row.midi_path)]
        parts.append(_sha256(layout.segment_targets(dataset, track)))
    return digest(*parts)


def folder_fingerprint(folder: str | PathLike[str]) -> str:
    """Hash of the names and bytes of a folder's tables and MIDI files."""
    root = Path(folder)
    files = sorted(
        path for kind in ("*.csv", "*.mid", "*.midi") for path in root.rglob(kind) if path.is_file()
    )
    return digest([(path.relative_to(root).as_posix(), _sha256(path)) for path in files])


def answers_table(place: Any) -> Any:
    """Where the answers of a step are kept."""
    return place.with_suffix(".parquet")


def kept(place: Any, stamp: str) -> pd.DataFrame | None:
    """Answers that were made from the same, or None."""
    with contextlib.suppress(StoreError):
        if read_json(place.with_suffix(".json"))["fingerprint"] == stamp:
            return read_table(answers_table(place))
    return None


def keep(place: Any, stamp: str, answers: pd.DataFrame, library: str | None) -> pd.DataFrame:
    """Store answers, their fingerprint and that of the library last, and return them."""
    place.with_suffix(".json").unlink(missing_ok=True)  # never beside another's answers
    write_table(answers_table(place), answers)
    record = {"fingerprint": stamp, "library": library, "rows": len(answers)}
    write_json(place.with_suffix(".json"), record)
    return answers


def library_of(place: Any) -> str | None:
    """The library that kept answers are about; None if they are about none.

    Raises
    ------
    StoreError
        If there are no answers, or of an earlier version.
    """
    record = read_json(place.with_suffix(".json"))
    if "library" not in record:
        raise StoreError(
            "was kept by an earlier version", path=str(place), remedy="Run `mess evaluate` again"
        )
    found: str | None = record["library"]
    return found


def drop(place: Any) -> None:
    """Remove kept answers, their fingerprint first."""
    place.with_suffix(".json").unlink(missing_ok=True)
    answers_table(place).unlink(missing_ok=True)


def _sha256(path: Any) -> str:
    """A file's hash; of one that cannot be read, that it cannot."""
    try:
        return file_sha256(path)
    except MessError:
        return "unreadable"
