"""One examination for all systems: who is asked what, on which side of which fold.

For every fold of a frozen split each system is fitted on the training tracks' clips and
asked about the test tracks' clips only. Criteria, none of them a system's own neighbours:

- ``content``: the same passage by other performers, among all clips of other tracks;
- ``expression``: of the other performances of x's passage, which is nearer in expression
  (triplets; also as retrieval of the nearest);
- ``planted: <factor>``: single-factor triplets, exact;
- ``... (shuffled)``: the same with the truth dealt anew, on which everything is at chance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mess_core.errors import MessError
from mess_core.evaluation.leaks import assert_no_leaks, track_leaks
from mess_core.evaluation.metrics import retrieval_metrics
from mess_core.evaluation.splits import Fold, Split
from mess_core.evaluation.systems import Lesson, System
from mess_core.ranking.clips import Clips
from mess_core.ranking.pairs import expression_distances, expression_triplets, shuffled_within

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Exam", "examine", "lesson_of", "triplet_values"]

Floats = NDArray[np.float64]
Say = Callable[[str], None]

_KS = (1, 10)


@dataclass(frozen=True)
class Exam:
    """Everything that systems are examined on.

    Attributes
    ----------
    tracks : DataFrame
        The track table.
    passages : DataFrame
        As `find_passages` gives; one row per clip of the library.
    clips : Clips
        In the order of ``passages``.
    values : ndarray, float64, shape [clips, descriptors]
        Expression descriptors.
    planted : DataFrame
        ``factor, clip_id`` (of the source) per single-factor triplet.
    planted_clips : Clips
        x, near, far of each triplet, one after another.
    """

    tracks: pd.DataFrame
    passages: pd.DataFrame
    clips: Clips
    values: Floats
    planted: pd.DataFrame
    planted_clips: Clips


def lesson_of(exam: Exam, train: Sequence[str], *, seed: int = 0) -> Lesson:
    """What may be learned from some tracks.

    Raises
    ------
    MessError
        If none of them has a passage.
    """
    wanted = set(train)
    rows = np.flatnonzero(exam.passages["track_id"].astype(str).isin(wanted)).tolist()
    if not rows:
        raise MessError("no training track has a passage that others play, too")
    table = exam.passages.iloc[rows]
    track_of = dict(zip(exam.passages["clip_id"], exam.passages["track_id"], strict=True))
    work_of = dict(zip(exam.passages["clip_id"], exam.passages["work_id"], strict=True))
    kept = [
        number
        for number, clip in enumerate(exam.planted["clip_id"])
        if str(track_of.get(clip)) in wanted
    ]
    planted_rows = [3 * number + part for number in kept for part in range(3)]
    sources = [str(exam.planted["clip_id"].iloc[number]) for number in kept]
    library, planted = exam.clips.take(rows), exam.planted_clips.take(planted_rows)
    count = len(rows)
    return Lesson(
        clips=_joined(library, planted),
        passages=[*table["passage_id"], *(f"planted:{n}" for n in kept for _ in range(3))],
        performers=[*table["performer"], *([""] * len(planted_rows))],
        tracks=[*table["track_id"].astype(str), *([""] * len(planted_rows))],
        works=[*table["work_id"], *(str(work_of[one]) for one in sources for _ in range(3))],
        values=np.concatenate(
            [exam.values[rows], np.full((len(planted_rows), exam.values.shape[1]), np.nan)]
        ),
        planted=count + np.arange(len(planted_rows), dtype=np.int64).reshape(-1, 3),
        library=count,
        seed=seed,
    )


def examine(
    exam: Exam, split: Split, systems: Sequence[System], *, say: Say = lambda _: None
) -> pd.DataFrame:
    """Fit and ask every system in every fold.

    Parameters
    ----------
    exam : Exam
    split : Split
    systems : sequence of System
    say : callable
        Called with lines of progress.

    Returns
    -------
    DataFrame
        ``system, criterion, metric, fold, query, cluster, value``: one row per answer;
        clusters are works.

    Raises
    ------
    DatasetError
        If the split leaks.
    MessError
        If a fold has no training passage at all. A system that finds too little to learn from
        has no answers in that fold.
    """
    import pandas as pd

    found: list[dict[str, Any]] = []
    for number, fold in enumerate(split.folds):
        assert_no_leaks(track_leaks(exam.tracks, fold, split.by), f"in fold {number}")
        lesson = lesson_of(exam, fold.train, seed=split.seed)
        tested = _Tested(exam, fold, split.seed)
        if len(tested.clips) == 0:
            continue
        for system in systems:
            say(f"fold {number + 1} of {len(split.folds)}: {system.name}")
            try:
                score = system.fit(lesson)
            except MessError as error:  # too little to learn from: it has no answers here
                say(f"{system.name} could not learn: {error.problem}")
                continue
            for row in tested.ask(score(tested.clips), score, system.shares_truth):
                found.append({"system": system.name, "fold": number, **row})
    columns = ["system", "criterion", "metric", "fold", "query", "cluster", "value"]
    return pd.DataFrame(found, columns=columns)


def triplet_values(similarity: Floats, triplets: NDArray[np.int64]) -> Floats:
    """1 where (x, nearer, farther) is ordered rightly, 0.5 for a tie, else 0."""
    x, near, far = triplets.T
    difference = similarity[x, near] - similarity[x, far]
    right: Floats = np.where(difference == 0, 0.5, difference > 0).astype(np.float64)
    return right


class _Tested:
    """The test side of one fold and its truths."""

    def __init__(self, exam: Exam, fold: Fold, seed: int) -> None:
        wanted = set(fold.test)
        inside = exam.passages["track_id"].astype(str).isin(wanted).to_numpy()
        rows = np.flatnonzero(inside).tolist()
        self.table = exam.passages.iloc[rows].reset_index(drop=True)
        self.clips = exam.clips.take(rows)
        passages = self.table["passage_id"].tolist()
        # The unit of each descriptor is a matter of the truth, not of any system.
        everywhere = expression_distances(
            exam.values, exam.passages["passage_id"].tolist(), range(len(exam.values))
        )
        self.apart = everywhere[np.ix_(rows, rows)]
        dealt = shuffled_within(exam.values[rows], passages, seed=seed + 1)
        self.dealt = expression_distances(dealt, passages, range(len(rows)))
        own = self.table["track_id"].to_numpy()
        self.candidate = own[:, None] != own[None]
        names = np.array(passages)
        performers = self.table["performer"].to_numpy()
        self.same = names[:, None] == names[None]
        self.same &= performers[:, None] != performers[None]
        self.same &= self.candidate
        order = np.random.default_rng(seed + 1).permutation(len(rows))
        self.wrong = self.same[np.ix_(order, order)] & self.candidate
        source = dict(zip(exam.passages["clip_id"], inside, strict=True))
        kept = [number for number, clip in enumerate(exam.planted["clip_id"]) if source.get(clip)]
        self.planted = exam.planted.iloc[kept]
        self.planted_clips = exam.planted_clips.take([3 * n + p for n in kept for p in range(3)])
        self.work = dict(zip(exam.passages["clip_id"], exam.passages["work_id"], strict=True))

    def ask(
        self, similarity: Floats, score: Callable[[Clips], Floats], shares_truth: bool
    ) -> list[dict[str, Any]]:
        """All answers of a system as rows."""
        found = self._retrieval("content", similarity, self.same)
        found += self._retrieval("content (shuffled)", similarity, self.wrong)
        if not shares_truth:
            nearest = np.zeros_like(self.same)
            for query, row in enumerate(np.where(self.candidate, self.apart, np.nan)):
                if np.isfinite(row).any():
                    nearest[query, int(np.nanargmin(row))] = True
            inside = np.isfinite(self.apart) & self.candidate
            found += self._retrieval("expression", similarity, nearest, inside)
            found += self._triplets("expression", similarity, self.apart)
            found += self._triplets("expression (shuffled)", similarity, self.dealt)
        if len(self.planted):
            among = score(self.planted_clips)
            index = np.arange(len(self.planted_clips)).reshape(-1, 3)
            for row, value in zip(
                self.planted.itertuples(), triplet_values(among, index), strict=True
            ):
                found.append(
                    self._row(f"planted: {row.factor}", "triplets", row.clip_id, float(value))
                )
        return found

    def _retrieval(
        self,
        criterion: str,
        similarity: Floats,
        relevant: NDArray[np.bool_],
        candidate: NDArray[np.bool_] | None = None,
    ) -> list[dict[str, Any]]:
        among = self.candidate if candidate is None else candidate
        names = self.table["clip_id"].tolist()
        truth, run = {}, {}
        for query, name in enumerate(names):
            others = np.flatnonzero(among[query]).tolist()
            if len(others) < 2:
                continue
            truth[name] = {names[one]: int(relevant[query, one]) for one in others}
            run[name] = {names[one]: float(similarity[query, one]) for one in others}
        table = retrieval_metrics(truth, run, ks=_KS)
        return [
            self._row(criterion, metric, str(query), float(value))
            for query, values in table.iterrows()
            for metric, value in values.items()
        ]

    def _triplets(self, criterion: str, similarity: Floats, apart: Floats) -> list[dict[str, Any]]:
        triplets = expression_triplets(np.where(self.candidate, apart, np.nan))
        if len(triplets) == 0:
            return []
        right = triplet_values(similarity, triplets)
        names = self.table["clip_id"].to_numpy()
        return [
            self._row(criterion, "triplets", names[x], float(right[triplets[:, 0] == x].mean()))
            for x in np.unique(triplets[:, 0])
        ]

    def _row(self, criterion: str, metric: str, query: str, value: float) -> dict[str, Any]:
        return {
            "criterion": criterion,
            "metric": metric,
            "query": query,
            "cluster": self.work[query],
            "value": value,
        }


def _joined(first: Clips, second: Clips) -> Clips:
    return Clips(
        first.ids + second.ids,
        first.performances + second.performances,
        np.concatenate([first.vectors, second.vectors]),
        np.concatenate([first.audio, second.audio]),
    )
