"""Works that an encoder was trained on, recognised by their notes.

A score on music that the encoder was trained on is not a score. Titles are spelt in many ways and
may be missing, so works are also known by sketches of notes (`mess_core.midi.note_sketches`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mess_core.audio import file_sha256
from mess_core.encoders.piano import WORKS
from mess_core.midi.note_sketches import (
    NO_NOTES,
    Sketch,
    note_sketches,
    same_music,
    shared_notes,
)
from mess_core.store.cache import CachedTable, fingerprint
from mess_core.store.tables import read_table, write_table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["HeardWorks", "heard_tracks"]

_IDENTIFYING = ["track_id", "work_id", "midi_path", "audio_sha256"]


@dataclass(frozen=True)
class HeardWorks:
    """Works that an encoder was trained on.

    Attributes
    ----------
    works : tuple of str
        Work of each performance.
    performances : tuple of str
        Track ids or file names.
    use : tuple of str
        "training", or "held out" for works that chose the weights.
    sketches : tuple of ndarray
        See `mess_core.midi.note_sketches.note_sketch`.

    Examples
    --------
    >>> import numpy as np
    >>> notes = np.arange(40, dtype=np.uint64)
    >>> heard = HeardWorks(("chopin:op10",), ("2008/a",), ("training",), (notes,))
    >>> heard.find([notes[5:], notes + 100], ["?", "?"])
    ['chopin:op10', None]
    """

    works: tuple[str, ...]
    performances: tuple[str, ...]
    use: tuple[str, ...]
    sketches: tuple[Sketch, ...]

    def find(self, sketches: Sequence[Sketch], works: Sequence[str]) -> list[str | None]:
        """Return the heard work that each of other performances is of, or None.

        Parameters
        ----------
        sketches : sequence of ndarray
        works : sequence of str
            Works by title; an equal title is a heard work, too.
        """
        shared = shared_notes(sketches, self.sketches)
        own = np.array([len(one) for one in sketches])
        theirs = np.array([len(one) for one in self.sketches])
        same = same_music(shared, np.minimum(own[:, None], theirs[None, :]), cautious=True)
        titles = set(self.works)
        found: list[str | None] = []
        for row, work in enumerate(works):
            hits = np.flatnonzero(same[row])
            by_notes = self.works[int(hits[shared[row, hits].argmax()])] if len(hits) else None
            found.append(work if work in titles else by_notes)
        return found

    def save(self, path: Any) -> None:
        """Write as Parquet: ``work_id, track_id, use, sketch`` (bytes, uint64 little-endian)."""
        import pandas as pd

        write_table(
            path,
            pd.DataFrame(
                {
                    "work_id": self.works,
                    "track_id": self.performances,
                    "use": self.use,
                    "sketch": [one.astype("<u8").tobytes() for one in self.sketches],
                }
            ),
        )

    @classmethod
    def load(cls, path: Any) -> HeardWorks:
        """Read what `save` wrote.

        Raises
        ------
        StoreError
            If the file is missing or damaged.
        """
        table = read_table(path)
        sketches = (np.frombuffer(one, dtype="<u8").astype(np.uint64) for one in table["sketch"])
        return cls(
            tuple(table["work_id"]), tuple(table["track_id"]), tuple(table["use"]), tuple(sketches)
        )


def heard_tracks(tracks: pd.DataFrame, folder: Path, cached: CachedTable) -> dict[str, str]:
    """Return the track ids that are of works that an encoder was trained on, with the work.

    Parameters
    ----------
    tracks : DataFrame
        The track table. MIDI files are read, unless the result is cached.
    folder : Path
        Of the encoder.
    cached : CachedTable

    Raises
    ------
    StoreError
        If the encoder's list of works is damaged.
    """
    import pandas as pd

    made_from = fingerprint(file_sha256(folder / WORKS), tracks[_IDENTIFYING].to_csv())
    if (table := cached.load(made_from)) is None:
        sketches, _ = note_sketches(tracks["midi_path"].dropna().tolist())
        notes = [sketches.get(path, NO_NOTES).in_key for path in tracks["midi_path"]]
        found = HeardWorks.load(folder / WORKS).find(notes, tracks["work_id"].tolist())
        table = pd.DataFrame({"track_id": tracks["track_id"], "work": found}).dropna()
        cached.save(made_from, table)
    return dict(zip(table["track_id"], table["work"], strict=True))
