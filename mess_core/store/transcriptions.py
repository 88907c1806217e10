"""Which tracks of a library have transcribed notes in place of MIDI of their own."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from mess_core.errors import StoreError
from mess_core.store.layout import Layout
from mess_core.store.tables import read_json

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["OWN", "with_transcriptions"]

OWN = "file"
"""Value of ``midi_source`` for MIDI that the data set contains."""


def with_transcriptions(layout: Layout, tracks: pd.DataFrame) -> pd.DataFrame:
    """Return the track table with transcribed notes as the MIDI of tracks that have none.

    Parameters
    ----------
    layout : Layout
    tracks : DataFrame
        The track table, with hashes of the audio.

    Returns
    -------
    DataFrame
        With the column ``midi_source``: "file", the model that transcribed the audio, or missing.
        A transcription of other audio than the present counts as none.
    """
    paths, sources = [], []
    for row in tracks.itertuples():
        path, source = row.midi_path, getattr(row, "midi_source", None)
        if isinstance(source, str) and source != OWN:  # decided again below
            path = None
        source = OWN if isinstance(path, str) else None
        if source is None and isinstance(row.audio_sha256, str):
            names = str(row.dataset), str(row.track_id)
            with contextlib.suppress(StoreError):  # there is none
                record = read_json(layout.transcription_record(*names))
                there = layout.transcription(*names).exists()
                if there and record.get("audio_sha256") == row.audio_sha256:
                    path, source = str(layout.transcription(*names)), str(record["model"])
        paths.append(path)
        sources.append(source)
    return tracks.assign(midi_path=paths, midi_source=sources).astype(
        {"midi_path": "string", "midi_source": "string"}
    )
