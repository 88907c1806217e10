"""Assess each target: adjusted p-values, evidence, what training added, and the reason."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from mess_core.statistics import false_discovery_rate

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LEVEL", "SUMMARY_COLUMNS", "TABLE_COLUMNS", "assess_evidence"]

TABLE_COLUMNS = [
    "layer", "target", "r2", "r2_low", "r2_high", "pearson", "spearman", "rmse", "n", "works",
    "alpha", "dof", "p", "q", "r2_within", "r2_within_low", "r2_within_high", "n_within",
    "control_r2", "selectivity", "untrained_r2", "untrained_gain", "untrained_gain_low",
    "untrained_gain_high", "chosen", "weight", "evidence", "learned",
]  # fmt: skip
SUMMARY_COLUMNS = [
    "target", "layer", "chosen_r2", "chosen_r2_low", "chosen_r2_high", "chosen_r2_within",
    "chosen_r2_within_low", "chosen_r2_within_high", "weighted_r2", "weighted_r2_low",
    "weighted_r2_high", "weighted_r2_within", "weighted_r2_within_low", "weighted_r2_within_high",
    "untrained_r2", "untrained_gain", "untrained_gain_low", "untrained_gain_high",
    "descriptors_r2", "mean_r2", "n", "works", "p", "q", "arrangements", "evidence", "learned",
    "finding", "reason",
]  # fmt: skip
LEVEL = 0.05
"""Significance level of the false discovery rate."""


def assess_evidence(
    table: pd.DataFrame, summary: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Fill in ``q``, ``evidence``, ``learned``, ``finding`` and ``reason``.

    Evidence says that the encoder's states hold the target, which is all that a search needs.
    Whether training put it there is another question: random convolutions hold the spectrum, too.

    Parameters
    ----------
    table, summary : DataFrame
        With `TABLE_COLUMNS` and `SUMMARY_COLUMNS`. The p-values are already corrected for
        testing several layers, so the false discovery rate is taken over targets.

    Returns
    -------
    table, summary : DataFrame
    """
    table, summary = table.copy(), summary.copy()
    for _, rows in table.groupby("layer").groups.items():
        table.loc[rows, "q"] = false_discovery_rate(table.loc[rows, "p"].to_numpy(dtype=float))
    summary["q"] = false_discovery_rate(summary["p"].to_numpy(dtype=float))
    numeric = [name for name in SUMMARY_COLUMNS if name.startswith(("untrained", "descriptors"))]
    summary[numeric] = summary[numeric].astype(float)
    numbers = [name for name in table.columns if name not in {"layer", "target", "n", "works"}]
    table[numbers] = table[numbers].astype(float)
    table["evidence"] = (table["r2_low"] > 0) & ~(table["q"] > LEVEL)
    for rows in (table, summary):
        rows["learned"] = rows["untrained_gain_low"] > 0
    supported = set(table.loc[table["evidence"] & (table["chosen"] > 0), "target"])
    summary["evidence"] = (
        (summary["chosen_r2_low"] > 0) & ~(summary["q"] > LEVEL) & summary["target"].isin(supported)
    )
    summary["finding"] = summary["evidence"] & summary["learned"]
    summary["reason"] = [_reason(row, table) for row in summary.to_dict("records")]
    return table, summary


def _reason(row: dict[str, Any], table: pd.DataFrame) -> str:
    """Return which layers encode the target and whether training added to it, or why not."""
    score = f"R² {row['chosen_r2']:.2f} ({row['chosen_r2_low']:.2f} to {row['chosen_r2_high']:.2f})"
    if not row["chosen_r2_low"] > 0:
        return f"not predicted: {score}"
    if row["q"] > LEVEL:
        return f"not distinguishable from chance: q {row['q']:.2f}, {score}"
    if not row["evidence"]:
        return f"no layer chosen in inner folds is evidence by itself: {score}"
    chosen = table[(table["target"] == row["target"]) & (table["chosen"] > 0) & table["evidence"]]
    layers = ", ".join(str(layer) for layer in chosen["layer"])
    return f"layer {layers}, chosen in inner folds: {score}{_gain(row)}"


def _gain(row: dict[str, Any]) -> str:
    """Return the sentence on the untrained encoder; empty if there is none to compare with."""
    low, high = row["untrained_gain_low"], row["untrained_gain_high"]
    if math.isnan(low):
        return ""
    verdict = "Training adds" if low > 0 else "Training is not shown to add:"
    return f". {verdict} {row['untrained_gain']:+.2f} ({low:+.2f} to {high:+.2f})"
