"""Sketches of notes: which performances are of the same music, whatever they are called.

Of all runs of seven highest notes (one per chord), a sketch keeps those whose hash is divisible by
8. Two performances of one work share many, two works hardly any. The fixed sampling of hashes
follows Broder (1997), "On the resemblance and containment of documents".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray

from mess_core.errors import MessError
from mess_core.midi.performance import Performance
from mess_core.midi.reading import read_performance

__all__ = [
    "Sketch",
    "incidence",
    "join_by_notes",
    "note_runs",
    "note_sketch",
    "note_sketches",
    "same_music",
    "shared_notes",
]

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
    hashes, _ = note_runs(performance)
    return np.unique(hashes[hashes % _KEPT == 0])


def note_runs(performance: Performance) -> tuple[Sketch, NDArray[np.float64]]:
    """Return the hash of every run of seven highest notes, and when it begins.

    Trills, scales and other runs that every piece has are left out.

    Parameters
    ----------
    performance : Performance

    Returns
    -------
    hashes : ndarray, uint64, shape [runs]
        In the order of time.
    onset_s : ndarray, float64, shape [runs]
    """
    chord = performance.chord_of_note
    top = np.full(int(chord.max()) + 1 if len(chord) else 0, -1, dtype=np.int64)
    np.maximum.at(top, chord, performance.pitch)
    if len(top) < _RUN:
        return np.empty(0, dtype=np.uint64), np.empty(0)
    runs = np.lib.stride_tricks.sliding_window_view(top, _RUN)
    steps = np.diff(runs, axis=1)
    distinct = 1 + (np.diff(np.sort(runs, axis=1), axis=1) > 0).sum(axis=1)
    telling = (distinct > 3) & (steps > 0).any(axis=1) & (steps < 0).any(axis=1)
    weights = np.uint64(128) ** np.arange(_RUN, dtype=np.uint64)
    mixed = (runs[telling].astype(np.uint64) * weights).sum(axis=1)
    # The finaliser of splitmix64: neighbouring runs get unrelated hashes.
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed, performance.chord_onset_s[: len(runs)][telling]


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
    shared = shared_notes(sketches, sketches)
    sizes = np.array([len(one) for one in sketches])
    links |= same_music(shared, np.minimum(sizes[:, None], sizes[None, :]))
    _, group = connected_components(links, directed=False)
    first = {int(one): position for position, one in reversed(list(enumerate(group)))}
    return [names[first[int(one)]] for one in group]


def same_music(shared: NDArray[np.int64], smaller: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return whether so many hashes in common mean the same music.

    Parameters
    ----------
    shared : ndarray, int64
        Hashes in common, as returned by `shared_notes`.
    smaller : ndarray, int64, same shape
        Hashes of the smaller sketch.
    """
    long = (shared >= _FEWEST) & (shared >= _SHARE * smaller)
    return long | ((shared >= _FEWEST_OF_EXCERPT) & (shared >= _SHARE_OF_EXCERPT * smaller))


def shared_notes(rows: Sequence[Sketch], columns: Sequence[Sketch]) -> NDArray[np.int64]:
    """Return the number of hashes that each row shares with each column, int64 [rows, columns].

    Parameters
    ----------
    rows, columns : sequence of ndarray, uint64
        As returned by `note_sketch`.
    """
    if not rows or not columns:
        return np.zeros((len(rows), len(columns)), dtype=np.int64)
    vocabulary = np.unique(np.concatenate([*rows, *columns]))
    left, right = incidence(rows, vocabulary), incidence(columns, vocabulary)
    counts: NDArray[np.int64] = (left @ right.T).toarray().astype(np.int64)
    return counts


def incidence(sketches: Iterable[Sketch], vocabulary: Sketch) -> Any:
    """Return which sketch has which hash, as a sparse matrix of int32, [sketches, vocabulary].

    Parameters
    ----------
    sketches : iterable of ndarray, uint64
    vocabulary : ndarray, uint64
        All hashes, sorted.
    """
    from scipy.sparse import csr_matrix

    sketches = list(sketches)
    columns = np.concatenate([np.searchsorted(vocabulary, one) for one in sketches])
    rows = np.repeat(np.arange(len(sketches)), [len(one) for one in sketches])
    ones = np.ones(len(rows), dtype=np.int32)
    return csr_matrix((ones, (rows, columns)), shape=(len(sketches), len(vocabulary)))
