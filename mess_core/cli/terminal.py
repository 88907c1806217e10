"""Options and ways of telling that the commands of `mess` share."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["data_option", "json_option", "note", "show_table"]

data_option = click.option(
    "--data",
    default=lambda: os.environ.get("MESS_DATA_ROOT", "data"),
    show_default="MESS_DATA_ROOT or ./data",
    help="Data root: a folder; for reading, an fsspec URL too.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


def show_table(table: pd.DataFrame, title: str, limit: int, as_json: bool) -> None:
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
    # Piped output is for reading by programs too: do not cut it to 80 columns.
    Console(width=None if sys.stdout.isatty() else 220).print(view)
    if limit and rows > limit:
        note(f"{rows - limit} more; --limit 0 shows all.")


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "-" if value != value else f"{value:.4g}"
    return "-" if value is None or str(value) in {"<NA>", "nan", "None"} else str(value)


def note(text: str) -> None:
    click.secho(text, fg="yellow", err=True)
