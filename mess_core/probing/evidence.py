"""Assess the evidence for each target: adjusted p-values, evidence, and the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mess_core.statistics import false_discovery_rate

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LEVEL", "SUMMARY_COLUMNS", "TABLE_COLUMNS", "assess_evidence"]

TABLE_COLUMNS = [
    "layer", "target", "r2", "r2_low", "r2_high", "pearson", "spearman", "rmse", "n", "works",
    "alpha", "dof", "p", "q", "r2_within", "r2_within_low", "r2_within_high", "n_within",
    "control_r2", "selectivity", "untrained_r2", "untrained_gain_low", "chosen", "weight",
    "evidence",
]  # fmt: skip
SUMMARY_COLUMNS = [
    "target", "layer", "chosen_r2", "chosen_r2_low", "chosen_r2_high", "chosen_r2_within",
    "chosen_r2_within_low", "chosen_r2_within_high", "weighted_r2", "weighted_r2_low",
    "weighted_r2_high", "weighted_r2_within", "weighted_r2_within_low", "weighted_r2_within_high",
    "untrained_r2", "untrained_gain_low", "descriptors_r2", "mean_r2", "n", "works", "p", "q",
    "arrangements", "evidence", "reason",
]  # fmt: skip
LEVEL = 0.05
"""Significance level of the false discovery rate."""


def assess_evidence(
    table: pd.DataFrame, summary: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the tables with ``q``, ``evidence`` and ``reason`` filled in.

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
    table["evidence"] = (
        (table["r2_low"] > 0) & ~(table["q"] > LEVEL) & ~(table["untrained_gain_low"] <= 0)
    )
    reasons = [_reason(row, table) for row in summary.to_dict("records")]
    summary["evidence"] = [reason.startswith("layer") for reason in reasons]
    summary["reason"] = reasons
    return table, summary


def _reason(row: dict[str, Any], table: pd.DataFrame) -> str:
    """Return one sentence: which layers encode the target, or why there is no evidence."""
    chosen = table[(table["target"] == row["target"]) & (table["chosen"] > 0)]
    supported = chosen[chosen["evidence"]]
    score = f"R² {row['chosen_r2']:.2f} ({row['chosen_r2_low']:.2f} to {row['chosen_r2_high']:.2f})"
    if not row["chosen_r2_low"] > 0:
        return f"not predicted: {score}"
    if row["q"] > LEVEL:
        return f"not distinguishable from chance: q {row['q']:.2f}, {score}"
    gain_low = row["untrained_gain_low"]
    if gain_low is not None and gain_low <= 0:
        return f"an untrained encoder does as well: {score} against {row['untrained_r2']:.2f}"
    if supported.empty:
        return f"no layer chosen in inner folds is evidence by itself: {score}"
    layers = ", ".join(str(layer) for layer in supported["layer"])
    return f"layer {layers}, chosen in inner folds: {score}"
