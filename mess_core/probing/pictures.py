"""Figures of probing results: heatmap, layer profiles, and scores within and across works."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from mess_core.probing.discovery import Discovery

__all__ = ["draw_profile", "heatmap_html", "heatmap_png", "profiles_png", "within_png"]

_BLUE, _RED, _GREY = "#4477aa", "#ee6677", "#999999"
_MARKS = "• = evidence, ◆ = evidence that training added"


def heatmap_png(discovery: Discovery, *, title: str) -> bytes:
    """Return the layer x target heatmap of R² as PNG, with marks of evidence and of learning."""
    scores, marks = discovery.pivot("r2"), _marks(discovery)
    values = scores.to_numpy(dtype=float)
    figure = _figure(1.6 + 0.62 * max(values.shape[1], 4), 1.6 + 0.33 * max(values.shape[0], 3))
    axes = figure.add_subplot()
    if values.size == 0:
        axes.text(0.5, 0.5, "no target could be probed", ha="center", transform=axes.transAxes)
        values = np.zeros((1, 1))
    image = axes.imshow(np.clip(values, -1, 1), cmap="RdBu", vmin=-1, vmax=1, aspect="auto")
    axes.set_xticks(range(values.shape[1]), [str(layer) for layer in scores.columns] or [""])
    axes.set_yticks(range(values.shape[0]), list(scores.index) or [""])
    axes.set_xlabel("layer")
    for row in range(len(scores.index)):
        for column in range(len(scores.columns)):
            value = values[row, column]
            text = f"{value:.2f}" if value > -9.99 else "<-10"
            axes.text(
                column, row, f"{text} {marks[row, column]}", ha="center", va="center", fontsize=6.5,
                color="white" if abs(np.clip(value, -1, 1)) > 0.6 else "black",
            )  # fmt: skip
    axes.set_title(f"{_described(discovery)}\n{title}   {_MARKS}", fontsize=9)
    figure.colorbar(image, ax=axes, label="R² (clipped to ±1)", pad=0.02)
    # Names of targets and the colour bar need the same room at any width.
    return _png(figure, bbox_inches="tight", pad_inches=0.1)


def heatmap_html(discovery: Discovery, *, title: str) -> str:
    """Return the heatmap as an HTML page (plotly), with interval, q and baselines on hover."""
    import plotly.graph_objects as go

    scores = discovery.pivot("r2")
    shown = [
        "r2_low", "r2_high", "q", "r2_within", "untrained_r2", "untrained_gain_low", "selectivity",
        "n", "works",
    ]  # fmt: skip
    extra = [discovery.pivot(name).to_numpy(dtype=float) for name in shown]
    figure = go.Figure(
        go.Heatmap(
            z=np.clip(scores.to_numpy(dtype=float), -1, 1),
            x=[str(layer) for layer in scores.columns],
            y=list(scores.index),
            text=_marks(discovery),
            texttemplate="%{text}",
            customdata=np.stack([scores.to_numpy(dtype=float), *extra], axis=-1),
            zmin=-1,
            zmax=1,
            colorscale="RdBu",
            colorbar={"title": "R² (clipped)"},
            hovertemplate=(
                "%{y}, layer %{x}<br>R² %{customdata[0]:.3f} (95 %: %{customdata[1]:.3f} to "
                "%{customdata[2]:.3f})<br>q %{customdata[3]:.3f}<br>within works "
                "%{customdata[4]:.3f}<br>untrained %{customdata[5]:.3f}<br>selectivity "
                "%{customdata[6]:.3f}<br>%{customdata[7]:.0f} rows of %{customdata[8]:.0f} works"
                "<extra></extra>"
            ),
        )
    )
    warnings = [note for note in discovery.notes if note.startswith("WARNING")]
    figure.update_layout(
        title="<br>".join([_described(discovery), f"{title} ({_MARKS})", *warnings]),
        xaxis_title="layer",
        yaxis={"autorange": "reversed", "type": "category"},
        xaxis={"type": "category"},
        height=220 + 26 * len(scores.index),
        margin={"t": 110, "l": 170},
    )
    page: str = figure.to_html(full_html=True, include_plotlyjs=True)
    return page


def _marks(discovery: Discovery) -> NDArray[np.str_]:
    """Return the mark of each target and layer, in the order of ``discovery.pivot``."""
    evidence = discovery.pivot("evidence").to_numpy() == 1
    learned = discovery.pivot("learned").to_numpy() == 1
    return np.where(evidence & learned, "◆", np.where(evidence, "•", ""))


def profiles_png(discovery: Discovery) -> bytes:
    """Return plots of R² by layer for each target as PNG, with the untrained encoder."""
    names = list(dict.fromkeys(discovery.table["target"]))
    columns = 5
    grid_rows = max(1, -(-len(names) // columns))
    figure = _figure(12, 1.9 * grid_rows + 0.4)
    grid = figure.subplots(grid_rows, columns, squeeze=False, sharex=True).ravel()
    for axis, name in zip(grid, names, strict=False):
        rows = discovery.table[discovery.table["target"] == name]
        draw_profile(axis, rows, lowest=-1)
        axis.plot(rows["layer"], rows["r2_within"].clip(-1), color=_RED, lw=1)
        axis.set_title(name, fontsize=8)
        axis.set_ylim(-1.05, 1.05)
        axis.tick_params(labelsize=6)
    for axis in grid[len(names) :]:
        axis.axis("off")
    figure.suptitle(
        f"{_described(discovery)}\nblue: R², 95 %; red: within works; dashed: untrained encoder",
        fontsize=9,
    )
    top = 1 - 0.75 / figure.get_size_inches()[1]
    figure.subplots_adjust(left=0.04, right=0.99, top=top, bottom=0.05, hspace=0.45)
    return _png(figure)


def draw_profile(
    axes: Axes,
    rows: pd.DataFrame,
    *,
    trained: str = _BLUE,
    untrained: str = _GREY,
    lowest: float = -np.inf,
) -> None:
    """Draw R² by layer with its interval, and of the untrained encoder where there is one.

    Parameters
    ----------
    axes : matplotlib Axes
    rows : DataFrame
        Rows of one target of `Discovery.table`, by layer.
    trained, untrained : str
        Colours.
    lowest : float
        Lower scores are drawn there.
    """
    shown = rows.set_index("layer")[["r2", "r2_low", "r2_high", "untrained_r2"]].astype(float)
    shown = shown.clip(lower=lowest)
    layer, control = shown.index, shown["untrained_r2"]
    axes.fill_between(layer, shown["r2_low"], shown["r2_high"], color=trained, alpha=0.2, lw=0)
    axes.plot(layer, shown["r2"], "o-", ms=3, color=trained, label="trained, 95 % interval")
    if control.notna().any():
        axes.plot(layer, control, "s--", ms=2, color=untrained, label="untrained")
    axes.axhline(0, color="0.7", lw=0.8, zorder=0)


def within_png(discovery: Discovery) -> bytes:
    """Return a plot of R² within works against R² across works as PNG.

    Scores are those of the layer chosen in inner folds.
    """
    summary = discovery.summary
    figure = _figure(6.4, 5.6)
    axis = figure.add_subplot()
    x, y = summary["chosen_r2"].clip(-1), summary["chosen_r2_within"].clip(-1)
    bars = {
        "xerr": np.abs(summary[["chosen_r2_low", "chosen_r2_high"]].clip(-1).to_numpy().T - [x, x]),
        "yerr": np.abs(
            summary[["chosen_r2_within_low", "chosen_r2_within_high"]].clip(-1).to_numpy().T
            - [y, y]
        ),
    }
    axis.errorbar(x, y, **bars, fmt="o", color=_BLUE, ecolor="#bbbbbb", elinewidth=0.7, ms=4)
    for across, within, name in zip(x, y, summary["target"], strict=True):
        if np.isfinite(within):
            axis.annotate(name, (across, within), fontsize=6.5, xytext=(3, 3), **_OFFSET)
    axis.axhline(0, color="black", lw=0.5)
    axis.axvline(0, color="black", lw=0.5)
    axis.plot([-1, 1], [-1, 1], color=_GREY, lw=0.7, ls=":")
    axis.set(
        xlim=(-1.05, 1.05),
        ylim=(-1.05, 1.05),
        xlabel="R² across works (layer chosen in inner folds)",
        ylabel="R² within works: what differs between performances",
    )
    axis.set_title(_described(discovery), fontsize=9)
    figure.tight_layout()
    return _png(figure)


_OFFSET: dict[str, Any] = {"textcoords": "offset points"}


def _described(discovery: Discovery) -> str:
    settings = discovery.settings
    by = settings["grouped_by"]
    grouping = (
        "of single rows, as first published: LEAKS"
        if by in {"none", "as first published"}
        else (f"by {by}")
    )
    return (
        f"R² out of fold, {settings['folds']} folds {grouping}, {settings['tracks']} rows of "
        f"{settings['works']} works"
    )


def _figure(width: float, height: float) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=110)
    FigureCanvasAgg(figure)
    return figure


def _png(figure: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", **options)
    return buffer.getvalue()
