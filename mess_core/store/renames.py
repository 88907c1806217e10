"""A renamed file keeps what was computed from it.

Renames are told by content: a track id that is gone and one that is new whose audio has the
same SHA-256. Where several tracks share their audio no pair is certain, and none is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mess_core.errors import StoreError
from mess_core.store.arrays import write_bytes
from mess_core.store.embeddings import EmbeddingStore
from mess_core.store.layout import Layout
from mess_core.store.tables import read_json, write_json

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["find_renames", "follow_renames"]

Place = tuple[str, str]
"""Data set and track id."""


def find_renames(before: pd.DataFrame, after: pd.DataFrame) -> list[tuple[Place, Place]]:
    """Pairs of places, old and new, of the same audio.

    A place is old if its audio is not there any more, and new if it was not there before: so
    names that were passed on or swapped are renames, too.

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
    gone = _by_audio({place: audio for place, audio in old.items() if new.get(place) != audio})
    came = _by_audio({place: audio for place, audio in new.items() if old.get(place) != audio})
    return [
        (places[0], came[audio][0])
        for audio, places in gone.items()
        if len(places) == 1 and len(came.get(audio, [])) == 1
    ]


def follow_renames(layout: Layout, renames: Sequence[tuple[Place, Place]]) -> None:
    """Move embeddings (the control's too) and targets of all renamed tracks to their new names.

    Where a new name is another's old one, all go by way of names that no track has.
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


def _follow(layout: Layout, old: Place, new: Place) -> None:
    """Move one track.

    What vouches for files (sidecar, record) is removed before them and written after them, at
    both places, so a stop in between leaves complete tracks only.
    """
    for place in (layout, layout.control):
        sidecar = EmbeddingStore(place).sidecar(*old)
        if sidecar is None:
            continue
        kinds = list(sidecar["shapes"])
        place.embedding_sidecar(*new).unlink(missing_ok=True)
        for kind in kinds:
            _copy(place.embedding(kind, *old), place.embedding(kind, *new))
        write_json(place.embedding_sidecar(*new), {**sidecar, "track_id": new[1]})
        place.embedding_sidecar(*old).unlink(missing_ok=True)
        for kind in kinds:
            place.embedding(kind, *old).unlink(missing_ok=True)
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


def _audio(tracks: pd.DataFrame) -> dict[Place, str]:
    hashed = tracks.dropna(subset=["audio_sha256"])
    columns = (hashed[name] for name in ("dataset", "track_id", "audio_sha256"))
    return {
        (str(dataset), str(track)): str(audio)
        for dataset, track, audio in zip(*columns, strict=True)
    }


def _by_audio(places: dict[Place, str]) -> dict[str, list[Place]]:
    found: dict[str, list[Place]] = {}
    for place, audio in places.items():
        found.setdefault(audio, []).append(place)
    return found


def _copy(source: Any, target: Any) -> None:
    if source.exists():
        write_bytes(target, source.read_bytes())
