"""Queries and ground truth of one test fold.

The ground truth never comes from a system's own neighbours. Criteria:

- ``content``: retrieve the same passage by other performers among clips of other recordings;
- ``expression``: decide which of two other performances of x's passage is nearer in expression
  (triplets), and retrieve the nearest one;
- ``single factor: <factor>``: single-factor triplets, whose answer is known exactly;
- ``moved by``: which factors' changes a system finds large, to be compared with what people notice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mess_core.evaluation.metrics import nearest_first, retrieval_metrics
from mess_core.evaluation.single_factor import NOTICED
from mess_core.evaluation.splits import Fold, work_groups
from mess_core.ranking.clips import Clips
from mess_core.ranking.triplets import (
    Objective,
    expression_distances,
    expression_triplets,
    expression_unit,
)

if TYPE_CHECKING:
    from mess_core.evaluation.data import BenchmarkData

__all__ = ["FoldQueries", "triplet_values"]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_KS = (1, 10)


class FoldQueries:
    """Queries on the test clips of one fold.

    Parameters
    ----------
    benchmark : BenchmarkData
    fold : Fold
    seed : int
        Random seed for breaking ties.

    Attributes
    ----------
    clips : Clips
        Clips of the fold's test tracks.
    """

    def __init__(self, benchmark: BenchmarkData, fold: Fold, seed: int) -> None:
        wanted = set(fold.test) - set(benchmark.heard)
        inside = benchmark.passages["track_id"].astype(str).isin(wanted).to_numpy()
        rows = np.flatnonzero(inside).tolist()
        self.clips = benchmark.clips.take(rows)
        self._seed = seed
        table = benchmark.passages.iloc[rows].reset_index(drop=True)
        self._names = table["clip_id"].astype(str).to_numpy()
        known = benchmark.tracks.assign(group=work_groups(benchmark.tracks)).set_index("track_id")
        tracks = table["track_id"].astype(str).to_numpy()
        group = known["group"].loc[tracks].to_numpy()
        audio = known["audio_sha256"].loc[tracks].fillna("").astype(str).to_numpy()
        passage, performer, work = (
            table[name].astype(str).to_numpy() for name in ("passage_id", "performer", "work_id")
        )
        # A recording whose file could not be read has no hash; it equals itself only.
        same_audio = tracks[:, None] == tracks[None]
        same_audio |= (audio[:, None] == audio[None]) & (audio != "")
        same_passage = passage[:, None] == passage[None]
        same_performer = performer[:, None] == performer[None]
        # Neither relevant nor irrelevant, so not a candidate: another take by the same performer,
        # and works of which one may contain the other (an opus and a piece of it).
        unclear = same_passage & same_performer
        unclear |= (group[:, None] == group[None]) & (work[:, None] != work[None])
        self._candidates = ~same_audio & ~unclear
        self._relevant = same_passage & ~same_performer & self._candidates
        # Descriptor units are part of the ground truth, so they come from all clips.
        unit = expression_unit(benchmark.values, benchmark.passages["passage_id"].tolist())
        self._distances = [
            (members, np.where(same_audio[np.ix_(members, members)], np.nan, distances))
            for members, distances in expression_distances(
                benchmark.values[rows], passage.tolist(), unit
            )
        ]
        in_test = dict(zip(benchmark.passages["clip_id"], inside, strict=True))
        numbers = [
            number
            for number, clip in enumerate(benchmark.single_factor["clip_id"])
            if in_test.get(clip)
        ]
        self._single_factor = benchmark.single_factor.iloc[numbers]
        self._single_factor_clips = benchmark.single_factor_clips.take(
            [3 * number + part for number in numbers for part in range(3)]
        )
        self._group = dict(zip(self._names, group, strict=True))

    def evaluate(
        self,
        score: Callable[[Clips], Floats],
        *,
        uses_ground_truth: bool = False,
        objective: Objective | None = None,
    ) -> list[dict[str, Any]]:
        """Evaluate a fitted system on all queries.

        Parameters
        ----------
        score : callable
            Takes clips and returns their similarity matrix, [clips, clips].
        uses_ground_truth : bool
            Whether the system uses the descriptors that define the expression ground truth; if
            so, the expression criterion is skipped.
        objective : {"content", "expression"}, optional
            Evaluate only the criteria of this objective: content, or expression and single
            factors. All criteria by default.

        Returns
        -------
        list of dict
            One per query and metric: ``criterion, metric, query, cluster, value``. Clusters are
            works.
        """
        similarity = score(self.clips)
        found: list[dict[str, Any]] = []
        if objective != "expression":
            found += self._retrieval("content", similarity, self._relevant, self._candidates)
        if objective != "content":
            if not uses_ground_truth:
                found += self._expression(similarity)
            found += self._factors(score, moved=objective is None)
        return found

    @cached_property
    def _expression_labels(self) -> tuple[Bools, Bools, NDArray[np.int64]]:
        """The nearest performance of each clip's passage, the candidates for it, and triplets."""
        nearest = np.zeros_like(self._candidates)
        candidates = np.zeros_like(self._candidates)
        for members, distances in self._distances:
            for x, row in zip(members, distances, strict=True):
                if np.isfinite(row).any():
                    candidates[x, members] = np.isfinite(row)
                    nearest[x, members[int(np.nanargmin(row))]] = True
        return nearest, candidates, expression_triplets(self._distances)

    def _expression(self, similarity: Floats) -> list[dict[str, Any]]:
        nearest, candidates, triplets = self._expression_labels
        found = self._retrieval("expression", similarity, nearest, candidates)
        correct = triplet_values(similarity, triplets)
        return found + [
            self._row(
                "expression", "triplets", self._names[x], float(correct[triplets[:, 0] == x].mean())
            )
            for x in np.unique(triplets[:, 0])
        ]

    def _factors(self, score: Callable[[Clips], Floats], *, moved: bool) -> list[dict[str, Any]]:
        if len(self._single_factor) == 0:
            return []
        index = np.arange(len(self._single_factor_clips)).reshape(-1, 3)
        similarity = score(self._single_factor_clips)
        correct = triplet_values(similarity, index)
        names = list(self._single_factor[["factor", "clip_id"]].itertuples(index=False))
        found = [
            self._row(f"single factor: {factor}", "triplets", str(clip), float(value))
            for (factor, clip), value in zip(names, correct, strict=True)
        ]
        if moved:
            distance = -similarity[index[:, 0], index[:, 2]]
            found += [
                self._row("moved by", factor, str(clip), value)
                for factor, clip, value in _shares(names, distance)
            ]
        return found

    def _retrieval(
        self, criterion: str, similarity: Floats, relevant: Bools, candidates: Bools
    ) -> list[dict[str, Any]]:
        rng = np.random.default_rng(self._seed)
        relevance, run = {}, {}
        for query, name in enumerate(self._names):
            others = np.flatnonzero(candidates[query])
            if len(others) < 2 or not relevant[query].any():
                continue
            first = others[nearest_first(similarity[query, others], rng)][: max(_KS)]
            hits = np.flatnonzero(relevant[query])
            relevance[str(name)] = dict.fromkeys(self._names[hits].tolist(), 1)
            run[str(name)] = {str(self._names[hit]): -float(k) for k, hit in enumerate(first)}
        table = retrieval_metrics(relevance, run, ks=_KS)
        return [
            self._row(criterion, metric, str(query), float(value))
            for query, values in table.iterrows()
            for metric, value in values.items()
        ]

    def _row(self, criterion: str, metric: str, query: str, value: float) -> dict[str, Any]:
        return {
            "criterion": criterion,
            "metric": metric,
            "query": query,
            "cluster": self._group[query],
            "value": value,
        }


def _shares(names: Sequence[tuple[str, str]], distance: Floats) -> Iterator[tuple[str, str, float]]:
    """Yield, for each factor and clip, the share of other factors whose change counts for less.

    Only factors that people were tested on count, and clips that have all of them.
    """
    of_clip: dict[str, dict[str, float]] = {}
    for (factor, clip), value in zip(names, distance, strict=True):
        if factor in NOTICED:
            of_clip.setdefault(str(clip), {})[factor] = float(value)
    for clip, changes in of_clip.items():
        if len(changes) == len(NOTICED):
            for factor, value in changes.items():
                less = [np.sign(value - one) for name, one in changes.items() if name != factor]
                yield factor, clip, float(np.mean(less) + 1) / 2


def triplet_values(similarity: Floats, triplets: NDArray[np.int64]) -> Floats:
    """Return 1 for each triplet that is ordered correctly, 0.5 for each tie, 0 otherwise.

    Parameters
    ----------
    similarity : ndarray, float64, shape [clips, clips]
    triplets : ndarray, int64, shape [triplets, 3]
        (x, nearer, farther).

    Returns
    -------
    ndarray, float64, shape [triplets]
    """
    x, near, far = triplets.T
    difference = similarity[x, near] - similarity[x, far]
    correct: Floats = np.where(difference == 0, 0.5, difference > 0).astype(np.float64)
    return correct
