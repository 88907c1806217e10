"""Options and output functions shared by the `mess` commands."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["data_option", "encoder_option", "json_option", "note", "show_table"]

data_option = click.option(
    "--data",
    default=lambda: os.environ.get("MESS_DATA_ROOT", "data"),
    show_default="MESS_DATA_ROOT or ./data",
    help="Data root: a folder, or an fsspec URL for reading.",
)
encoder_option = click.option(
    "--encoder",
    default=None,
    help="Encoder to use, if several are stored; default: MESS_ENCODER, or the only one.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def show_table(table: pd.DataFrame, title: str, limit: int, as_json: bool) -> None:
    """Print a table, or its rows as JSON; `limit` is the number of rows, 0 for all."""
    rows = len(table)
    if limit:
        table = table.head(limit)
    if as_json:
        click.echo(table.to_json(orient="records", force_ascii=False, indent=1))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    view = Table(title=title, title_justify="left", header_style="bold")
    for name in table.columns:
        numeric = table[name].dtype.kind in "fiu"
        view.add_column(str(name), justify="right" if numeric else "left", overflow="fold")
    for row in table.itertuples(index=False):
        view.add_row(*(Text(_cell(value)) for value in row))
    # Programs read piped output, so do not truncate it to 80 columns.
    Console(width=None if sys.stdout.isatty() else 220).print(view)
    if limit and rows > limit:
        note(f"{rows - limit} more rows; --limit 0 shows all.")


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "-" if value != value else f"{value:.4g}"
    return "-" if value is None or str(value) in {"<NA>", "nan", "None"} else str(value)


def note(text: str) -> None:
    """Print a note to standard error."""
    click.secho(text, fg="yellow", err=True)
