"""Probing results on disk: tables as Parquet, a JSON summary, figures and an HTML page."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from mess_core.errors import StoreError
from mess_core.probing.aspects import ASPECTS, Aspect
from mess_core.probing.pictures import heatmap_html, heatmap_png, profiles_png, within_png
from mess_core.store.arrays import write_bytes
from mess_core.store.findings import Finding
from mess_core.store.layout import Layout
from mess_core.store.matrix import load_matrix
from mess_core.store.tables import read_json, read_table, write_json, write_table

if TYPE_CHECKING:
    import pandas as pd

    from mess_core.probing.discovery import Discovery

__all__ = [
    "PICTURES",
    "check_aspects",
    "load_aspects",
    "load_discovery",
    "read_results",
    "save_aspects",
    "save_discovery",
]

PICTURES = ("heatmap.png", "layers.png", "within.png")
_RECORD = "results.json"
_WRITING_S, _PAUSE_S = 2.0, 0.05


def save_discovery(discovery: Discovery, folder: Any, *, made_from: dict[str, Any]) -> None:
    """Write tables, figures, ``heatmap.html`` and, last, ``results.json``.

    Parameters
    ----------
    discovery : Discovery
    folder : UPath
    made_from : dict
        Encoder identity, targets version and table checksums.
    """
    title = str(made_from["encoder"])
    drawn = (heatmap_png(discovery, title=title), profiles_png(discovery), within_png(discovery))
    page = heatmap_html(discovery, title=title).encode()
    # Removed first and written last, so that a partial result is never read.
    (folder / _RECORD).unlink(missing_ok=True)
    write_table(folder / "results.parquet", discovery.table)
    write_table(folder / "summary.parquet", discovery.summary)
    for name, picture in zip(PICTURES, drawn, strict=True):
        write_bytes(folder / name, picture)
    write_bytes(folder / "heatmap.html", page)
    shown = ["layer", "chosen_r2", "chosen_r2_low", "chosen_r2_high", "chosen_r2_within", "q", "n"]
    shown += ["untrained_gain", "untrained_gain_low", "untrained_gain_high"]
    shown += ["evidence", "learned", "finding", "reason"]
    write_json(
        folder / _RECORD,
        {
            "made_from": made_from,
            "settings": discovery.settings,
            "notes": discovery.notes,
            "targets": {
                row["target"]: {key: row[key] for key in shown}
                for row in discovery.summary.to_dict("records")
            },
        },
    )


def read_results(folder: Any, *tables: str) -> tuple[dict[str, Any], list[pd.DataFrame]]:
    """Read ``results.json`` and tables that belong to it, also while another process writes.

    Parameters
    ----------
    folder : UPath
    *tables : str
        Names of tables beside it.

    Raises
    ------
    StoreError
        If a file is missing or damaged; while there are tables without a record, someone may be
        writing them, and reading is tried again for two seconds.
    """
    until = time.monotonic() + _WRITING_S
    while True:
        try:
            record = read_json(folder / _RECORD)
            found = [read_table(folder / name) for name in tables]
            if read_json(folder / _RECORD) == record:
                return record, found
        except StoreError:
            if time.monotonic() > until or not (folder / "results.parquet").exists():
                raise
        time.sleep(_PAUSE_S)


def load_discovery(folder: Any) -> tuple[Discovery, dict[str, Any]]:
    """Load what `save_discovery` wrote (without predictions), and ``made_from``.

    Raises
    ------
    StoreError
        If a file is missing, or was written by another version of layer discovery.
    """
    from mess_core.probing.discovery import PROBING_VERSION, Discovery

    record, (table, summary) = read_results(folder, "results.parquet", "summary.parquet")
    if (version := record["settings"].get("version")) != PROBING_VERSION:
        raise StoreError(
            f"written by version {version} of layer discovery, not by version {PROBING_VERSION}",
            path=str(folder / _RECORD),
            remedy="Materialise `probing` and `segment_probing` again",
        )
    return Discovery(table, summary, {}, record["settings"], record["notes"]), record["made_from"]


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
    """Load resolved aspects from JSON."""
    aspects = {}
    for name, values in read_json(path)["aspects"].items():
        values["weights"] = {int(layer): float(w) for layer, w in values["weights"].items()}
        for score in ("r2", "r2_low"):
            values[score] = float("nan") if values[score] is None else float(values[score])
        aspects[name] = Aspect(**values)
    return aspects


def check_aspects(layout: Layout) -> Finding:
    """Check that all aspects are present, with weights over the encoder's layers that sum to 1."""
    aspects = load_aspects(layout.probing / "aspects.json")
    _, _, manifest = load_matrix(layout)
    layers = set(manifest["identity"]["layers"])
    wrong = [
        name
        for name, aspect in aspects.items()
        if abs(sum(aspect.weights.values()) - 1) > 1e-9 or not set(aspect.weights) <= layers
    ]
    return Finding(
        set(aspects) == set(ASPECTS) and not wrong,
        {
            "aspects": len(aspects),
            "available": [name for name, aspect in aspects.items() if aspect.available],
            "wrong_weights": wrong,
        },
    )
