"""Sketches of notes: which performances are of the same music, whatever they are called.

Of all runs of seven highest notes (one per chord), a sketch keeps those whose hash is divisible by
8. Two performances of one work share many, two works hardly any. The fixed sampling of hashes
follows Broder (1997), "On the resemblance and containment of documents".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray

from mess_core.errors import MessError
from mess_core.midi.performance import Performance
from mess_core.midi.reading import read_performance

__all__ = [
    "NO_NOTES",
    "Sketch",
    "Sketches",
    "incidence",
    "note_runs",
    "note_sketch",
    "note_sketches",
    "same_music",
    "shared_notes",
    "sketches_of",
    "transposable_sketch",
]

_RUN = 7
_KEPT = np.uint64(8)
_PITCHES = np.uint64(127)
_FEWEST, _SHARE = 8, 0.07
_FEWEST_OF_EXCERPT, _SHARE_OF_EXCERPT = 4, 0.5
_CAUTIOUS, _CAUTIOUS_OF_EXCERPT = (6, 0.06), 3

Sketch = NDArray[np.uint64]


class Sketches(NamedTuple):
    """Both sketches of a performance.

    Attributes
    ----------
    in_key : ndarray, uint64
        As returned by `note_sketch`.
    in_any_key : ndarray, uint64
        As returned by `transposable_sketch`.
    """

    in_key: Sketch
    in_any_key: Sketch


NO_NOTES = Sketches(np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.uint64))
"""Of a track without notes."""


def sketches_of(performance: Performance) -> Sketches:
    """Return both sketches of a performance."""
    return Sketches(note_sketch(performance), transposable_sketch(performance))


def note_sketch(performance: Performance) -> Sketch:
    """Sketch of the notes of a performance.

    Parameters
    ----------
    performance : Performance

    Returns
    -------
    ndarray, uint64, shape [any]
        Sorted, each once. Independent of tempo, dynamics and pedal, but not of the key.

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
    runs, onset_s = _telling_runs(performance)
    weights = np.uint64(128) ** np.arange(_RUN, dtype=np.uint64)
    return _mixed((runs.astype(np.uint64) * weights).sum(axis=1)), onset_s


def transposable_sketch(performance: Performance) -> Sketch:
    """Sketch of the notes of a performance in which a transposed piece can be recognised.

    Parameters
    ----------
    performance : Performance

    Returns
    -------
    ndarray, uint64, shape [any]
        Sorted, each once. The low seven bits are the pitch with which a run begins; the others
        are a hash of its steps, so that music that is transposed by ``n`` semitones has the same
        numbers plus ``n``.

    Examples
    --------
    >>> import numpy as np
    >>> from mess_core.midi.performance import Performance
    >>> onset = np.arange(400) * 0.25
    >>> pitch = np.random.default_rng(0).integers(40, 80, 400)
    >>> velocity, pedal = np.full(400, 64), np.empty((0, 2))
    >>> one = Performance(onset, onset + 0.2, pitch, velocity, pedal)
    >>> higher = Performance(onset, onset + 0.2, pitch + 3, velocity, pedal)
    >>> np.array_equal(transposable_sketch(one) + np.uint64(3), transposable_sketch(higher))
    True
    """
    runs, _ = _telling_runs(performance)
    weights = np.uint64(256) ** np.arange(_RUN - 1, dtype=np.uint64)
    steps = (np.diff(runs, axis=1) + 128).astype(np.uint64)
    hashes = _mixed((steps * weights).sum(axis=1)) & ~_PITCHES
    kept = (hashes >> np.uint64(7)) % _KEPT == 0
    return np.unique(hashes[kept] | runs[kept, 0].astype(np.uint64))


def _telling_runs(performance: Performance) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the runs that are no trill or scale, [runs, 7], and when each begins."""
    chord = performance.chord_of_note
    top = np.full(int(chord.max()) + 1 if len(chord) else 0, -1, dtype=np.int64)
    np.maximum.at(top, chord, performance.pitch)
    if len(top) < _RUN:
        return np.empty((0, _RUN), dtype=np.int64), np.empty(0)
    runs = np.lib.stride_tricks.sliding_window_view(top, _RUN)
    steps = np.diff(runs, axis=1)
    distinct = 1 + (np.diff(np.sort(runs, axis=1), axis=1) > 0).sum(axis=1)
    telling = (distinct > 3) & (steps > 0).any(axis=1) & (steps < 0).any(axis=1)
    return runs[telling], performance.chord_onset_s[: len(runs)][telling]


def _mixed(packed: Sketch) -> Sketch:
    """Hash numbers by the finaliser of splitmix64: neighbours get unrelated hashes."""
    mixed = (packed ^ (packed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def note_sketches(
    paths: Sequence[str], *, workers: int = 2
) -> tuple[dict[str, Sketches], dict[str, str]]:
    """Sketches of MIDI files, read in several processes.

    Parameters
    ----------
    paths : sequence of str
    workers : int

    Returns
    -------
    sketches : dict
        Path to `Sketches`, in the order of `paths`.
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


def _read(path: str) -> Sketches | str:
    try:
        return sketches_of(read_performance(path))
    except MessError as error:
        return str(error)


def same_music(
    shared: NDArray[np.int64], smaller: NDArray[np.int64], *, cautious: bool = False
) -> NDArray[np.bool_]:
    """Return whether so many hashes in common mean the same music.

    Parameters
    ----------
    shared : ndarray, int64
        Hashes in common.
    smaller : ndarray, int64, same shape
        Hashes of the smaller sketch.
    cautious : bool
        Whether fewer are enough, where a missed work would be a leak.
    """
    fewest, share = _CAUTIOUS if cautious else (_FEWEST, _SHARE)
    of_excerpt = _CAUTIOUS_OF_EXCERPT if cautious else _FEWEST_OF_EXCERPT
    long = (shared >= fewest) & (shared >= share * smaller)
    return long | ((shared >= of_excerpt) & (shared >= _SHARE_OF_EXCERPT * smaller))


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
