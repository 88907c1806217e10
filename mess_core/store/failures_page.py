"""The failure records as a table for code and as a page for people."""

from __future__ import annotations

import html
import json
from typing import TYPE_CHECKING, Any

from mess_core.store.arrays import write_bytes
from mess_core.store.failures import failures_table
from mess_core.store.layout import Layout
from mess_core.store.tables import write_table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["failures_html", "reasons", "write_failures"]

_SHOWN = ["track_id", "stage", "problem", "path", "remedy", "attempts", "at"]


def write_failures(layout: Layout) -> pd.DataFrame:
    """Write all failure records to ``failures/failures.parquet`` and ``failures.html``.

    Returns
    -------
    DataFrame
        One row per present failure of a track at a stage; ``cause`` as JSON text.
    """
    table = failures_table(layout)
    stored = table.assign(
        cause=[json.dumps(cause, sort_keys=True, default=str) for cause in table["cause"]],
        attempts=table["attempts"].astype("int64"),
        transient=table["transient"].astype("bool"),
    )
    texts = [name for name in stored.columns if name not in {"attempts", "transient"}]
    stored = stored.astype(dict.fromkeys(texts, "str"))
    write_table(layout.failures / "failures.parquet", stored)
    write_bytes(layout.failures / "failures.html", failures_html(stored).encode())
    return stored


def reasons(table: pd.DataFrame) -> pd.DataFrame:
    """Count the tracks per reason (columns stage, error, remedy, tracks), most frequent first."""
    counted = table.groupby(["stage", "error", "remedy"], dropna=False).size()
    return counted.rename("tracks").reset_index().sort_values("tracks", ascending=False)


def failures_html(table: pd.DataFrame) -> str:
    """Return a page without scripts: reasons by frequency, then each failed track."""
    if table.empty:
        body = "<p>No failed tracks.</p>"
    else:
        body = "<h2>Reasons</h2>" + _html_table(reasons(table))
        body += "<h2>Tracks</h2>" + _html_table(table[_SHOWN])
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>MESS: failures</title>"
        "<meta name=viewport content='width=device-width, initial-scale=1'><style>"
        "body{font:15px/1.45 system-ui,sans-serif;margin:2rem}table{border-collapse:collapse}"
        "td,th{border:1px solid #ccc;padding:.3rem .6rem;text-align:left;vertical-align:top;"
        "overflow-wrap:anywhere}th{background:#f3f3f3}</style>"
        f"<h1>{table['track_id'].nunique()} failed tracks</h1>{body}"
    )


def _html_table(table: pd.DataFrame) -> str:
    head = "".join(f"<th scope=col>{html.escape(str(name))}" for name in table.columns)
    rows = "".join(
        "<tr>" + "".join(f"<td>{html.escape(_text(value))}" for value in row)
        for row in table.itertuples(index=False)
    )
    return f"<table><tr>{head}{rows}</table>"


def _text(value: Any) -> str:
    return "" if value is None or value != value else str(value)
