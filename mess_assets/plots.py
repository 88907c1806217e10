"""Small plots for asset metadata, as Markdown images."""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg


def picture(png: bytes) -> dg.MetadataValue:
    """Return a PNG as metadata that the UI displays."""
    return dg.MetadataValue.md(f"![](data:image/png;base64,{base64.b64encode(png).decode()})")


def figure_picture(figure: Any) -> dg.MetadataValue:
    """Return a figure of `mess_core.plots` as metadata."""
    return picture(_png(figure, tight=False))


def tracks_png(tracks: Any) -> bytes:
    """Plot track durations, and the number of tracks with audio and with MIDI per data set."""
    figure, (left, right) = _figure(1, 2, 8.5, 2.8)
    minutes = tracks["duration_s"].dropna() / 60
    left.hist(minutes, bins=min(40, max(5, len(minutes) // 4)), color="#4477aa")
    left.set(xlabel="duration (min)", ylabel="tracks")
    counts = tracks.groupby("dataset")[["audio_path", "midi_path"]].count()
    for offset, column, color in ((-0.2, "audio_path", "#4477aa"), (0.2, "midi_path", "#ee6677")):
        positions = [row + offset for row in range(len(counts))]
        right.barh(positions, counts[column], height=0.4, color=color, label=column.split("_")[0])
    right.set_yticks(range(len(counts)), counts.index)
    right.set_xlabel("tracks")
    right.legend(fontsize=7)
    return _png(figure)


def throughput_png(audio_s_per_s: Sequence[float]) -> bytes:
    """Plot the throughput (seconds of audio per second) of each track of a run."""
    figure, axis = _figure(1, 1, 7, 2.2)
    axis.plot(range(1, len(audio_s_per_s) + 1), audio_s_per_s, ".", color="#4477aa")
    median = sorted(audio_s_per_s)[len(audio_s_per_s) // 2]
    axis.axhline(median, color="#ee6677", label=f"median {median:.3g}")
    axis.set(xlabel="track of this run", ylabel="audio s per s", ylim=(0, None))
    axis.legend(fontsize=7)
    return _png(figure)


def coverage_png(tracks: Any, covered: set[str]) -> bytes:
    """Plot the number of tracks per year, and of those whose id is in `covered`."""
    figure, axis = _figure(1, 1, 8.5, 2.6)
    table = tracks.assign(
        year=tracks["year"].astype("string").fillna("none"),
        covered=tracks["track_id"].isin(covered),
    )
    counts = table.groupby("year")["covered"].agg(["sum", "size"])
    years = counts.index.tolist()
    axis.bar(years, counts["size"], color="#dddddd", label="tracks")
    axis.bar(years, counts["sum"], color="#4477aa", label="embedded")
    axis.set(xlabel="year", ylabel="tracks")
    axis.tick_params(axis="x", labelsize=7, rotation=45)
    axis.legend(fontsize=7)
    return _png(figure)


def distributions_png(table: Any, names: Sequence[str]) -> bytes:
    """Plot a histogram per target."""
    columns = 6
    rows = -(-len(names) // columns)
    figure, axes = _figure(rows, columns, 11, 1.5 * rows)
    flat = axes.ravel()
    for axis, name in zip(flat, names, strict=False):
        values = table[name].dropna()
        axis.hist(values, bins=20, color="#4477aa")
        axis.set_title(f"{name} (n={len(values)})", fontsize=7)
        axis.tick_params(labelsize=6)
        axis.set_yticks([])
        axis.locator_params(axis="x", nbins=3)
    for axis in flat[len(names) :]:
        axis.axis("off")
    # tight_layout takes seconds for a grid of this size, and the margins are known.
    figure.subplots_adjust(left=0.02, right=0.98, top=0.94, bottom=0.06, hspace=0.75, wspace=0.15)
    return _png(figure, tight=False)


def similarity_png(cosines: Any, title: str) -> bytes:
    """Plot a track x track matrix of cosine similarities."""
    figure, axis = _figure(1, 1, 4.6, 4)
    image = axis.imshow(cosines, cmap="viridis", interpolation="nearest")
    axis.set_title(title, fontsize=9)
    axis.set(xlabel="track", ylabel="track")
    figure.colorbar(image, ax=axis, label="mean cosine over layers")
    return _png(figure)


def bars_png(values: dict[str, float], xlabel: str) -> bytes:
    """Plot horizontal bars, one per name."""
    figure, axis = _figure(1, 1, 6, 0.5 + 0.28 * len(values))
    names = list(values)[::-1]
    axis.barh(names, [values[name] for name in names], color="#4477aa")
    axis.set_xlabel(xlabel)
    axis.tick_params(labelsize=8)
    return _png(figure)


def course_png(history: Sequence[Mapping[str, float]]) -> bytes:
    """Plot scores in the course of training, one line per name."""
    figure, axis = _figure(1, 1, 7.5, 3.6)
    steps = [one["step"] for one in history]
    for name in [name for name in history[0] if name != "step"]:
        axis.plot(steps, [one[name] for one in history], ".-", label=name, linewidth=1)
    axis.set(xlabel="step", ylabel="score on works held out", ylim=(0, 1))
    axis.legend(fontsize=6, ncol=3)
    return _png(figure)


def _figure(rows: int, columns: int, width: float, height: float) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=90)
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns)


def _png(figure: Any, *, tight: bool = True) -> bytes:
    if tight:
        figure.tight_layout()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
