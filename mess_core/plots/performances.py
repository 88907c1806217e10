"""How performances of one work differ: curves over the common beat, and the performance worm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mess_core.midi.comparison import CURVES, Comparison, PerformanceCurves
from mess_core.plots.axes import COLOUR_A, COLOUR_B, OTHERS, axes_or_new

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["comparison_figure", "performance_worm", "smoothed", "tempo_curves"]

_WORM_BEATS = 4.0
_FILLED = 1 / 3

Floats = NDArray[np.float64]


def tempo_curves(
    comparison: Comparison,
    *,
    names: tuple[str, str] = ("A", "B"),
    others: Sequence[PerformanceCurves] = (),
    curve: str = "tempo",
    smooth_beats: float = 1.0,
    ax: Axes | None = None,
) -> Axes:
    """Draw a curve of two performances over the beats that they share.

    Parameters
    ----------
    comparison : Comparison
        As returned by `mess_core.midi.compare_performances`.
    names : (str, str)
        Of the two performances, for the legend.
    others : sequence of PerformanceCurves
        Further performances, as returned by `mess_core.midi.carry`; drawn as thin lines.
    curve : str
        One of `mess_core.midi.CURVES`: tempo, velocity, articulation, pedal, asynchrony.
    smooth_beats : float
        Standard deviation of the Gaussian that smooths the curves, in beats; 0 for none.
    ax : matplotlib Axes, optional
        By default those of a new figure.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        If there is no such curve.

    Examples
    --------
    >>> from mess_core.datasets.demo import Expression, demo_score, perform
    >>> from mess_core.midi import compare_performances
    >>> takes = [Expression(tempo_factor=factor) for factor in (1.0, 1.25)]
    >>> both = [perform(demo_score(0), one, seed=0).performance for one in takes]
    >>> ax = tempo_curves(compare_performances(*both), names=("steady", "faster"))
    >>> ax.get_ylabel(), len(ax.lines)
    ('tempo (BPM)', 2)
    """
    if curve not in CURVES:
        raise ValueError(f"there is no curve {curve!r}; there are {', '.join(CURVES)}")
    ax = axes_or_new(ax, 8.0, 2.4)
    beat = np.arange(len(comparison.a.beats_s) - 1) + 0.5
    for one in others:
        ax.plot(beat, smoothed(getattr(one, curve), smooth_beats), color=OTHERS, lw=0.6, zorder=1)
    for one, name, colour in _both(comparison, names):
        values = smoothed(getattr(one, curve), smooth_beats)
        ax.plot(beat, values, color=colour, lw=1.6, label=name, zorder=2)
    ax.set_xlabel("beat")
    ax.set_ylabel(f"{curve} ({CURVES[curve]})")
    ax.legend(frameon=False, ncols=2, loc="upper right")
    return ax


def performance_worm(
    comparison: Comparison,
    *,
    names: tuple[str, str] = ("A", "B"),
    beats: tuple[float, float] | None = None,
    smooth_beats: float = _WORM_BEATS,
    ax: Axes | None = None,
) -> Axes:
    """Draw the trajectories of two performances through tempo and loudness.

    Loudness is MIDI velocity. A line becomes darker and thicker towards the end of the part.

    Parameters
    ----------
    comparison, names, ax
        As in `tempo_curves`.
    beats : (float, float), optional
        First and last beat to draw; default: all.
    smooth_beats : float
        Standard deviation of the Gaussian that smooths both, in beats.

    Returns
    -------
    matplotlib Axes

    References
    ----------
    J. Langner and W. Goebl, "Visualizing expressive performance in tempo-loudness space",
    Computer Music Journal 27(4), 2003.

    Examples
    --------
    >>> from mess_core.datasets.demo import Expression, demo_score, perform
    >>> from mess_core.midi import compare_performances
    >>> takes = [Expression(rubato=rubato) for rubato in (0.0, 0.2)]
    >>> both = [perform(demo_score(0), one, seed=0).performance for one in takes]
    >>> ax = performance_worm(compare_performances(*both))
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('tempo (BPM)', 'MIDI velocity')
    """
    from matplotlib.collections import LineCollection

    ax = axes_or_new(ax, 4.5, 4.0)
    for one, name, colour in _both(comparison, names):
        tempo, velocity = (smoothed(values, smooth_beats) for values in (one.tempo, one.velocity))
        first, last = beats or (0, len(tempo))
        part = slice(max(0, int(first)), int(np.ceil(last)))
        points = np.stack([tempo[part], velocity[part]], axis=1)
        points = points[np.isfinite(points).all(axis=1)]
        if len(points) < 2:
            continue
        age = np.linspace(0.15, 1.0, len(points) - 1)
        lines = LineCollection(
            list(np.stack([points[:-1], points[1:]], axis=1)),
            color=colour,
            alpha=age,
            linewidths=0.6 + 2.0 * age,
            label=name,
        )
        ax.add_collection(lines)
        ax.plot(*points[-1], "o", color=colour, ms=7)
    ax.autoscale()
    ax.set_xlabel("tempo (BPM)")
    ax.set_ylabel("MIDI velocity")
    ax.legend(frameon=False, loc="best")
    return ax


def comparison_figure(
    comparison: Comparison,
    *,
    names: tuple[str, str] = ("A", "B"),
    others: Sequence[PerformanceCurves] = (),
    title: str = "",
) -> Figure:
    """Return a figure of all curves of two performances, and their worm.

    Parameters
    ----------
    comparison, names, others
        As in `tempo_curves`.
    title : str

    Returns
    -------
    matplotlib Figure

    Examples
    --------
    >>> from mess_core.datasets.demo import Expression, demo_score, perform
    >>> from mess_core.midi import compare_performances
    >>> takes = [Expression(rubato=rubato) for rubato in (0.0, 0.2)]
    >>> both = [perform(demo_score(0), one, seed=0).performance for one in takes]
    >>> len(comparison_figure(compare_performances(*both), title="two takes").axes)
    6
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 9), layout="constrained")
    grid = figure.add_gridspec(len(CURVES) + 2, 1)
    for row, curve in enumerate(CURVES):
        ax = tempo_curves(
            comparison,
            names=names,
            others=others,
            curve=curve,
            ax=figure.add_subplot(grid[row]),
        )
        if row and (legend := ax.get_legend()) is not None:
            legend.remove()
        if row < len(CURVES) - 1:
            ax.set_xlabel("")
            ax.tick_params(labelbottom=False)
    worm: Any = grid[len(CURVES) :]
    performance_worm(comparison, names=names, ax=figure.add_subplot(worm))
    figure.suptitle(title)
    return figure


def smoothed(values: Floats, beats: float) -> Floats:
    """Return a curve smoothed by a Gaussian of `beats`, over the values that are known.

    A gap is filled where its neighbours have a third of the weight.

    Examples
    --------
    >>> smoothed(np.array([1.0, np.nan, 1.0, 1.0, *[np.nan] * 4]), 1.0).round(6).tolist()
    [1.0, 1.0, 1.0, 1.0, nan, nan, nan, nan]
    """
    if not beats:
        return values
    from scipy.ndimage import gaussian_filter1d

    known = np.isfinite(values)
    total = gaussian_filter1d(np.where(known, values, 0.0), beats, mode="constant")
    weight = gaussian_filter1d(known.astype(np.float64), beats, mode="constant")
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Floats = np.where(known | (weight > _FILLED), total / weight, np.nan)
    return found


def _both(
    comparison: Comparison, names: tuple[str, str]
) -> Sequence[tuple[PerformanceCurves, str, str]]:
    return (
        (comparison.a, names[0], COLOUR_A),
        (comparison.b, names[1], COLOUR_B),
    )
