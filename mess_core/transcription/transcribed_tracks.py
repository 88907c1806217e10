"""Transcribe the tracks of a library that have no MIDI, and store the notes beside them."""

from __future__ import annotations

import contextlib
import datetime
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

from mess_core.audio import file_sha256
from mess_core.datasets.demo import write_midi
from mess_core.errors import StoreError
from mess_core.midi.performance import Performance
from mess_core.store.arrays import move_into_place, part_file
from mess_core.store.failures import clear_failure, record_failure
from mess_core.store.layout import Layout
from mess_core.store.outcomes import TrackOutcome
from mess_core.store.tables import read_json, write_json

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["transcribe_tracks"]


class Model(Protocol):
    """What finds the notes of a recording, such as `Transcriber`."""

    name: str

    def notes(self, path: str) -> Performance: ...


def transcribe_tracks(tracks: pd.DataFrame, layout: Layout, model: Model) -> Iterator[TrackOutcome]:
    """Transcribe each track that has audio and no MIDI file of its own.

    The notes become ``transcriptions/DATASET/TRACK.mid`` under the data root, with a record of the
    model, its version and the audio's hash beside them; files of the data sets are never written.
    The next scan takes them as the track's MIDI, marked in the column ``midi_source``. A
    transcription of the same audio by the same model is reused.

    Parameters
    ----------
    tracks : DataFrame
        Rows of the track table.
    layout : Layout
    model : Transcriber

    Yields
    ------
    TrackOutcome
        "no audio" for tracks that there is nothing to transcribe for: they have MIDI, or no audio.

    Raises
    ------
    StoreError
        If the data root cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from mess_core.datasets import parse_sources, read_tracks
    >>> from mess_core.datasets.demo import Expression, demo_score, perform
    >>> from mess_core.datasets.synthesis import synthesise
    >>> class Known:
    ...     name = "known 1"
    ...
    ...     def notes(self, path):
    ...         return perform(demo_score(0), Expression(), seed=0)
    >>> import soundfile as sf
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sf.write(f"{folder}/take.wav", synthesise(Known().notes("")), 24_000)
    ...     tracks, _, _ = read_tracks(parse_sources(f"takes={folder}"))
    ...     layout = Layout(f"{folder}/root")
    ...     [one.status for one in transcribe_tracks(tracks, layout, Known())]
    ['done']
    """
    for row in tracks.to_dict("records"):
        yield _transcribe(row, layout, model)


def _transcribe(row: dict[str, Any], layout: Layout, model: Model) -> TrackOutcome:
    began = time.perf_counter()
    track_id, dataset = str(row["track_id"]), str(row["dataset"])
    own = isinstance(row["midi_path"], str) and row.get("midi_source") == "file"
    if own or not isinstance(row["audio_path"], str):
        return TrackOutcome(track_id, dataset, "no audio")
    digest = row.get("audio_sha256")
    record_path = layout.transcription_record(dataset, track_id)
    try:
        digest = digest if isinstance(digest, str) else file_sha256(row["audio_path"])
        with contextlib.suppress(StoreError):  # none yet, or damaged
            known = read_json(record_path)
            same = (known.get("model"), known.get("audio_sha256")) == (model.name, digest)
            if same and layout.transcription(dataset, track_id).exists():
                return TrackOutcome(track_id, dataset, "fresh", {"notes": known["notes"]})
        found = model.notes(row["audio_path"])
        notes = len(found.onset_s)
        path = layout.transcription(dataset, track_id)
        record_path.unlink(missing_ok=True)
        with part_file(path) as part:
            write_midi(found, part)
            move_into_place(part, path)
    except Exception as error:  # any error of a library fails this track only
        cause = {"audio": digest, "model": model.name}
        failure = record_failure(layout, "transcription", dataset, track_id, error, cause=cause)
        return TrackOutcome(track_id, dataset, "failed", failure)
    write_json(
        record_path,
        {
            "track_id": track_id,
            "model": model.name,
            "audio_sha256": digest,
            "midi_sha256": file_sha256(path),
            "notes": notes,
            "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        },
    )
    clear_failure(layout, "transcription", track_id)
    facts = {"notes": notes, "seconds": time.perf_counter() - began}
    return TrackOutcome(track_id, dataset, "done", facts)
