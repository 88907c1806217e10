"""First and second moments of features and targets, which add up over rows.

What ridge regression needs of the training rows when there are more rows than features.
Moments of a training part are those of all rows less those of the part held out, so a round
of cross-validation costs one pass over the rows instead of one per fold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Moments"]


@dataclass(frozen=True)
class Moments:
    """Sums over rows; add and subtract parts of one set of rows.

    Rows should be centred near zero (on the mean of the whole set, say): differences of sums
    far from it lose digits.

    Attributes
    ----------
    rows : int
    x, y : array, float64, shapes [features], [targets]
        Sums.
    xx, xy : array, float64, shapes [features, features], [features, targets]
        Sums of products.
    """

    rows: int
    x: Any
    y: Any
    xx: Any
    xy: Any

    @classmethod
    def of(cls, x: Any, y: Any) -> Moments:
        """Of features [rows, features] and targets [rows, targets], float64."""
        return cls(x.shape[0], x.sum(axis=0), y.sum(axis=0), x.T @ x, x.T @ y)

    def __add__(self, other: Moments) -> Moments:
        return Moments(
            self.rows + other.rows,
            self.x + other.x,
            self.y + other.y,
            self.xx + other.xx,
            self.xy + other.xy,
        )

    def __sub__(self, other: Moments) -> Moments:
        return Moments(
            self.rows - other.rows,
            self.x - other.x,
            self.y - other.y,
            self.xx - other.xx,
            self.xy - other.xy,
        )
