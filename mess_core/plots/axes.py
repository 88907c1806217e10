"""Axes to draw into, and the colours that the page uses, too."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["COLOUR_A", "COLOUR_B", "OTHERS", "axes_or_new"]

COLOUR_A, COLOUR_B, OTHERS = "#1d5fa8", "#a8411d", "#9aa4b0"
"""Query, hit, and other performances; distinct for people who see no red or green."""


def axes_or_new(axes: Axes | None, width: float, height: float) -> Axes:
    """Return `axes`, or those of a new figure of this size in inches.

    The figure belongs to no window, so that nothing is left open.
    """
    if axes is not None:
        return axes
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained").add_subplot()
