"""How far judges agree with each other, with themselves, and with what is plain to hear.

Krippendorff, "Content Analysis", 2004 (alpha); Wilson, JASA 22, 1927 (intervals of shares).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "ATTENTION_FLOOR",
    "Alpha",
    "Ceiling",
    "agreement",
    "answer_matrix",
    "judge_table",
    "krippendorff_alpha",
    "split_half",
    "wilson",
]

ATTENTION_FLOOR = 0.8
"""A judge with a smaller share of attention checks right is flagged."""

_FEWEST_CHECKS = 5


@dataclass(frozen=True)
class Alpha:
    """Krippendorff's alpha: 1 agreement, 0 chance; NaN where it is not defined.

    Attributes
    ----------
    value : float
    judges, triplets, answers : int
        What it rests on: triplets that at least two judges answered, and their answers.
    """

    value: float
    judges: int
    triplets: int
    answers: int


@dataclass(frozen=True)
class Ceiling:
    """Agreement of the majorities of random halves of the judges.

    Attributes
    ----------
    value, low, high : float
        Share of triplets, 0 to 1, and its 95 % interval over triplets; NaN where there are no
        two judges of any triplet.
    judges, triplets, splits : int
    """

    value: float
    low: float
    high: float
    judges: int
    triplets: int
    splits: int


def answer_matrix(judgements: pd.DataFrame) -> tuple[NDArray[np.float64], list[str], list[str]]:
    """First answers as an array; repeats and attention checks are left out.

    Parameters
    ----------
    judgements : DataFrame
        As from `mess_core.evaluation.judgements.read_judgements`.

    Returns
    -------
    answers : numpy.ndarray, float64, shape [judges, triplets]
        0 for a, 1 for b, NaN where not answered.
    judges, triplets : list of str
        Ids of the rows and columns.
    """
    first = _first(judgements)
    judges = sorted(first["judge"].unique())
    triplets = sorted(first["triplet_id"].unique())
    answers = np.full((len(judges), len(triplets)), np.nan)
    rows = [judges.index(judge) for judge in first["judge"]]
    places = {triplet: place for place, triplet in enumerate(triplets)}
    columns = [places[triplet] for triplet in first["triplet_id"]]
    answers[rows, columns] = (first["answer"] == "b").to_numpy(dtype=np.float64)
    return answers, judges, triplets


def krippendorff_alpha(answers: NDArray[np.float64]) -> Alpha:
    """Krippendorff's alpha of nominal answers.

    Parameters
    ----------
    answers : numpy.ndarray, shape [judges, triplets]
        As from `answer_matrix`.
    """
    import krippendorff

    shared = answers[:, (~np.isnan(answers)).sum(axis=0) >= 2]
    given = ~np.isnan(shared)
    value = float("nan")
    # Alpha compares with chance; where only one answer was ever given there is none.
    if len(np.unique(shared[given])) > 1:
        value = float(krippendorff.alpha(shared, level_of_measurement="nominal"))
    return Alpha(value, int(given.any(axis=1).sum()), shared.shape[1], int(given.sum()))


def split_half(
    answers: NDArray[np.float64], *, splits: int = 200, resamples: int = 1000, seed: int = 0
) -> Ceiling:
    """What agreement a measure could reach with these judges: theirs with each other.

    The judges are split in random halves; per triplet, the majorities of both halves agree (1),
    do not (0), or one is tied (one half).

    Parameters
    ----------
    answers : numpy.ndarray, shape [judges, triplets]
        As from `answer_matrix`.
    splits : int
        Random halves; a triplet counts in those where both halves have answers to it.
    resamples : int
        Bootstrap samples of triplets.
    seed : int
    """
    rng = np.random.default_rng(seed)
    judges = len(answers)
    # +1 for b, -1 for a, 0 for none: the sign of a sum is the majority.
    votes = np.nan_to_num(2 * answers - 1)
    given = ~np.isnan(answers)
    total = np.zeros(answers.shape[1])
    counted = np.zeros(answers.shape[1])
    for _ in range(splits if judges > 1 else 0):
        half = rng.permutation(judges) < judges // 2
        both = given[half].any(axis=0) & given[~half].any(axis=0)
        product = np.sign(votes[half].sum(axis=0)) * np.sign(votes[~half].sum(axis=0))
        total += np.where(both, (product + 1) / 2, 0)
        counted += both
    agreed = total[counted > 0] / counted[counted > 0]  # [triplets]
    n = len(agreed)
    if n == 0:
        nan = float("nan")
        return Ceiling(nan, nan, nan, judges, 0, splits)
    means = agreed[rng.integers(0, n, (resamples, n))].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return Ceiling(float(agreed.mean()), float(low), float(high), judges, n, splits)


def judge_table(judgements: pd.DataFrame) -> pd.DataFrame:
    """Each judge's consistency and attention.

    Returns
    -------
    DataFrame
        Per judge: ``answers`` (first ones, attention checks left out), ``median_s``;
        ``repeats`` answered twice, ``same`` share of them answered the same both times with
        its Wilson interval ``same_low, same_high``; ``checks``, ``attentive`` share of them
        right; ``flagged`` if that is below `ATTENTION_FLOOR` of at least 5. Shares of nothing
        are NaN.
    """
    import pandas as pd

    first = _first(judgements).set_index(["judge", "triplet_id"])["answer"]
    rows = []
    for judge, own in judgements.groupby("judge", sort=True):
        again = own[own["repeat"] & ~own["attention"]]
        pairs = [
            first[judge, triplet] == answer
            for triplet, answer in zip(again["triplet_id"], again["answer"], strict=True)
            if (judge, triplet) in first.index
        ]
        checks = own[own["attention"]]
        right = int((checks["answer"] == checks["expected"]).sum())
        attentive = _share(right, len(checks))
        low, high = wilson(sum(pairs), len(pairs))
        rows.append(
            {
                "judge": judge,
                "answers": int((~own["repeat"] & ~own["attention"]).sum()),
                "median_s": float(own["seconds"].median()),
                "repeats": len(pairs),
                "same": _share(sum(pairs), len(pairs)),
                "same_low": low,
                "same_high": high,
                "checks": len(checks),
                "attentive": attentive,
                "flagged": len(checks) >= _FEWEST_CHECKS and attentive < ATTENTION_FLOOR,
            }
        )
    columns = ["judge", "answers", "median_s", "repeats", "same", "same_low", "same_high"]
    return pd.DataFrame(rows, columns=[*columns, "checks", "attentive", "flagged"])


def agreement(judgements: pd.DataFrame, *, seed: int = 0) -> dict[str, Any]:
    """All of the above, of all judges and without those who are flagged.

    Parameters
    ----------
    judgements : DataFrame
        As from `mess_core.evaluation.judgements.read_judgements`, of one triplets table.
    seed : int
        Of the splits and the bootstrap.

    Returns
    -------
    dict
        ``judges``: records of `judge_table`; ``all`` and ``attentive``: each with ``alpha`` and
        ``ceiling``, as dictionaries; ``consistency``: repeats of all attentive judges together,
        ``n, share, low, high``.
    """
    judges = judge_table(judgements)
    flagged = set(judges.loc[judges["flagged"].astype(bool), "judge"])
    attentive = judgements[~judgements["judge"].isin(flagged)]
    kept = judges[~judges["judge"].isin(flagged)]
    n = int(kept["repeats"].sum())
    same = round(float((kept["same"].fillna(0) * kept["repeats"]).sum()))
    low, high = wilson(same, n)
    found: dict[str, Any] = {
        "judges": judges.to_dict("records"),
        "consistency": {"n": n, "share": _share(same, n), "low": low, "high": high},
    }
    for name, part in (("all", judgements), ("attentive", attentive)):
        answers, _, _ = answer_matrix(part)
        found[name] = {
            "alpha": asdict(krippendorff_alpha(answers)),
            "ceiling": asdict(split_half(answers, seed=seed)),
        }
    return found


def wilson(count: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson's score interval of a share, 95 % by default; NaN of nothing."""
    if n == 0:
        return float("nan"), float("nan")
    share = count / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    wide = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, middle - wide), min(1.0, middle + wide)


def _first(judgements: pd.DataFrame) -> pd.DataFrame:
    asked = judgements[~judgements["repeat"].astype(bool) & ~judgements["attention"].astype(bool)]
    return asked.sort_values("position").drop_duplicates(["judge", "triplet_id"])


def _share(count: int, n: int) -> float:
    return count / n if n else float("nan")
