"""`mess evaluate`: run all steps of the evaluation and report the time of each."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import click

from mess_core.cli.terminal import data_option, encoder_option

if TYPE_CHECKING:
    from mess_core.datasets.rendering import Engine

__all__ = ["evaluate"]


@click.command()
@data_option
@encoder_option
@click.option(
    "--percepiano",
    default=lambda: os.environ.get("MESS_PERCEPIANO", ""),
    show_default="MESS_PERCEPIANO",
    help="Folder of PercePiano, for triplets from human ratings.",
)
@click.option(
    "--engine",
    type=click.Choice(["demo", "fluidsynth", "auto"]),
    default="demo",
    show_default=True,
    help="Synthesiser for clips that exist only as notes.",
)
@click.option("--quiet", is_flag=True, help="Print the leaderboard only.")
def evaluate(data: str, encoder: str | None, percepiano: str, engine: Engine, quiet: bool) -> None:
    """Train the sequence of heads and compare all systems on every criterion.

    Writes evaluation/ENCODER/leaderboard/ in the data root. The first run takes longest, because it
    renders and embeds the clips that exist only as notes. Later runs reuse them.
    """
    from mess_core.evaluation.run import evaluate_library
    from mess_core.store import Layout
    from mess_core.store.lock import writing

    began = time.perf_counter()

    def say(line: str) -> None:
        if not quiet:
            click.echo(f"{time.perf_counter() - began:6.0f} s  {line}", err=True)

    with writing(Layout(data), say):
        board = evaluate_library(
            data, encoder=encoder, percepiano=percepiano, engine=engine, say=say
        )
    click.echo(board["markdown"])
