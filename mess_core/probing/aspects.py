"""The 13 aspects that users search by, resolved from probing results to layers.

No layer is written down here: an aspect takes the layers that inner folds chose for its
targets, and its confidence comes from the lower end of the interval of that choice's score.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ASPECTS", "Aspect", "fallback_aspects", "resolve_aspects"]

ASPECTS: dict[str, tuple[str, ...]] = {
    "brightness": ("spectral_centroid",),
    "texture": ("spectral_rolloff", "zero_crossing_rate"),
    "warmth": ("spectral_bandwidth", "spectral_centroid"),
    "tempo": ("tempo",),
    "rhythmic_energy": ("onset_density",),
    "dynamics": ("dynamic_range", "dynamic_variance"),
    "crescendo": ("crescendo_strength", "diminuendo_strength"),
    "harmonic_richness": ("harmonic_complexity",),
    "articulation": ("attack_slopes", "attack_sharpness"),
    "phrasing": ("phrase_regularity", "num_phrases"),
    "rubato": ("rubato", "tempo_variability"),
    "expressiveness": ("velocity_std", "velocity_range"),
    "legato": ("articulation_ratio",),
}
"""Aspect to the targets that define it."""

Confidence = Literal["high", "medium", "low", "none"]


@dataclass(frozen=True)
class Aspect:
    """Where an aspect is read from.

    Attributes
    ----------
    name : str
    weights : dict
        Layer number to weight; the weights sum to 1.
    confidence : {"high", "medium", "low", "none"}
        From the lower end of the 95 % interval of R²: above 0.8, above 0.5, above 0; "none"
        means that the layers are not shown to hold the aspect and `weights` is a fallback.
    r2, r2_low : float
        Score and lower end of its interval, means over the aspect's targets with evidence; NaN
        without results.
    reason : str
        One sentence for people.
    """

    name: str
    weights: dict[int, float]
    confidence: Confidence
    r2: float
    r2_low: float
    reason: str

    @property
    def available(self) -> bool:
        """Whether probing supports the aspect at all."""
        return self.confidence != "none"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


class ProbingResults(Protocol):
    """What aspects are resolved from: the part of a `Discovery` that they need."""

    @property
    def table(self) -> pd.DataFrame: ...
    @property
    def summary(self) -> pd.DataFrame: ...
    @property
    def notes(self) -> list[str]: ...


def resolve_aspects(results: ProbingResults | pd.DataFrame) -> dict[str, Aspect]:
    """Map each aspect to the layers that predict its targets best.

    Parameters
    ----------
    results : Discovery or DataFrame
        A `Discovery` gives each aspect the layers that inner folds chose, weighted by how
        often, and the score of that choice out of fold: nothing is picked on the scores that
        it is judged by. Layers without evidence get no weight. Of a bare table (``layer,
        target, r2, r2_low``) the best layer is taken, which is slightly optimistic.

    Returns
    -------
    dict
        All of `ASPECTS`. Those that no layer predicts above the mean of the target get equal
        weights over all layers, confidence "none", and the reason.
    """
    if hasattr(results, "summary"):
        table = results.table
        layers = _numbers(table)
        if any(note.startswith("WARNING") for note in results.notes):
            return fallback_aspects(layers, reason="the folds of these results split works")
        return {
            name: _chosen(name, targets, table, results.summary, layers)
            for name, targets in ASPECTS.items()
        }
    layers = _numbers(results)
    return {name: _best(name, targets, results, layers) for name, targets in ASPECTS.items()}


def fallback_aspects(
    layers: list[int], *, reason: str = "there are no probing results"
) -> dict[str, Aspect]:
    """Equal weights over `layers` for every aspect, and it says so."""
    return {name: _fallback(name, layers, reason) for name in ASPECTS}


def _numbers(table: pd.DataFrame) -> list[int]:
    return sorted(int(layer) for layer in table["layer"].unique())


def _chosen(
    name: str,
    targets: tuple[str, ...],
    table: pd.DataFrame,
    summary: pd.DataFrame,
    layers: list[int],
) -> Aspect:
    mine = summary[summary["target"].isin(targets)]
    if mine.empty:
        return _unprobed(name, targets, layers)
    held, rest = mine[mine["evidence"].astype(bool)], mine[~mine["evidence"].astype(bool)]
    without = "; ".join(f"{row.target}: {row.reason}" for row in rest.itertuples())
    if held.empty:
        score, low = float(mine["chosen_r2"].mean()), float(mine["chosen_r2_low"].mean())
        return _fallback(name, layers, without, score, low)
    score, low = float(held["chosen_r2"].mean()), float(held["chosen_r2_low"].mean())
    rows = table[table["target"].isin(held["target"]) & table["evidence"] & (table["chosen"] > 0)]
    share = rows.groupby("layer")["chosen"].sum()
    weights = {int(layer): float(part / share.sum()) for layer, part in share.items()}
    told = " and ".join(held["target"])
    where = ", ".join(str(layer) for layer in weights)
    reason = (
        f"layer {where}, chosen in inner folds, predicts {told} with R² {score:.2f} "
        f"(lower end {low:.2f})"
    )
    if without:
        reason += f"; without evidence {without}"
    return Aspect(name, weights, _confidence(low), score, low, reason)


def _best(name: str, targets: tuple[str, ...], results: pd.DataFrame, layers: list[int]) -> Aspect:
    mine = results[results["target"].isin(targets)]
    probed = sorted(mine["target"].unique())
    if not probed:
        return _unprobed(name, targets, layers)
    if "evidence" in mine:
        if not mine["evidence"].any():
            told = f"no layer is evidence for {', '.join(probed)}"
            return _fallback(name, layers, told, mine["r2"].max(), mine["r2_low"].max())
        supported = mine.loc[mine["evidence"].astype(bool), "layer"].unique()
        mine = mine[mine["layer"].isin(supported)]
    by_layer = mine.groupby("layer")[["r2", "r2_low"]].mean()
    best = int(by_layer["r2"].idxmax())
    score, low = float(by_layer.loc[best, "r2"]), float(by_layer.loc[best, "r2_low"])
    if not np.isfinite(score) or not low > 0:
        found = f"best is layer {best} with R² {score:.2f}, lower end {low:.2f}"
        return _fallback(
            name, layers, f"no layer predicts {', '.join(probed)}: {found}", score, low
        )
    reason = f"layer {best} predicts {', '.join(probed)} with R² {score:.2f} (lower end {low:.2f})"
    return Aspect(name, {best: 1.0}, _confidence(low), score, low, reason)


def _confidence(low: float) -> Confidence:
    return "high" if low > 0.8 else "medium" if low > 0.5 else "low"


def _unprobed(name: str, targets: tuple[str, ...], layers: list[int]) -> Aspect:
    return _fallback(name, layers, f"none of its targets ({', '.join(targets)}) was probed")


def _fallback(
    name: str, layers: list[int], reason: str, r2: float = float("nan"), low: float = float("nan")
) -> Aspect:
    weights = {layer: 1.0 / len(layers) for layer in layers}
    return Aspect(name, weights, "none", r2, low, f"{reason}; falls back to all layers equally")
