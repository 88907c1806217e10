"""Rank correlation across all rows and within groups, with its standard error."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["GroupedCorrelation", "grouped_spearman"]


@dataclass(frozen=True)
class GroupedCorrelation:
    """Spearman correlation of two columns.

    Attributes
    ----------
    across : float
        Over all rows.
    within, standard_error : float
        Mean over groups of the correlation inside a group, and its standard error.
    groups, rows : int
        Groups that count, and rows that have both values.
    """

    across: float
    within: float
    standard_error: float
    groups: int
    rows: int

    def __str__(self) -> str:
        return f"{self.within:.2f} ± {self.standard_error:.2f}"


def grouped_spearman(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    groups: Sequence[Hashable],
    *,
    smallest: int = 4,
) -> GroupedCorrelation:
    """Spearman correlation across rows and within groups of at least `smallest` rows.

    Rows without both values are left out, and groups in which either is constant.
    """
    import pandas as pd
    from scipy.stats import spearmanr

    table = pd.DataFrame({"x": x, "y": y, "group": list(groups)}).dropna()
    inside = [
        float(spearmanr(part["x"], part["y"]).statistic)
        for _, part in table.groupby("group")
        if len(part) >= smallest and part["x"].nunique() > 1 and part["y"].nunique() > 1
    ]
    nan = float("nan")
    varies = len(table) > 2 and table["x"].nunique() > 1 and table["y"].nunique() > 1
    return GroupedCorrelation(
        across=float(spearmanr(table["x"], table["y"]).statistic) if varies else nan,
        within=float(np.mean(inside)) if inside else nan,
        standard_error=float(np.std(inside) / np.sqrt(len(inside))) if inside else nan,
        groups=len(inside),
        rows=len(table),
    )
