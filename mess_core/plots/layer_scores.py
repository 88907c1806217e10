"""How well each layer predicts a target, beside the untrained control."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mess_core.plots.axes import COLOUR_A, COLOUR_B, axes_or_new
from mess_core.probing.pictures import draw_profile

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["layer_profile"]


def layer_profile(table: pd.DataFrame, target: str, *, ax: Axes | None = None) -> Axes:
    """Draw the cross-validated R² of each layer with its interval, and of the untrained control.

    Parameters
    ----------
    table : DataFrame
        ``mess.discover(...).table``, or ``probing/<encoder>/results.parquet``.
    target : str
    ax : matplotlib Axes, optional
        By default those of a new figure.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        If the table does not have the target.

    Examples
    --------
    >>> import pandas as pd
    >>> scores = {"layer": [0, 1], "r2": [0.2, 0.5], "r2_low": [0.1, 0.4], "r2_high": [0.3, 0.6]}
    >>> table = pd.DataFrame({"target": "tempo", **scores, "untrained_r2": [0.1, 0.1]})
    >>> layer_profile(table, "tempo").get_title()
    'tempo'
    """
    part = table[table["target"] == target].sort_values("layer")
    if part.empty:
        raise ValueError(f"the table has no target {target!r}")
    ax = axes_or_new(ax, 5.0, 3.0)
    draw_profile(ax, part, trained=COLOUR_A, untrained=COLOUR_B)
    ax.set_xlabel("layer")
    ax.set_ylabel("R², cross-validated by work")
    ax.set_title(target)
    ax.legend(frameon=False)
    return ax
