"""How far listeners agree with each other, with themselves, and with what is plain to hear.

Krippendorff, "Content Analysis", 2004 (alpha); Wilson, JASA 22, 1927 (intervals of shares);
Efron and Stein, Annals of Statistics 9, 1981 (jackknife).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mess_core.statistics import wilson

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "ATTENTION_FLOOR",
    "Agreement",
    "agreement",
    "answer_matrix",
    "krippendorff_alpha",
    "leave_one_out",
    "listener_table",
    "perfect_measure",
    "split_half",
    "vetted",
]

ATTENTION_FLOOR = 0.8
"""A listener with a smaller share of attention checks right has failed them."""

_FEWEST_CHECKS = 5
_RESAMPLES = 200

Floats = NDArray[np.float64]
Statistic = Callable[[Floats], float]


@dataclass(frozen=True)
class Agreement:
    """A measure of agreement and what it rests on.

    Attributes
    ----------
    value : float
        NaN where it is not defined.
    low, high : float
        95 % interval over listeners and triplets together: normal, its variance that of the
        bootstrap over triplets and of the jackknife over listeners. NaN with fewer than three
        listeners, of whom nothing is known about others.
    listeners, triplets, answers : int
        Triplets that at least two listeners answered, and their answers.
    """

    value: float
    low: float
    high: float
    listeners: int
    triplets: int
    answers: int


def answer_matrix(judgements: pd.DataFrame) -> tuple[NDArray[np.float64], list[str], list[str]]:
    """First answers as an array; repeats and attention checks are left out.

    Parameters
    ----------
    judgements : DataFrame
        As from `mess_core.judgements.response_log.read_judgements`.

    Returns
    -------
    answers : numpy.ndarray, float64, shape [listeners, triplets]
        0 for a, 1 for b, NaN where not answered.
    listeners, triplets : list of str
        Ids of the rows and columns.
    """
    first = _first(judgements)
    listeners = sorted(first["listener"].unique())
    triplets = sorted(first["triplet_id"].unique())
    answers = np.full((len(listeners), len(triplets)), np.nan)
    rows = [listeners.index(listener) for listener in first["listener"]]
    places = {triplet: place for place, triplet in enumerate(triplets)}
    columns = [places[triplet] for triplet in first["triplet_id"]]
    answers[rows, columns] = (first["answer"] == "b").to_numpy(dtype=np.float64)
    return answers, listeners, triplets


def krippendorff_alpha(answers: Floats, *, seed: int = 0) -> Agreement:
    """Krippendorff's alpha of nominal answers: 1 agreement, 0 chance.

    Which clip of a triplet is called a is arbitrary, so every triplet counts with its
    labels both ways: chance is one half whatever the labels.

    Parameters
    ----------
    answers : numpy.ndarray, shape [listeners, triplets]
        As from `answer_matrix`.
    seed : int
        Of the interval.
    """
    return _estimate(_alpha, answers, seed)


def split_half(answers: Floats, *, splits: int = 100, seed: int = 0) -> Agreement:
    """How often the majorities of random halves of the listeners agree; a tied one counts one half.

    It holds the noise of both halves: see `perfect_measure` for what that leaves to a measure.

    Parameters
    ----------
    answers : numpy.ndarray, shape [listeners, triplets]
        As from `answer_matrix`.
    splits : int
        Random halves; a triplet counts in those where both halves have answers to it.
    seed : int
    """
    whole, quick = (partial(_halves, splits=n, seed=seed) for n in (splits, min(splits, 20)))
    return _estimate(whole, answers, seed, quick)


def perfect_measure(halves: float) -> float:
    """How often a measure that is always right would agree with the majority of half the listeners.

    Two halves that err independently with probability e agree with probability
    (1 - e)^2 + e^2, of which this is 1 - e: the ceiling, for half as many listeners as there are.
    With all of them it is higher. NaN of NaN.
    """
    if math.isnan(halves):
        return halves
    return (1.0 + math.sqrt(max(0.0, 2.0 * halves - 1.0))) / 2.0


def leave_one_out(answers: Floats, *, seed: int = 0) -> Agreement:
    """How often a listener agrees with the majority of the others: a person's score.

    At least two others are needed, and triplets on which they are tied are left out, as they
    are where systems are scored.

    Parameters
    ----------
    answers : numpy.ndarray, shape [listeners, triplets]
    seed : int
        Of the interval.
    """
    return _estimate(_against_others, answers, seed)


def _alpha(answers: Floats) -> float:
    import krippendorff

    shared = answers[:, (~np.isnan(answers)).sum(axis=0) >= 2]
    if shared.shape[1] == 0:
        return float("nan")
    both_ways = np.hstack([shared, 1.0 - shared])
    return float(krippendorff.alpha(both_ways, level_of_measurement="nominal"))


def _halves(answers: Floats, splits: int, seed: int) -> float:
    rng = np.random.default_rng(seed)
    listeners = len(answers)
    # +1 for b, -1 for a, 0 for none: the sign of a sum is the majority.
    votes = np.nan_to_num(2 * answers - 1)
    given = ~np.isnan(answers)
    total = np.zeros(answers.shape[1])
    counted = np.zeros(answers.shape[1])
    for _ in range(splits if listeners > 1 else 0):
        half = rng.permutation(listeners) < listeners // 2
        both = given[half].any(axis=0) & given[~half].any(axis=0)
        product = np.sign(votes[half].sum(axis=0)) * np.sign(votes[~half].sum(axis=0))
        total += np.where(both, (product + 1) / 2, 0)
        counted += both
    return _mean(total[counted > 0] / counted[counted > 0])


def _against_others(answers: Floats) -> float:
    votes = np.nan_to_num(2 * answers - 1)
    given = ~np.isnan(answers)
    others = votes.sum(axis=0) - votes  # [listeners, triplets]
    counts = given & (given.sum(axis=0) - given >= 2) & (others != 0)
    return _mean((np.sign(others) == votes)[counts].astype(np.float64))


def _estimate(
    statistic: Statistic, answers: Floats, seed: int, resampled: Statistic | None = None
) -> Agreement:
    again = resampled or statistic
    shared = answers[:, (~np.isnan(answers)).sum(axis=0) >= 2]
    shared = shared[(~np.isnan(shared)).any(axis=1)]
    listeners, triplets = shared.shape
    value = statistic(shared)
    low = high = float("nan")
    if listeners >= 3 and not math.isnan(value):
        rng = np.random.default_rng(seed)
        drawn = [again(shared[:, rng.integers(0, triplets, triplets)]) for _ in range(_RESAMPLES)]
        without = [again(np.delete(shared, listener, axis=0)) for listener in range(listeners)]
        if np.isfinite(without).all():
            variance = np.nanvar(drawn) + (listeners - 1) * np.var(without)
            wide = 1.96 * math.sqrt(float(variance))
            low, high = max(-1.0, value - wide), min(1.0, value + wide)
    return Agreement(value, low, high, listeners, triplets, int((~np.isnan(shared)).sum()))


def listener_table(judgements: pd.DataFrame) -> pd.DataFrame:
    """Each listener's consistency and attention.

    Returns
    -------
    DataFrame
        Per listener: ``answers`` (first ones, attention checks left out), ``median_s``;
        ``repeats`` answered twice, ``same`` share of them answered the same both times with
        its Wilson interval ``same_low, same_high``; ``checks``, ``attentive`` share of them
        right; ``status``: "failed" if that is below `ATTENTION_FLOOR` of at least 5, "passed" if
        it is not and whoever tosses coins would hardly get so many right (Wilson's interval
        lies above one half: four of four, nine of ten), else "unvetted". Shares of nothing are
        NaN.
    """
    import pandas as pd

    first = _first(judgements).set_index(["listener", "triplet_id"])["answer"]
    rows = []
    for listener, own in judgements.groupby("listener", sort=True):
        again = own[own["repeat"] & ~own["attention"]]
        pairs = [
            first[listener, triplet] == answer
            for triplet, answer in zip(again["triplet_id"], again["answer"], strict=True)
            if (listener, triplet) in first.index
        ]
        checks = own[own["attention"]]
        right = int((checks["answer"] == checks["expected"]).sum())
        attentive = _share(right, len(checks))
        low, high = wilson(sum(pairs), len(pairs))
        rows.append(
            {
                "listener": listener,
                "answers": int((~own["repeat"] & ~own["attention"]).sum()),
                "median_s": float(own["seconds"].median()),
                "repeats": len(pairs),
                "same": _share(sum(pairs), len(pairs)),
                "same_low": low,
                "same_high": high,
                "checks": len(checks),
                "attentive": attentive,
                "status": _status(right, len(checks)),
            }
        )
    columns = ["listener", "answers", "median_s", "repeats", "same", "same_low", "same_high"]
    return pd.DataFrame(rows, columns=[*columns, "checks", "attentive", "status"])


def agreement(judgements: pd.DataFrame, *, seed: int = 0) -> dict[str, Any]:
    """All of the above, of all listeners and of those who passed their attention checks.

    Parameters
    ----------
    judgements : DataFrame
        As from `mess_core.judgements.response_log.read_judgements`, of one triplets table.
    seed : int
        Of the splits and the intervals.

    Returns
    -------
    dict
        ``listeners``: records of `listener_table`; ``all`` and ``passed``: each with ``alpha``,
        ``split_half``, ``leave_one_out``, as dictionaries, and ``perfect``
        (`perfect_measure`); ``consistency``: repeats of all listeners who have not failed,
        together, ``n, share, low, high``.
    """
    listeners = listener_table(judgements)
    kept = listeners[listeners["status"] != "failed"]
    n = int(kept["repeats"].sum())
    same = round(float((kept["same"].fillna(0) * kept["repeats"]).sum()))
    low, high = wilson(same, n)
    found: dict[str, Any] = {
        "listeners": listeners.to_dict("records"),
        "consistency": {"n": n, "share": _share(same, n), "low": low, "high": high},
    }
    for name, part in (("all", judgements), ("passed", vetted(judgements))):
        answers, _, _ = answer_matrix(part)
        halves = split_half(answers, seed=seed)
        found[name] = {
            "alpha": asdict(krippendorff_alpha(answers, seed=seed)),
            "split_half": asdict(halves),
            "leave_one_out": asdict(leave_one_out(answers, seed=seed)),
            "perfect": perfect_measure(halves.value),
        }
    return found


def vetted(judgements: pd.DataFrame) -> pd.DataFrame:
    """The answers of listeners who passed their attention checks."""
    listeners = listener_table(judgements)
    passed = listeners.loc[listeners["status"] == "passed", "listener"]
    return judgements[judgements["listener"].isin(passed)]


def _first(judgements: pd.DataFrame) -> pd.DataFrame:
    asked = judgements[~judgements["repeat"].astype(bool) & ~judgements["attention"].astype(bool)]
    return asked.sort_values("position").drop_duplicates(["listener", "triplet_id"])


def _share(count: int, n: int) -> float:
    return count / n if n else float("nan")


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _status(right: int, checks: int) -> str:
    if checks >= _FEWEST_CHECKS and right / checks < ATTENTION_FLOOR:
        return "failed"
    return "passed" if checks and wilson(right, checks)[0] > 0.5 else "unvetted"
