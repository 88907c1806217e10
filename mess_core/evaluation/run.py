"""The whole evaluation of a library in one call."""

from __future__ import annotations

import time
from collections.abc import Callable
from os import PathLike
from typing import TYPE_CHECKING, Any

from mess_core.datasets.percepiano import read_ratings
from mess_core.encoders.chosen import choose_encoder
from mess_core.errors import TooLittleError
from mess_core.evaluation import preparation
from mess_core.evaluation.head_training import train_model
from mess_core.evaluation.pipeline import Evaluation
from mess_core.evaluation.systems import MODELS
from mess_core.store.layout import Layout

if TYPE_CHECKING:
    from mess_core.datasets.rendering import Engine

__all__ = ["evaluate_library"]

Say = Callable[[str], None]


def evaluate_library(
    data: str | PathLike[str],
    *,
    encoder: str | None = None,
    percepiano: str = "",
    engine: Engine = "demo",
    say: Say = lambda _: None,
) -> dict[str, Any]:
    """Prepare the benchmark data, train all models, evaluate and compare all systems.

    Parameters
    ----------
    data : path-like or fsspec URL
        Data root of a library.
    encoder : str, optional
        Encoder whose embeddings to use, as in `mess_core.Library.open`.
    percepiano : str
        PercePiano folder; if empty, systems are not evaluated on human ratings.
    engine : {"demo", "fluidsynth", "auto"}
        Renders MIDI to audio.
    say : callable
        Called with progress messages.

    Returns
    -------
    dict
        As returned by `Evaluation.leaderboard`, with ``seconds`` per step.

    Raises
    ------
    MessError
        If the library is missing or too small, or the folder is not a PercePiano folder.
    """
    layout = choose_encoder(Layout(data), encoder, indexed=False)
    if percepiano:
        read_ratings(percepiano)  # report a wrong path now, not after minutes
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
        "single-factor triplets",
        lambda: preparation.store_single_factor_triplets(layout, engine=engine, say=say),
    )
    try:
        timed("triplets for listeners", lambda: preparation.store_human_triplets(layout))
    except TooLittleError as error:
        say(str(error))
    evaluation = Evaluation(layout, say=say)
    timed("models", lambda: [train_model(evaluation, model) for model in MODELS])
    timed("retrieval", evaluation.retrieval)
    timed("listeners", evaluation.listeners)
    if percepiano:
        timed("ratings", lambda: evaluation.ratings(percepiano, engine=engine))
    board: dict[str, Any] = timed("leaderboard", evaluation.leaderboard)
    return {**board, "seconds": seconds}
