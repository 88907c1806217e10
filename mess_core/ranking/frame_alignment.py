"""Compare clips over time: align their frames by dynamic time warping.

Means over a clip lose when things happen. The warping path tells how one clip's time runs against
the other's, which is what rubato and tempo curves are; its cost tells what differs once time is
taken out (Sakoe and Chiba, 1978; for performances: Müller, "Fundamentals of Music Processing",
2015). Frames come from the audio alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
    from librosa.sequence import dtw

    distance = 1.0 - _unit(first) @ _unit(second).T
    total, path = dtw(C=distance)
    rows, columns = path[:, 0] / (len(first) - 1), path[:, 1] / (len(second) - 1)
    bend = float(np.sqrt(np.mean(np.square(rows - columns))))
    stretch = abs(float(np.log(len(second) / len(first))))
    return np.array([total[-1, -1] / len(path), bend, stretch])


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
        for row, (a, b) in enumerate(zip(first, second, strict=True)):
            key = min(clips.ids[a], clips.ids[b]), max(clips.ids[a], clips.ids[b])
            if key not in self._known:
                self._known[key] = align_frames(clips.frames[a], clips.frames[b])
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
