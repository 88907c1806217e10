"""Rank correlation across all rows and within groups, with standard error."""

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
        Mean of the correlations within groups, and its standard error.
    groups, rows : int
        Number of groups used, and of rows with both values.
    each : dict
        Group to the correlation within it.
    """

    across: float
    within: float
    standard_error: float
    groups: int
    rows: int
    each: dict[Hashable, float]

    def __str__(self) -> str:
        return f"{self.within:.2f} ± {self.standard_error:.2f}"


def grouped_spearman(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    groups: Sequence[Hashable],
    *,
    smallest: int = 4,
) -> GroupedCorrelation:
    """Compute the Spearman correlation across rows and within groups.

    Parameters
    ----------
    x, y : ndarray, float64, shape [rows]
        Rows with NaN are left out.
    groups : sequence, length rows
    smallest : int
        Minimum number of rows in a group. Groups in which x or y is constant are left out.

    Returns
    -------
    GroupedCorrelation
    """
    import pandas as pd
    from scipy.stats import spearmanr

    table = pd.DataFrame({"x": x, "y": y, "group": list(groups)}).dropna()
    each = {
        name: float(spearmanr(part["x"], part["y"]).statistic)
        for name, part in table.groupby("group")
        if len(part) >= smallest and part["x"].nunique() > 1 and part["y"].nunique() > 1
    }
    inside = list(each.values())
    nan = float("nan")
    varies = len(table) > 2 and table["x"].nunique() > 1 and table["y"].nunique() > 1
    return GroupedCorrelation(
        across=float(spearmanr(table["x"], table["y"]).statistic) if varies else nan,
        within=float(np.mean(inside)) if inside else nan,
        standard_error=float(np.std(inside) / np.sqrt(len(inside))) if inside else nan,
        groups=len(inside),
        rows=len(table),
        each=each,
    )
