"""First and second moments of features and targets, which are additive over rows.

Ridge regression needs only these moments of the training rows if there are more rows than
features. The moments of a training part are those of all rows minus those of the held-out
part, so cross-validation takes one pass over the rows instead of one per fold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Moments"]


@dataclass(frozen=True)
class Moments:
    """Sums over rows that can be added and subtracted.

    Rows should be centred near zero (for example on the mean of the whole set): otherwise
    differences of sums lose precision.

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
        """Return the moments of features [rows, features] and targets [rows, targets], float64."""
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
