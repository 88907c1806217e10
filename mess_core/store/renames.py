"""A renamed file keeps what was computed from it.

Renames are told by content: a track id that is gone and one that is new whose audio has the
same SHA-256. Where several tracks share their audio no pair is certain, and none is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mess_core.errors import StoreError
from mess_core.store.arrays import write_bytes
from mess_core.store.embeddings import EmbeddingStore
from mess_core.store.layout import Layout
from mess_core.store.tables import read_json, write_json

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["find_renames", "follow_rename"]


def find_renames(before: pd.DataFrame, after: pd.DataFrame) -> list[tuple[str, str]]:
    """Pairs of track ids, old and new, that name the same audio.

    Parameters
    ----------
    before, after : DataFrame
        Track tables.

    Returns
    -------
    list of (str, str)
        In the order of `before`.
    """
    gone = _by_audio(before, set(before["track_id"]) - set(after["track_id"]))
    new = _by_audio(after, set(after["track_id"]) - set(before["track_id"]))
    return [
        (old[0], new[audio][0])
        for audio, old in gone.items()
        if len(old) == 1 and len(new.get(audio, [])) == 1
    ]


def follow_rename(layout: Layout, old: tuple[str, str], new: tuple[str, str]) -> list[str]:
    """Move a track's embeddings (the control's too) and targets to its new name.

    The new sidecar or record is written after the files that it vouches for, and the old one
    is removed first of the old files, so a stop in between leaves complete tracks only.

    Parameters
    ----------
    layout : Layout
    old, new : (str, str)
        Data set and track id.

    Returns
    -------
    list of str
        What was moved: "embeddings", "control", "track_targets".
    """
    moved = []
    for name, place in (("embeddings", layout), ("control", layout.control)):
        sidecar = EmbeddingStore(place).sidecar(*old)
        if sidecar is None:
            continue
        kinds = list(sidecar["shapes"])
        for kind in kinds:
            _copy(place.embedding(kind, *old), place.embedding(kind, *new))
        write_json(place.embedding_sidecar(*new), {**sidecar, "track_id": new[1]})
        place.embedding_sidecar(*old).unlink(missing_ok=True)
        for kind in kinds:
            place.embedding(kind, *old).unlink(missing_ok=True)
        moved.append(name)
    try:
        record = read_json(layout.track_targets(*old))
    except StoreError:
        return moved
    tables = [(layout.segment_targets(*old), layout.segment_targets(*new))]
    tables.append((layout.curves(*old), layout.curves(*new)))
    for source, target in tables:
        _copy(source, target)
    write_json(layout.track_targets(*new), {**record, "track_id": new[1]})
    layout.track_targets(*old).unlink(missing_ok=True)
    for source, _ in tables:
        source.unlink(missing_ok=True)
    return [*moved, "track_targets"]


def _by_audio(tracks: pd.DataFrame, ids: set[str]) -> dict[str, list[str]]:
    chosen = tracks[tracks["track_id"].isin(ids)].dropna(subset=["audio_sha256"])
    found: dict[str, list[str]] = {}
    for track_id, audio in zip(chosen["track_id"], chosen["audio_sha256"], strict=True):
        found.setdefault(str(audio), []).append(str(track_id))
    return found


def _copy(source: Any, target: Any) -> None:
    if source.exists():
        write_bytes(target, source.read_bytes())
