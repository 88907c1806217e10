"""Discovery on disk and as pictures: Parquet for code, JSON for people, PNG heatmap."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from mess_core.probing.aspects import Aspect
from mess_core.store.arrays import write_bytes
from mess_core.store.tables import read_json, read_table, write_json, write_table

if TYPE_CHECKING:
    from mess_core.probing.discovery import Discovery

__all__ = ["heatmap_png", "load_aspects", "load_discovery", "save_aspects", "save_discovery"]


def save_discovery(discovery: Discovery, folder: Any, *, made_from: dict[str, Any]) -> None:
    """Write ``results.parquet``, ``heatmap.png`` and, last, ``results.json``.

    Parameters
    ----------
    discovery : Discovery
    folder : UPath
    made_from : dict
        Encoder identity, targets version and table checksums.
    """
    write_table(folder / "results.parquet", discovery.table)
    write_bytes(folder / "heatmap.png", heatmap_png(discovery, title=str(made_from["encoder"])))
    best = discovery.table.loc[discovery.table.groupby("target")["r2"].idxmax()]
    write_json(
        folder / "results.json",
        {
            "made_from": made_from,
            "settings": discovery.settings,
            "notes": discovery.notes,
            "best_layer": {
                row["target"]: {key: row[key] for key in ("layer", "r2", "r2_low", "r2_high", "n")}
                for row in best.to_dict("records")
            },
            "best_layer_note": "picked on the scores shown, so slightly optimistic",
        },
    )


def load_discovery(folder: Any) -> tuple[Discovery, dict[str, Any]]:
    """Read back what `save_discovery` wrote (without predictions), and ``made_from``."""
    from mess_core.probing.discovery import Discovery

    record = read_json(folder / "results.json")
    table = read_table(folder / "results.parquet")
    return Discovery(table, {}, record["settings"], record["notes"]), record["made_from"]


def save_aspects(aspects: dict[str, Aspect], path: Any, *, made_from: dict[str, Any]) -> None:
    """Write resolved aspects as JSON."""
    write_json(
        path,
        {
            "made_from": made_from,
            "aspects": {name: aspect.to_dict() for name, aspect in aspects.items()},
        },
    )


def load_aspects(path: Any) -> dict[str, Aspect]:
    """Read resolved aspects."""
    aspects = {}
    for name, values in read_json(path)["aspects"].items():
        values["weights"] = {int(layer): float(w) for layer, w in values["weights"].items()}
        for score in ("r2", "r2_low"):
            values[score] = float("nan") if values[score] is None else float(values[score])
        aspects[name] = Aspect(**values)
    return aspects


def heatmap_png(discovery: Discovery, *, title: str) -> bytes:
    """Layer x target heatmap of R² as PNG; a dot marks intervals that lie above zero."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    scores, low = discovery.pivot("r2"), discovery.pivot("r2_low")
    values = scores.to_numpy()
    figure = Figure(figsize=(1.6 + 0.62 * values.shape[1], 1.6 + 0.33 * values.shape[0]), dpi=110)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    if values.size == 0:
        axes.text(0.5, 0.5, "no target could be probed", ha="center", transform=axes.transAxes)
        values = np.zeros((1, 1))
    image = axes.imshow(np.clip(values, -1, 1), cmap="RdBu", vmin=-1, vmax=1, aspect="auto")
    axes.set_xticks(range(values.shape[1]), [str(layer) for layer in scores.columns])
    axes.set_yticks(range(values.shape[0]), list(scores.index))
    axes.set_xlabel("layer")
    for row in range(len(scores.index)):
        for column in range(len(scores.columns)):
            value = values[row, column]
            mark = " •" if low.to_numpy()[row, column] > 0 else ""
            text = f"{value:.2f}" if value > -9.99 else "<-10"
            axes.text(
                column, row, text + mark, ha="center", va="center", fontsize=6.5,
                color="white" if abs(np.clip(value, -1, 1)) > 0.6 else "black",
            )  # fmt: skip
    settings = discovery.settings
    axes.set_title(
        f"R² out of fold, {settings['folds']} folds by work, {settings['tracks']} tracks of "
        f"{settings['works']} works\n{title}   • = 95 % interval above 0",
        fontsize=9,
    )
    figure.colorbar(image, ax=axes, label="R² (clipped to ±1)", pad=0.02)
    figure.subplots_adjust(left=0.17, right=0.99, top=0.9, bottom=0.08)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
