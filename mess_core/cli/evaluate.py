"""`mess evaluate`: every step of the evaluation in a row, with its time."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import click

from mess_core.cli.terminal import data_option

if TYPE_CHECKING:
    from mess_core.datasets.rendering import Engine

__all__ = ["evaluate"]


@click.command()
@data_option
@click.option(
    "--percepiano",
    default=lambda: os.environ.get("MESS_PERCEPIANO", ""),
    show_default="MESS_PERCEPIANO",
    help="Folder of PercePiano: triplets from human ratings.",
)
@click.option(
    "--engine",
    type=click.Choice(["demo", "fluidsynth", "auto"]),
    default="demo",
    show_default=True,
    help="What makes clips of notes sound.",
)
@click.option("--quiet", is_flag=True, help="Print the leaderboard only.")
def evaluate(data: str, percepiano: str, engine: Engine, quiet: bool) -> None:
    """Train the ladder of heads and compare every system on every criterion.

    Writes evaluation/leaderboard/ in the data root. Clips that exist as notes only are
    rendered and embedded once; that takes longest, the first time.
    """
    from mess_core.evaluation.pipeline import evaluate_library

    began = time.perf_counter()

    def say(line: str) -> None:
        if not quiet:
            click.echo(f"{time.perf_counter() - began:6.0f} s  {line}", err=True)

    board = evaluate_library(data, percepiano=percepiano, engine=engine, say=say)
    click.echo(board["markdown"])
