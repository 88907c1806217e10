"""Follow renamed files, so that their embeddings and targets are not computed again.

A rename is identified by content: a track id that has disappeared and a new one whose
audio has the same SHA-256. If several tracks share their audio, no pair is certain, and
none is returned.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mess_core.errors import StoreError
from mess_core.store.arrays import write_bytes
from mess_core.store.embeddings import EmbeddingStore
from mess_core.store.layout import Layout
from mess_core.store.stored_encoders import stored_encoders
from mess_core.store.tables import read_json, write_json

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["find_renames", "follow_renames"]

TrackKey = tuple[str, str]
"""Data set and track id."""


def find_renames(before: pd.DataFrame, after: pd.DataFrame) -> list[tuple[TrackKey, TrackKey]]:
    """Return pairs of old and new keys (data set, track id) with the same audio.

    A key is old if its audio is no longer there, and new if its audio was not there before.
    Names that were reassigned or swapped are therefore renames, too.

    Parameters
    ----------
    before, after : DataFrame
        Track tables.

    Returns
    -------
    list of ((str, str), (str, str))
        Data set and track id each, in the order of `before`.
    """
    old, new = _audio(before), _audio(after)
    gone = _by_audio({key: audio for key, audio in old.items() if new.get(key) != audio})
    came = _by_audio({key: audio for key, audio in new.items() if old.get(key) != audio})
    return [
        (keys[0], came[audio][0])
        for audio, keys in gone.items()
        if len(keys) == 1 and len(came.get(audio, [])) == 1
    ]


def follow_renames(layout: Layout, renames: Sequence[tuple[TrackKey, TrackKey]]) -> None:
    """Move embeddings of all encoders, and targets, of all renamed tracks to their new names.

    If a new name is also the old name of another track, all tracks are moved by way of
    temporary names that no track has.
    """
    passed_on = {old for old, _ in renames} & {new for _, new in renames}
    if not passed_on:
        for old, new in renames:
            _follow(layout, old, new)
        return
    halfway = [(new[0], f"renaming {number}") for number, (_, new) in enumerate(renames)]
    for (old, _), between in zip(renames, halfway, strict=True):
        _follow(layout, old, between)
    for (_, new), between in zip(renames, halfway, strict=True):
        _follow(layout, between, new)


def _follow(layout: Layout, old: TrackKey, new: TrackKey) -> None:
    """Move one track: embeddings, transcribed notes, targets.

    Sidecars and records, which validate the other files, are deleted before these and written
    after them, at both names, so that an interruption leaves only complete tracks.
    """
    own = [layout.of(encoder) for encoder in stored_encoders(layout)]
    for branch in [*own, *(one.control for one in own)]:
        sidecar = EmbeddingStore(branch).sidecar(*old)
        if sidecar is None:
            continue
        kinds = list(sidecar["shapes"])
        branch.embedding_sidecar(*new).unlink(missing_ok=True)
        for kind in kinds:
            _copy(branch.embedding(kind, *old), branch.embedding(kind, *new))
        write_json(branch.embedding_sidecar(*new), {**sidecar, "track_id": new[1]})
        branch.embedding_sidecar(*old).unlink(missing_ok=True)
        for kind in kinds:
            branch.embedding(kind, *old).unlink(missing_ok=True)
    with contextlib.suppress(StoreError):  # none has been made
        record = read_json(layout.transcription_record(*old))
        layout.transcription_record(*new).unlink(missing_ok=True)
        _copy(layout.transcription(*old), layout.transcription(*new))
        write_json(layout.transcription_record(*new), {**record, "track_id": new[1]})
        layout.transcription_record(*old).unlink(missing_ok=True)
        layout.transcription(*old).unlink(missing_ok=True)
    try:
        record = read_json(layout.track_targets(*old))
    except StoreError:
        return
    tables = [(layout.segment_targets(*old), layout.segment_targets(*new))]
    tables.append((layout.curves(*old), layout.curves(*new)))
    layout.track_targets(*new).unlink(missing_ok=True)
    for source, target in tables:
        _copy(source, target)
    write_json(layout.track_targets(*new), {**record, "track_id": new[1]})
    layout.track_targets(*old).unlink(missing_ok=True)
    for source, _ in tables:
        source.unlink(missing_ok=True)


def _audio(tracks: pd.DataFrame) -> dict[TrackKey, str]:
    hashed = tracks.dropna(subset=["audio_sha256"])
    columns = (hashed[name] for name in ("dataset", "track_id", "audio_sha256"))
    return {
        (str(dataset), str(track)): str(audio)
        for dataset, track, audio in zip(*columns, strict=True)
    }


def _by_audio(tracks: dict[TrackKey, str]) -> dict[str, list[TrackKey]]:
    found: dict[str, list[TrackKey]] = {}
    for key, audio in tracks.items():
        found.setdefault(audio, []).append(key)
    return found


def _copy(source: Any, target: Any) -> None:
    if source.exists():
        write_bytes(target, source.read_bytes())
