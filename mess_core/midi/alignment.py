"""Score-free alignment of two performances of the same work.

Dynamic time warping (librosa's) over chords: each chord is a pitch vector at its mean
onset, so the cost follows the notes and not the clock. The path is thinned to one anchor
per chord, and time maps are monotone interpolations between anchors.
"""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mess_core.errors import MidiError
from mess_core.midi.performance import Performance, read_performance

__all__ = ["Alignment", "align"]

_MAX_CELLS = 60_000_000
_CONFIDENCE_CHORDS = 9

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Alignment:
    """How times of one performance map to another.

    Attributes
    ----------
    a_s, b_s : ndarray, float64, shape [anchors]
        Moments of the two performances that belong together, both ascending.
    agreement : ndarray, float64, shape [anchors]
        Share of sounding pitch content that the two have in common around each anchor, 0..1.
    """

    a_s: Floats
    b_s: Floats
    agreement: Floats

    def map_time(self, t_s: ArrayLike) -> Floats:
        """Time in b (s) of a time in a (s); beyond the ends the last tempo is kept."""
        return _interpolated(np.asarray(t_s, dtype=np.float64), self.a_s, self.b_s)

    def confidence(self, t_s: ArrayLike) -> Floats:
        """Confidence 0..1 at times in a (s): how far both play the same notes there."""
        times = np.asarray(t_s, dtype=np.float64)
        agreement: Floats = np.interp(times, self.a_s, self.agreement)
        return agreement


def align(a: str | PathLike[str] | Performance, b: str | PathLike[str] | Performance) -> Alignment:
    """Align two performances of one work.

    Parameters
    ----------
    a, b : MIDI file or Performance

    Returns
    -------
    Alignment

    Raises
    ------
    MidiError
        If a file cannot be used or has fewer than two chords.
    """
    import librosa

    first = a if isinstance(a, Performance) else read_performance(a)
    second = b if isinstance(b, Performance) else read_performance(b)
    for name, one in (("a", first), ("b", second)):
        if len(one.chord_onset_s) < 2:
            path = None if isinstance((a, b)[name == "b"], Performance) else (a, b)[name == "b"]
            raise MidiError("has fewer than two chords: nothing to align", path=path)  # type: ignore[arg-type]
    x, y = _chord_features(first), _chord_features(second)  # [chords, 24]
    cells = len(x) * len(y)
    ratio = max(len(x), len(y)) / min(len(x), len(y))
    band = cells > _MAX_CELLS and ratio < 2
    _, path = librosa.sequence.dtw(
        X=x.T,
        Y=y.T,
        metric="cosine",
        step_sizes_sigma=np.array([[1, 1], [1, 0], [0, 1]]),
        weights_mul=np.array([2.0, 1.0, 1.0]),
        weights_add=np.array([0.0, 0.15, 0.15]),
        global_constraints=band,
        band_rad=0.1,
    )
    path = path[::-1]  # [steps, 2] ascending
    similarity = (x[path[:, 0]] * y[path[:, 1]]).sum(axis=1)
    keep = _best_per_chord(path, similarity)
    path, similarity = path[keep], similarity[keep]
    kernel = np.ones(min(_CONFIDENCE_CHORDS, len(path)))
    weight = np.convolve(np.ones(len(path)), kernel, mode="same")
    agreement = np.convolve(similarity, kernel, mode="same") / weight
    return Alignment(
        a_s=first.chord_onset_s[path[:, 0]],
        b_s=second.chord_onset_s[path[:, 1]],
        agreement=np.clip(agreement, 0.0, 1.0),
    )


def _chord_features(performance: Performance) -> Floats:
    """Unit vectors of each chord: 88 keys, and softly the pitch classes, [chords, 100]."""
    chords = performance.chord_of_note
    keys = np.zeros((int(chords[-1]) + 1, 128))
    keys[chords, performance.pitch] = 1.0
    classes = np.zeros((len(keys), 12))
    np.add.at(classes, (chords, performance.pitch % 12), 0.5)
    features = np.concatenate([keys, classes], axis=1)
    unit: Floats = features / np.linalg.norm(features, axis=1, keepdims=True)
    return unit


def _best_per_chord(path: NDArray[np.int64], similarity: Floats) -> NDArray[np.int64]:
    """Indices of path steps such that both sides strictly ascend, the most alike kept."""
    kept: list[int] = []
    for step in range(len(path)):
        if kept and (path[step] <= path[kept[-1]]).any():
            if similarity[step] > similarity[kept[-1]] and (
                len(kept) < 2 or (path[step] > path[kept[-2]]).all()
            ):
                kept[-1] = step
            continue
        kept.append(step)
    return np.asarray(kept, dtype=np.int64)


def _interpolated(times: Floats, a_s: Floats, b_s: Floats) -> Floats:
    inside: Floats = np.interp(times, a_s, b_s)
    if len(a_s) < 2:
        shifted: Floats = times - a_s[0] + b_s[0]
        return shifted
    span = min(len(a_s) - 1, 8)
    before = (b_s[span] - b_s[0]) / (a_s[span] - a_s[0])
    after = (b_s[-1] - b_s[-1 - span]) / (a_s[-1] - a_s[-1 - span])
    inside = np.where(times < a_s[0], b_s[0] + (times - a_s[0]) * before, inside)
    return np.where(times > a_s[-1], b_s[-1] + (times - a_s[-1]) * after, inside)
