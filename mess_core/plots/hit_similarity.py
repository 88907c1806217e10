"""Why two tracks are similar: percentiles of the aspects."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from mess_core.plots.axes import COLOUR_A, OTHERS, axes_or_new

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["aspect_bars"]


def aspect_bars(
    explained: pd.DataFrame, *, wanted: Collection[str] = (), ax: Axes | None = None
) -> Axes:
    """Draw the share of the library that is less similar to the query than a hit, per aspect.

    Parameters
    ----------
    explained : DataFrame
        As returned by ``library.explain(query, hit)``.
    wanted : collection of str
        Aspects to highlight, such as those of the ranking; default: all.
    ax : matplotlib Axes, optional
        By default those of a new figure.

    Returns
    -------
    matplotlib Axes

    Examples
    --------
    >>> import pandas as pd
    >>> rows = {"aspect": ["tempo", "tempo", "rubato"], "percentile": [90.0, 90.0, 20.0]}
    >>> ax = aspect_bars(pd.DataFrame(rows), wanted=["tempo"])
    >>> [text.get_text() for text in ax.get_yticklabels()]
    ['tempo', 'rubato']
    """
    once = explained.drop_duplicates("aspect").reset_index(drop=True)
    ax = axes_or_new(ax, 4.5, 0.6 + 0.28 * max(1, len(once)))
    colours = [COLOUR_A if not wanted or name in wanted else OTHERS for name in once["aspect"]]
    ax.barh(range(len(once)), once["percentile"], color=colours)
    ax.set_yticks(range(len(once)), once["aspect"])
    ax.invert_yaxis()
    ax.set_xlim(0, 100)
    ax.axvline(50, color="0.7", lw=0.8)
    ax.set_xlabel("share of the library that is less similar (%)")
    return ax
