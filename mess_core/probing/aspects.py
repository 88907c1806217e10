"""The 13 aspects that users search by, and the layers that probing assigns to them.

No layer is hard-coded. An aspect uses the layers that inner folds chose for its targets, and
its confidence is set by the lower bound of the interval of that choice's score.

Examples
--------
>>> from mess_core.probing import ASPECTS
>>> len(ASPECTS)
13
>>> ASPECTS["texture"]
('spectral_rolloff', 'zero_crossing_rate')
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
"""Names of the targets that define each aspect."""

Confidence = Literal["high", "medium", "low", "none"]


@dataclass(frozen=True)
class Aspect:
    """Layers that encode an aspect, with the evidence for them.

    Attributes
    ----------
    name : str
    weights : dict
        Layer number to weight; the weights sum to 1.
    confidence : {"high", "medium", "low", "none"}
        Set by the lower bound of the 95 % interval of R²: above 0.8, above 0.5, above 0. "none"
        means that no layer was shown to encode the aspect and `weights` is a fallback.
    r2, r2_low : float
        Score and lower bound of its interval, averaged over the aspect's targets that have
        evidence; NaN without results.
    reason : str
        One sentence that explains the choice of layers.

    Examples
    --------
    >>> tempo = Aspect("tempo", {7: 1.0}, "high", r2=0.9, r2_low=0.85, reason="from layer 7")
    >>> tempo.available
    True
    """

    name: str
    weights: dict[int, float]
    confidence: Confidence
    r2: float
    r2_low: float
    reason: str

    @property
    def available(self) -> bool:
        """Whether any layer was shown to encode the aspect."""
        return self.confidence != "none"

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values for JSON."""
        return asdict(self)


class ProbingResults(Protocol):
    """The part of a `Discovery` that aspects are resolved from."""

    @property
    def table(self) -> pd.DataFrame: ...
    @property
    def summary(self) -> pd.DataFrame: ...
    @property
    def notes(self) -> list[str]: ...


def resolve_aspects(results: ProbingResults | pd.DataFrame) -> dict[str, Aspect]:
    """Return each aspect with the layers that predict its targets best.

    Parameters
    ----------
    results : Discovery or DataFrame
        From a `Discovery`, each aspect gets the layers that inner folds chose, weighted by how
        often they were chosen, and the out-of-fold score of that choice: the score that is
        reported does not select the layer. Layers without evidence get no weight. From a plain
        table (``layer, target, r2, r2_low``), the best layer is taken, which is slightly
        optimistic.

    Returns
    -------
    dict
        Name to `Aspect`, for all of `ASPECTS`. Aspects that no layer predicts better than the
        mean of the target get equal weights over all layers, confidence "none" and the reason.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame(
    ...     {"layer": [0, 1], "target": "tempo", "r2": [0.2, 0.9], "r2_low": [0.1, 0.85]}
    ... )
    >>> aspects = resolve_aspects(table)
    >>> aspects["tempo"].weights, aspects["tempo"].confidence
    ({1: 1.0}, 'high')
    >>> aspects["legato"].available
    False
    """
    if hasattr(results, "summary"):
        table = results.table
        layers = _layer_numbers(table)
        if any(note.startswith("WARNING") for note in results.notes):
            return fallback_aspects(layers, reason="the folds of these results split works")
        return {
            name: _chosen(name, targets, table, results.summary, layers)
            for name, targets in ASPECTS.items()
        }
    layers = _layer_numbers(results)
    return {name: _best(name, targets, results, layers) for name, targets in ASPECTS.items()}


def fallback_aspects(
    layers: list[int], *, reason: str = "there are no probing results"
) -> dict[str, Aspect]:
    """Return every aspect with equal weights over `layers`, confidence "none" and `reason`."""
    return {name: _fallback(name, layers, reason) for name in ASPECTS}


def _layer_numbers(table: pd.DataFrame) -> list[int]:
    return sorted(int(layer) for layer in table["layer"].unique())


def _chosen(
    name: str,
    targets: tuple[str, ...],
    table: pd.DataFrame,
    summary: pd.DataFrame,
    layers: list[int],
) -> Aspect:
    probed = summary[summary["target"].isin(targets)]
    if probed.empty:
        return _unprobed(name, targets, layers)
    has_evidence = probed["evidence"].astype(bool)
    supported, unsupported = probed[has_evidence], probed[~has_evidence]
    without = "; ".join(f"{row.target}: {row.reason}" for row in unsupported.itertuples())
    if supported.empty:
        score, low = float(probed["chosen_r2"].mean()), float(probed["chosen_r2_low"].mean())
        return _fallback(name, layers, without, score, low)
    score, low = float(supported["chosen_r2"].mean()), float(supported["chosen_r2_low"].mean())
    rows = table[
        table["target"].isin(supported["target"]) & table["evidence"] & (table["chosen"] > 0)
    ]
    share = rows.groupby("layer")["chosen"].sum()
    weights = {int(layer): float(part / share.sum()) for layer, part in share.items()}
    predicted = " and ".join(supported["target"])
    chosen = ", ".join(str(layer) for layer in weights)
    reason = (
        f"layer {chosen}, chosen in inner folds, predicts {predicted} with R² {score:.2f} "
        f"(lower bound {low:.2f})"
    )
    reason += _gain(supported)
    if without:
        reason += f"; without evidence {without}"
    return Aspect(name, weights, _confidence(low), score, low, reason)


def _gain(supported: pd.DataFrame) -> str:
    """Return which of the supported targets training added to; empty without a comparison."""
    if supported["untrained_gain_low"].isna().all():
        return ""
    learned = list(supported.loc[supported["finding"].astype(bool), "target"])
    if not learned:
        return "; training is not shown to add to it"
    return f"; training adds to {' and '.join(learned)}"


def _best(name: str, targets: tuple[str, ...], results: pd.DataFrame, layers: list[int]) -> Aspect:
    rows = results[results["target"].isin(targets)]
    probed = sorted(rows["target"].unique())
    if not probed:
        return _unprobed(name, targets, layers)
    if "evidence" in rows:
        if not rows["evidence"].any():
            reason = f"no layer gives evidence for {', '.join(probed)}"
            return _fallback(name, layers, reason, rows["r2"].max(), rows["r2_low"].max())
        supported = rows.loc[rows["evidence"].astype(bool), "layer"].unique()
        rows = rows[rows["layer"].isin(supported)]
    by_layer = rows.groupby("layer")[["r2", "r2_low"]].mean()
    best = int(by_layer["r2"].idxmax())
    score, low = float(by_layer.loc[best, "r2"]), float(by_layer.loc[best, "r2_low"])
    if not np.isfinite(score) or not low > 0:
        found = f"the best is layer {best} with R² {score:.2f}, lower bound {low:.2f}"
        return _fallback(
            name, layers, f"no layer predicts {', '.join(probed)}: {found}", score, low
        )
    reason = (
        f"layer {best} predicts {', '.join(probed)} with R² {score:.2f} (lower bound {low:.2f})"
    )
    return Aspect(name, {best: 1.0}, _confidence(low), score, low, reason)


def _confidence(low: float) -> Confidence:
    return "high" if low > 0.8 else "medium" if low > 0.5 else "low"


def _unprobed(name: str, targets: tuple[str, ...], layers: list[int]) -> Aspect:
    return _fallback(name, layers, f"none of its targets ({', '.join(targets)}) was probed")


def _fallback(
    name: str, layers: list[int], reason: str, r2: float = float("nan"), low: float = float("nan")
) -> Aspect:
    weights = {layer: 1.0 / len(layers) for layer in layers}
    return Aspect(name, weights, "none", r2, low, f"{reason}; all layers are weighted equally")
