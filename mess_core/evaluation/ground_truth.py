"""The test side of one fold: who is asked what, and what is right.

Criteria, none of them a system's own neighbours:

- ``content``: the same passage by other performers, among clips of other recordings;
- ``expression``: of the other performances of x's passage, which is nearer in expression
  (triplets; also as retrieval of the nearest);
- ``planted: <factor>``: single-factor triplets, exact.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mess_core.evaluation.metrics import nearest_first, retrieval_metrics
from mess_core.evaluation.splits import Fold, work_groups
from mess_core.ranking.clips import Clips
from mess_core.ranking.pairs import (
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
    """Clips of the test tracks of a fold and everything that is asked of them.

    Parameters
    ----------
    benchmark : BenchmarkData
    fold : Fold
    seed : int
        Breaks ties.

    Attributes
    ----------
    clips : Clips
    """

    def __init__(self, benchmark: BenchmarkData, fold: Fold, seed: int) -> None:
        wanted = set(fold.test)
        inside = benchmark.passages["track_id"].astype(str).isin(wanted).to_numpy()
        rows = np.flatnonzero(inside).tolist()
        self.clips = benchmark.clips.take(rows)
        self._seed = seed
        table = benchmark.passages.iloc[rows].reset_index(drop=True)
        self._names = table["clip_id"].astype(str).to_numpy()
        known = benchmark.tracks.assign(group=work_groups(benchmark.tracks)).set_index("track_id")
        tracks = table["track_id"].astype(str).to_numpy()
        group = known["group"].loc[tracks].to_numpy()
        audio = known["audio_sha256"].loc[tracks].to_numpy()
        passage, performer, work = (
            table[name].astype(str).to_numpy() for name in ("passage_id", "performer", "work_id")
        )
        same_audio = (tracks[:, None] == tracks[None]) | (audio[:, None] == audio[None])
        same_passage = passage[:, None] == passage[None]
        same_performer = performer[:, None] == performer[None]
        # Neither right nor wrong: another take by the same performer, and works that may
        # hold each other (an opus and a piece of it).
        unclear = same_passage & same_performer
        unclear |= (group[:, None] == group[None]) & (work[:, None] != work[None])
        self._candidate = ~same_audio & ~unclear
        self._same = same_passage & ~same_performer & self._candidate
        # The unit of each descriptor is a matter of the truth, not of any system.
        unit = expression_unit(benchmark.values, benchmark.passages["passage_id"].tolist())
        self._apart = [
            (members, np.where(same_audio[np.ix_(members, members)], np.nan, apart))
            for members, apart in expression_distances(
                benchmark.values[rows], passage.tolist(), unit
            )
        ]
        source = dict(zip(benchmark.passages["clip_id"], inside, strict=True))
        kept = [
            number
            for number, clip in enumerate(benchmark.single_factor["clip_id"])
            if source.get(clip)
        ]
        self._planted = benchmark.single_factor.iloc[kept]
        self._planted_clips = benchmark.single_factor_clips.take(
            [3 * n + p for n in kept for p in range(3)]
        )
        self._group = dict(zip(self._names, group, strict=True))

    def evaluate(
        self,
        score: Callable[[Clips], Floats],
        *,
        uses_ground_truth: bool = False,
        objective: Objective | None = None,
    ) -> list[dict[str, Any]]:
        """All answers of a fitted system.

        Parameters
        ----------
        score : callable
            Clips to similarity, [clips, clips].
        uses_ground_truth : bool
            Leave expression out.
        objective : {"content", "expression"}, optional
            Ask only what belongs to it: content, or expression and single factors.

        Returns
        -------
        list of dict
            ``criterion, metric, query, cluster, value``; clusters are works.
        """
        similarity = score(self.clips)
        found: list[dict[str, Any]] = []
        if objective != "expression":
            found += self._retrieval("content", similarity, self._same, self._candidate)
        if objective != "content":
            if not uses_ground_truth:
                found += self._expression(similarity)
            found += self._factors(score)
        return found

    def _expression(self, similarity: Floats) -> list[dict[str, Any]]:
        nearest = np.zeros_like(self._candidate)
        among = np.zeros_like(self._candidate)
        for members, apart in self._apart:
            for x, row in zip(members, apart, strict=True):
                if np.isfinite(row).any():
                    among[x, members] = np.isfinite(row)
                    nearest[x, members[int(np.nanargmin(row))]] = True
        found = self._retrieval("expression", similarity, nearest, among)
        triplets = expression_triplets(self._apart)
        right = triplet_values(similarity, triplets)
        return found + [
            self._row(
                "expression", "triplets", self._names[x], float(right[triplets[:, 0] == x].mean())
            )
            for x in np.unique(triplets[:, 0])
        ]

    def _factors(self, score: Callable[[Clips], Floats]) -> list[dict[str, Any]]:
        if len(self._planted) == 0:
            return []
        index = np.arange(len(self._planted_clips)).reshape(-1, 3)
        right = triplet_values(score(self._planted_clips), index)
        return [
            self._row(f"single factor: {row.factor}", "triplets", str(row.clip_id), float(value))
            for row, value in zip(self._planted.itertuples(), right, strict=True)
        ]

    def _retrieval(
        self, criterion: str, similarity: Floats, relevant: Bools, among: Bools
    ) -> list[dict[str, Any]]:
        rng = np.random.default_rng(self._seed)
        truth, run = {}, {}
        for query, name in enumerate(self._names):
            others = np.flatnonzero(among[query])
            if len(others) < 2 or not relevant[query].any():
                continue
            first = others[nearest_first(similarity[query, others], rng)][: max(_KS)]
            right = np.flatnonzero(relevant[query])
            truth[str(name)] = dict.fromkeys(self._names[right].tolist(), 1)
            run[str(name)] = {str(self._names[hit]): -float(k) for k, hit in enumerate(first)}
        table = retrieval_metrics(truth, run, ks=_KS)
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


def triplet_values(similarity: Floats, triplets: NDArray[np.int64]) -> Floats:
    """1 where (x, nearer, farther) is ordered rightly, 0.5 for a tie, else 0."""
    x, near, far = triplets.T
    difference = similarity[x, near] - similarity[x, far]
    right: Floats = np.where(difference == 0, 0.5, difference > 0).astype(np.float64)
    return right
