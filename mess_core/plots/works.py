"""The performances of a work of a library in one figure."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from mess_core.errors import MessError
from mess_core.midi.comparison import carry, compare_performances
from mess_core.midi.performance import Performance
from mess_core.midi.reading import read_performance
from mess_core.plots.performances import comparison_figure

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["most_performed_figure"]


def most_performed_figure(tracks: pd.DataFrame, *, most: int = 8) -> Figure | None:
    """Return a figure of the work with most performances: two of them, the others as thin lines.

    Parameters
    ----------
    tracks : DataFrame
        The track table.
    most : int
        Performances to draw.

    Returns
    -------
    matplotlib Figure or None
        None if no work has two performances with MIDI that can be compared.

    Examples
    --------
    >>> import pandas as pd
    >>> columns = {"track_id": ["a"], "work_id": ["w"], "midi_path": [None]}
    >>> most_performed_figure(pd.DataFrame(columns)) is None
    True
    """
    played = tracks[tracks["midi_path"].notna()]
    counts = played["work_id"].value_counts()
    if counts.empty or counts.iloc[0] < 2:
        return None
    work = str(counts.index[0])
    found: dict[str, Performance] = {}
    for row in played[played["work_id"] == work].itertuples():
        with contextlib.suppress(MessError):
            found[str(row.track_id)] = read_performance(row.midi_path)
        if len(found) == most:
            break
    if len(found) < 2:
        return None
    (a, first), (b, second), *others = found.items()
    try:
        comparison = compare_performances(first, second)
    except MessError:  # they have too little in common
        return None
    carried = [carry(comparison, first, other) for _, other in others]
    return comparison_figure(
        comparison,
        names=(a, b),
        others=[one for one in carried if one is not None],
        title=f"{work}: {len(found)} of {counts.iloc[0]} performances",
    )
