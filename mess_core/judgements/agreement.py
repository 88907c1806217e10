"""Agreement between listeners, consistency of each listener, and attention checks.

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
"""A listener fails if a smaller share of their attention checks is correct."""

_FEWEST_CHECKS = 5
_RESAMPLES = 200

Floats = NDArray[np.float64]
Statistic = Callable[[Floats], float]


@dataclass(frozen=True)
class Agreement:
    """An agreement statistic, its confidence interval and its sample size.

    Attributes
    ----------
    value : float
        NaN if it is undefined.
    low, high : float
        95 % confidence interval for new listeners and new triplets: a normal interval whose
        variance is the sum of the bootstrap variance over triplets and the jackknife variance
        over listeners. NaN with fewer than three listeners, which are too few to estimate how
        much listeners differ.
    listeners, triplets, answers : int
        Number of listeners, of triplets that at least two of them answered, and of answers to
        these triplets.
    """

    value: float
    low: float
    high: float
    listeners: int
    triplets: int
    answers: int


def answer_matrix(judgements: pd.DataFrame) -> tuple[NDArray[np.float64], list[str], list[str]]:
    """Return first answers as an array, without repeats and attention checks.

    Parameters
    ----------
    judgements : DataFrame
        As returned by `mess_core.judgements.response_log.read_judgements`.

    Returns
    -------
    answers : numpy.ndarray, float64, shape [listeners, triplets]
        0 for a, 1 for b, NaN for no answer.
    listeners, triplets : list of str
        Ids of the rows and columns.
    """
    first = _first(judgements)
    listeners = sorted(first["listener"].unique())
    triplets = sorted(first["triplet_id"].unique())
    answers = np.full((len(listeners), len(triplets)), np.nan)
    rows = [listeners.index(listener) for listener in first["listener"]]
    column_of = {triplet: column for column, triplet in enumerate(triplets)}
    columns = [column_of[triplet] for triplet in first["triplet_id"]]
    answers[rows, columns] = (first["answer"] == "b").to_numpy(dtype=np.float64)
    return answers, listeners, triplets


def krippendorff_alpha(answers: Floats, *, seed: int = 0) -> Agreement:
    """Return Krippendorff's alpha for nominal data: 1 is full agreement, 0 is chance.

    Every triplet is counted twice, the second time with labels a and b swapped. The labels of a
    triplet are arbitrary, and counting both makes chance agreement one half in every table.

    Parameters
    ----------
    answers : numpy.ndarray, shape [listeners, triplets]
        As returned by `answer_matrix`.
    seed : int
        Random seed of the interval.
    """
    return _estimate(_alpha, answers, seed)


def split_half(answers: Floats, *, splits: int = 100, seed: int = 0) -> Agreement:
    """Return how often two random halves of the listeners have the same majority.

    A tie in either half counts as one half. The errors of both halves lower this value; use
    `perfect_measure` to derive the noise ceiling of a similarity measure from it.

    Parameters
    ----------
    answers : numpy.ndarray, shape [listeners, triplets]
        As returned by `answer_matrix`.
    splits : int
        Number of random splits. A triplet counts in a split if both halves answered it.
    seed : int
        Random seed of the splits and the interval.
    """
    full, fast = (partial(_halves, splits=n, seed=seed) for n in (splits, min(splits, 20)))
    return _estimate(full, answers, seed, fast)


def perfect_measure(halves: float) -> float:
    """Return the noise ceiling: how often a perfect measure agrees with half of the listeners.

    If the majority of each half errs independently with probability e, the two majorities agree
    with probability (1 - e)^2 + e^2. This function solves for 1 - e. Against the majority of all
    listeners the ceiling is higher.

    Parameters
    ----------
    halves : float
        The value of `split_half`; NaN returns NaN.
    """
    if math.isnan(halves):
        return halves
    return (1.0 + math.sqrt(max(0.0, 2.0 * halves - 1.0))) / 2.0


def leave_one_out(answers: Floats, *, seed: int = 0) -> Agreement:
    """Return how often a listener agrees with the majority of the others: the human baseline.

    A triplet counts for a listener if at least two others answered it and they are not tied.
    Systems are scored by the same rule.

    Parameters
    ----------
    answers : numpy.ndarray, shape [listeners, triplets]
        As returned by `answer_matrix`.
    seed : int
        Random seed of the interval.
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
    # +1 for b, -1 for a, 0 for no answer: the sign of a sum is the majority.
    votes = np.nan_to_num(2 * answers - 1)
    answered = ~np.isnan(answers)
    total = np.zeros(answers.shape[1])
    counted = np.zeros(answers.shape[1])
    for _ in range(splits if listeners > 1 else 0):
        half = rng.permutation(listeners) < listeners // 2
        both = answered[half].any(axis=0) & answered[~half].any(axis=0)
        product = np.sign(votes[half].sum(axis=0)) * np.sign(votes[~half].sum(axis=0))
        total += np.where(both, (product + 1) / 2, 0)
        counted += both
    return _mean(total[counted > 0] / counted[counted > 0])


def _against_others(answers: Floats) -> float:
    votes = np.nan_to_num(2 * answers - 1)
    answered = ~np.isnan(answers)
    others = votes.sum(axis=0) - votes  # [listeners, triplets]
    counts = answered & (answered.sum(axis=0) - answered >= 2) & (others != 0)
    return _mean((np.sign(others) == votes)[counts].astype(np.float64))


def _estimate(
    statistic: Statistic, answers: Floats, seed: int, resampled: Statistic | None = None
) -> Agreement:
    """Estimate a statistic with its interval; `resampled` is a faster version for resampling."""
    replicate = resampled or statistic
    shared = answers[:, (~np.isnan(answers)).sum(axis=0) >= 2]
    shared = shared[(~np.isnan(shared)).any(axis=1)]
    listeners, triplets = shared.shape
    value = statistic(shared)
    low = high = float("nan")
    if listeners >= 3 and not math.isnan(value):
        rng = np.random.default_rng(seed)
        bootstrap = [
            replicate(shared[:, rng.integers(0, triplets, triplets)]) for _ in range(_RESAMPLES)
        ]
        jackknife = [
            replicate(np.delete(shared, listener, axis=0)) for listener in range(listeners)
        ]
        if np.isfinite(jackknife).all():
            variance = np.nanvar(bootstrap) + (listeners - 1) * np.var(jackknife)
            margin = 1.96 * math.sqrt(float(variance))
            low, high = max(-1.0, value - margin), min(1.0, value + margin)
    return Agreement(value, low, high, listeners, triplets, int((~np.isnan(shared)).sum()))


def listener_table(judgements: pd.DataFrame) -> pd.DataFrame:
    """Return one row per listener with their consistency and attention.

    Parameters
    ----------
    judgements : DataFrame
        As returned by `mess_core.judgements.response_log.read_judgements`.

    Returns
    -------
    DataFrame
        - ``listener``: id.
        - ``answers``: number of first answers, without attention checks.
        - ``median_s``: median seconds per answer.
        - ``repeats``: number of triplets answered twice; ``same``: share of them answered the
          same way both times; ``same_low``, ``same_high``: its Wilson interval.
        - ``checks``: number of attention checks; ``attentive``: share of them answered correctly.
        - ``status``: "failed" if there are at least 5 checks and ``attentive`` is below
          `ATTENTION_FLOOR`; "passed" if the Wilson interval of ``attentive`` lies above one half,
          that is, guessing is unlikely (four of four, nine of ten); otherwise "unvetted".

        A share with a count of zero is NaN.
    """
    import pandas as pd

    first = _first(judgements).set_index(["listener", "triplet_id"])["answer"]
    rows = []
    for listener, own in judgements.groupby("listener", sort=True):
        repeats = own[own["repeat"] & ~own["attention"]]
        same = [
            first[listener, triplet] == answer
            for triplet, answer in zip(repeats["triplet_id"], repeats["answer"], strict=True)
            if (listener, triplet) in first.index
        ]
        checks = own[own["attention"]]
        correct = int((checks["answer"] == checks["expected"]).sum())
        low, high = wilson(sum(same), len(same))
        rows.append(
            {
                "listener": listener,
                "answers": int((~own["repeat"] & ~own["attention"]).sum()),
                "median_s": float(own["seconds"].median()),
                "repeats": len(same),
                "same": _share(sum(same), len(same)),
                "same_low": low,
                "same_high": high,
                "checks": len(checks),
                "attentive": _share(correct, len(checks)),
                "status": _status(correct, len(checks)),
            }
        )
    columns = ["listener", "answers", "median_s", "repeats", "same", "same_low", "same_high"]
    return pd.DataFrame(rows, columns=[*columns, "checks", "attentive", "status"])


def agreement(judgements: pd.DataFrame, *, seed: int = 0) -> dict[str, Any]:
    """Return all agreement statistics, for all listeners and for those who passed the checks.

    Parameters
    ----------
    judgements : DataFrame
        As returned by `mess_core.judgements.response_log.read_judgements`, restricted to the
        answers to one triplets table.
    seed : int
        Random seed of the splits and the intervals.

    Returns
    -------
    dict
        - ``listeners``: records of `listener_table`.
        - ``all`` and ``passed``: each with ``alpha``, ``split_half`` and ``leave_one_out``
          (fields of `Agreement`), and ``perfect`` (see `perfect_measure`).
        - ``consistency``: share of repeats answered the same way, pooled over all listeners who
          have not failed, as ``n, share, low, high``.
    """
    listeners = listener_table(judgements)
    pooled = listeners[listeners["status"] != "failed"]
    n = int(pooled["repeats"].sum())
    same = round(float((pooled["same"].fillna(0) * pooled["repeats"]).sum()))
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
    """Return the answers of the listeners who passed their attention checks."""
    listeners = listener_table(judgements)
    passed = listeners.loc[listeners["status"] == "passed", "listener"]
    return judgements[judgements["listener"].isin(passed)]


def _first(judgements: pd.DataFrame) -> pd.DataFrame:
    first = judgements[~judgements["repeat"].astype(bool) & ~judgements["attention"].astype(bool)]
    return first.sort_values("position").drop_duplicates(["listener", "triplet_id"])


def _share(count: int, n: int) -> float:
    return count / n if n else float("nan")


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _status(correct: int, checks: int) -> str:
    if checks >= _FEWEST_CHECKS and correct / checks < ATTENTION_FLOOR:
        return "failed"
    return "passed" if checks and wilson(correct, checks)[0] > 0.5 else "unvetted"
