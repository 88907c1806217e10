"""Works that an encoder was trained on, recognised by their notes.

A score on music that the encoder was trained on is not a score. Titles are spelt in many ways and
may be missing, so each work is also known by a sketch of its notes: of all runs of seven highest
notes (one per chord), those whose hash is divisible by 8. Two performances of one work share many,
two works hardly any. The fixed sampling of hashes follows Broder (1997), "On the resemblance and
containment of documents".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray

from mess_core.audio import file_sha256
from mess_core.encoders.piano import WORKS
from mess_core.errors import MessError
from mess_core.midi.performance import Performance, read_performance
from mess_core.store.cache import CachedTable, fingerprint
from mess_core.store.tables import read_table, write_table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["HeardWorks", "heard_tracks", "join_by_notes", "note_sketch", "note_sketches"]

_IDENTIFYING = ["track_id", "work_id", "midi_path", "audio_sha256"]
_RUN = 7
_KEPT = np.uint64(8)
_FEWEST, _SHARE = 6, 0.06  # of performances of many pages, by which chance is rare
_FEWEST_OF_EXCERPT, _SHARE_OF_EXCERPT = 3, 0.5

Sketch = NDArray[np.uint64]


def note_sketch(performance: Performance) -> Sketch:
    """Sketch of the notes of a performance.

    Parameters
    ----------
    performance : Performance

    Returns
    -------
    ndarray, uint64, shape [any]
        Sorted, each once. Independent of tempo, dynamics and pedal; a transposed piece is another.

    Examples
    --------
    >>> import numpy as np
    >>> from mess_core.midi.performance import Performance
    >>> onset = np.arange(400) * 0.25
    >>> pitch = np.random.default_rng(0).integers(40, 80, 400)
    >>> velocity, pedal = np.full(400, 64), np.empty((0, 2))
    >>> one = Performance(onset, onset + 0.2, pitch, velocity, pedal)
    >>> slow = Performance(2 * onset, 2 * onset + 0.2, pitch, velocity // 2, pedal)
    >>> np.array_equal(note_sketch(one), note_sketch(slow))
    True
    """
    chord = performance.chord_of_note
    top = np.full(int(chord.max()) + 1 if len(chord) else 0, -1, dtype=np.int64)
    np.maximum.at(top, chord, performance.pitch)
    if len(top) < _RUN:
        return np.empty(0, dtype=np.uint64)
    runs = np.lib.stride_tricks.sliding_window_view(top, _RUN)
    steps = np.diff(runs, axis=1)
    distinct = 1 + (np.diff(np.sort(runs, axis=1), axis=1) > 0).sum(axis=1)
    # Trills and scales are in every work.
    runs = runs[(distinct > 3) & (steps > 0).any(axis=1) & (steps < 0).any(axis=1)]
    weights = np.uint64(128) ** np.arange(_RUN, dtype=np.uint64)
    mixed = (runs.astype(np.uint64) * weights).sum(axis=1)
    # The finaliser of splitmix64: neighbouring runs get unrelated hashes.
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return np.unique(mixed[mixed % _KEPT == 0])


def note_sketches(
    paths: Sequence[str], *, workers: int = 2
) -> tuple[dict[str, Sketch], dict[str, str]]:
    """Sketches of MIDI files, read in several processes.

    Parameters
    ----------
    paths : sequence of str
    workers : int

    Returns
    -------
    sketches : dict
        Path to sketch, in the order of `paths`.
    problems : dict
        Path to why the file cannot be read.
    """
    found = dict(
        zip(paths, Parallel(n_jobs=workers)(delayed(_read)(path) for path in paths), strict=True)
    )
    return (
        {path: one for path, one in found.items() if not isinstance(one, str)},
        {path: one for path, one in found.items() if isinstance(one, str)},
    )


def _read(path: str) -> Sketch | str:
    try:
        return note_sketch(read_performance(path))
    except MessError as error:
        return str(error)


def join_by_notes(sketches: Sequence[Sketch], names: Sequence[str]) -> list[str]:
    """Name of the work of each performance, joined by title and by notes.

    Parameters
    ----------
    sketches : sequence of ndarray
    names : sequence of str
        Works by title.

    Returns
    -------
    list of str
        Performances that share a title or notes get one name: the first of theirs in order.

    Examples
    --------
    >>> import numpy as np
    >>> a, b = np.arange(100, dtype=np.uint64), np.arange(500, 600, dtype=np.uint64)
    >>> join_by_notes([a, b, a], ["sonata", "waltz", "Sonata in C"])
    ['sonata', 'waltz', 'sonata']
    """
    from scipy.sparse.csgraph import connected_components

    _, title = np.unique(np.asarray(names), return_inverse=True)
    links = title[:, None] == title[None, :]
    shared = _shared(sketches, sketches)
    sizes = np.array([len(one) for one in sketches])
    links |= _same(shared, np.minimum(sizes[:, None], sizes[None, :]))
    _, group = connected_components(links, directed=False)
    first = {int(one): position for position, one in reversed(list(enumerate(group)))}
    return [names[first[int(one)]] for one in group]


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
        See `note_sketch`.

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
        shared = _shared(sketches, self.sketches)
        own = np.array([len(one) for one in sketches])
        theirs = np.array([len(one) for one in self.sketches])
        same = _same(shared, np.minimum(own[:, None], theirs[None, :]))
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
        nothing = np.empty(0, dtype=np.uint64)
        notes = [sketches.get(path, nothing) for path in tracks["midi_path"]]
        found = HeardWorks.load(folder / WORKS).find(notes, tracks["work_id"].tolist())
        table = pd.DataFrame({"track_id": tracks["track_id"], "work": found}).dropna()
        cached.save(made_from, table)
    return dict(zip(table["track_id"], table["work"], strict=True))


def _same(shared: NDArray[np.int64], smaller: NDArray[np.int64]) -> NDArray[np.bool_]:
    long = (shared >= _FEWEST) & (shared >= _SHARE * smaller)
    return long | ((shared >= _FEWEST_OF_EXCERPT) & (shared >= _SHARE_OF_EXCERPT * smaller))


def _shared(rows: Sequence[Sketch], columns: Sequence[Sketch]) -> NDArray[np.int64]:
    """Number of hashes that each row shares with each column."""
    if not rows or not columns:
        return np.zeros((len(rows), len(columns)), dtype=np.int64)
    vocabulary = np.unique(np.concatenate([*rows, *columns]))
    left, right = _incidence(rows, vocabulary), _incidence(columns, vocabulary)
    counts: NDArray[np.int64] = (left @ right.T).toarray().astype(np.int64)
    return counts


def _incidence(sketches: Iterable[Sketch], vocabulary: Sketch) -> Any:
    from scipy.sparse import csr_matrix

    sketches = list(sketches)
    columns = np.concatenate([np.searchsorted(vocabulary, one) for one in sketches])
    rows = np.repeat(np.arange(len(sketches)), [len(one) for one in sketches])
    ones = np.ones(len(rows), dtype=np.int32)
    return csr_matrix((ones, (rows, columns)), shape=(len(sketches), len(vocabulary)))
