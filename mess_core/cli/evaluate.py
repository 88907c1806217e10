"""`mess evaluate`: every step of the evaluation in a row, with its seconds."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import click

from mess_core.cli.terminal import data_option

__all__ = ["evaluate", "evaluate_library"]


def evaluate_library(
    data: str,
    *,
    percepiano: str = "",
    engine: Any = "demo",
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Split, find passages, plant triplets, train the ladder, examine all, compare.

    What is stored and still right is not made again.

    Parameters
    ----------
    data : str
        Data root in which a library was built.
    percepiano : str
        Folder of PercePiano; empty: without human ratings.
    engine : {"demo", "fluidsynth", "auto"}
        What renders notes.
    say : callable
        Called with lines of progress.

    Returns
    -------
    dict
        As `store_leaderboard` gives, and ``seconds`` by step.

    Raises
    ------
    MessError
        If the library is not there or holds too little, or the folder is not PercePiano's.
    """
    from mess_core.datasets.percepiano import read_ratings
    from mess_core.errors import TooLittleError
    from mess_core.evaluation import pipeline, preparation
    from mess_core.evaluation.systems import RUNGS
    from mess_core.store.layout import Layout

    layout = Layout(data)
    if percepiano:
        read_ratings(percepiano)  # a slip in its name is told now, not after minutes
    seconds: dict[str, float] = {}

    def timed(name: str, step: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        result = step()
        seconds[name] = time.perf_counter() - began
        say(f"{name}: {seconds[name]:.0f} s")
        return result

    timed("splits", lambda: preparation.store_splits(layout))
    timed("passages", lambda: preparation.store_passages(layout))
    timed(
        "planted triplets",
        lambda: preparation.store_planted_triplets(layout, engine=engine, say=say),
    )
    try:
        timed("triplets for judges", lambda: preparation.store_human_triplets(layout))
    except TooLittleError as error:
        say(str(error))

    def train() -> None:
        for rung in RUNGS:
            pipeline.train_rung(layout, rung, say=say)

    timed("ladder", train)
    timed("retrieval", lambda: pipeline.evaluate_retrieval(layout, say=say))
    timed("judgements", lambda: pipeline.evaluate_judgements(layout, say=say))
    if percepiano:
        timed(
            "ratings",
            lambda: pipeline.evaluate_ratings(layout, percepiano, engine=engine, say=say),
        )
    board: dict[str, Any] = timed("leaderboard", lambda: pipeline.store_leaderboard(layout))
    return {**board, "seconds": seconds}


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
def evaluate(data: str, percepiano: str, engine: str, quiet: bool) -> None:
    """Train the ladder of heads and compare every system on every criterion.

    Writes evaluation/leaderboard/ in the data root. Clips that exist as notes only are
    rendered and embedded once; that takes longest, the first time.
    """
    began = time.perf_counter()

    def say(line: str) -> None:
        if not quiet:
            click.echo(f"{time.perf_counter() - began:6.0f} s  {line}", err=True)

    board = evaluate_library(data, percepiano=percepiano, engine=engine, say=say)
    click.echo(board["markdown"])
