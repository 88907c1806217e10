"""Compare clips over time: align their frames by dynamic time warping.

Means over a clip lose when things happen. The warping path tells how one clip's time runs against
the other's, which is what rubato and tempo curves are; its cost tells what differs once time is
taken out (Sakoe and Chiba, 1978; for performances: Müller, "Fundamentals of Music Processing",
2015). Frames come from the audio alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from mess_core.errors import TooLittleError
from mess_core.ranking.clips import Clips

__all__ = ["PAIR_FEATURES", "PairAlignments", "align_frames"]

PAIR_FEATURES = ("cost", "bend", "stretch")
"""Mean cosine distance along the path; deviation of the path from a straight line, root mean square
as a share of the clip; absolute logarithm of the ratio of durations."""

Floats = NDArray[np.float64]


def align_frames(first: NDArray[np.floating[Any]], second: NDArray[np.floating[Any]]) -> Floats:
    """Align the frames of two clips, and return `PAIR_FEATURES`.

    Parameters
    ----------
    first, second : ndarray, shape [frames, dim]
        At least two frames each.

    Returns
    -------
    ndarray, float64, shape [3]

    Examples
    --------
    >>> frames = np.random.default_rng(0).standard_normal((50, 8))
    >>> slower_later = frames[np.round(49 * np.linspace(0, 1, 60) ** 1.3).astype(int)]
    >>> cost, bend, stretch = align_frames(frames, slower_later)
    >>> bool(cost < 0.2), bool(bend > 0.03), round(float(stretch), 2)
    (True, True, 0.18)
    """
    return _align(_unit(first), _unit(second))


class PairAlignments:
    """Alignments of pairs of clips, each computed once.

    Clips are known by their ids, so an instance serves one library and encoder.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], Floats] = {}

    def features(self, clips: Clips, first: Sequence[int], second: Sequence[int]) -> Floats:
        """Return `PAIR_FEATURES` of pairs of clips, [pairs, 3].

        Parameters
        ----------
        clips : Clips
            With frames.
        first, second : sequence of int
            Row numbers of the two clips of each pair.

        Raises
        ------
        TooLittleError
            If the clips have no frames.
        """
        if not clips.frames or min(map(len, clips.frames)) < 2:
            raise TooLittleError(
                "the clips have no frames to align",
                remedy="Evaluate where the audio is, with an encoder whose states lie in time",
            )
        found = np.empty((len(first), len(PAIR_FEATURES)))
        units: dict[int, Floats] = {}
        with threadpool_limits(1):  # products of this size are slower in several threads
            for row, pair in enumerate(zip(first, second, strict=True)):
                # A path may depend on which clip is the first.
                a, b = sorted(pair, key=clips.ids.__getitem__)
                key = clips.ids[a], clips.ids[b]
                if key not in self._known:
                    for one in {a, b} - units.keys():
                        units[one] = _unit(clips.frames[one])
                    self._known[key] = _align(units[a], units[b])
                found[row] = self._known[key]
        return found

    def matrix(self, clips: Clips) -> Floats:
        """Return `PAIR_FEATURES` of all pairs, [clips, clips, 3]; 0 for a clip with itself."""
        count = len(clips)
        first, second = np.triu_indices(count, k=1)
        found = np.zeros((count, count, len(PAIR_FEATURES)))
        found[first, second] = self.features(clips, first.tolist(), second.tolist())
        found[second, first] = found[first, second]
        return found


def _unit(frames: NDArray[np.floating[Any]]) -> Floats:
    """Remove what stays the same throughout a clip, and scale frames to length 1."""
    moving = np.asarray(frames, dtype=np.float64)
    moving = moving - moving.mean(axis=0)
    norm = np.linalg.norm(moving, axis=1, keepdims=True)
    unit: Floats = moving / np.maximum(norm, 1e-9)
    return unit


def _align(first: Floats, second: Floats) -> Floats:
    """Return `PAIR_FEATURES` of two clips, given their frames' unit vectors."""
    cost, bend = _compiled()(1.0 - first @ second.T)
    return np.array([cost, bend, abs(np.log(len(second) / len(first)))])


@cache
def _compiled() -> Any:
    import numba

    return numba.njit(cache=True)(_warp)


def _warp(distance: Floats) -> tuple[float, float]:
    """Return the mean distance along the best path, and its deviation from a straight line.

    The path advances by a frame in one clip or in both, as that of `librosa.sequence.dtw`, which
    takes six times as long for clips of ten seconds.
    """
    rows, columns = distance.shape
    total = np.empty((rows, columns))
    step = np.empty((rows, columns), dtype=np.int8)  # 0 both, 1 second, 2 first
    for i in range(rows):
        for j in range(columns):
            if i == 0 and j == 0:
                before, kind = 0.0, 0
            elif i == 0:
                before, kind = total[i, j - 1], 1
            elif j == 0:
                before, kind = total[i - 1, j], 2
            else:
                before, kind = total[i - 1, j - 1], 0
                if total[i, j - 1] < before:
                    before, kind = total[i, j - 1], 1
                if total[i - 1, j] < before:
                    before, kind = total[i - 1, j], 2
            total[i, j] = distance[i, j] + before
            step[i, j] = kind
    i, j, length = rows - 1, columns - 1, 1
    off = 0.0  # both ends are on the line
    while i > 0 or j > 0:
        kind = step[i, j]
        i -= kind != 1
        j -= kind != 2
        length += 1
        off += (i / (rows - 1) - j / (columns - 1)) ** 2
    return total[-1, -1] / length, np.sqrt(off / length)
