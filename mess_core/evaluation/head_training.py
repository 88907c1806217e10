"""Train the models on a whole library and serve their heads.

A served head has been trained on every work of the library. How well its model does on unseen
works is measured by cross-validation (`mess_core.evaluation.protocol`).
"""

from __future__ import annotations

import contextlib
from typing import Any

from mess_core.errors import MessError, TooLittleError
from mess_core.evaluation.data import select_training_set
from mess_core.evaluation.pipeline import OBJECTIVES, Evaluation
from mess_core.evaluation.systems import MODELS, fit_head
from mess_core.ranking.triplets import Objective
from mess_core.search.served_heads import load_head, save_head, withdraw_head
from mess_core.store.cache import fingerprint
from mess_core.store.tables import read_json, write_json

__all__ = ["head_name", "head_names", "train_model"]


def head_name(objective: Objective, model: str) -> str:
    """Return the name under which a model's head is served.

    Examples
    --------
    >>> head_name("content", "linear, InfoNCE")
    'content-linear-infonce'
    """
    return f"{objective}-{model.lower().replace(', ', '-')}"


def head_names(model: str) -> list[str]:
    """Return the names of a model's heads; a centred model has no content head."""
    objectives = [one for one in OBJECTIVES if one != "content" or not MODELS[model].centred]
    return [head_name(objective, model) for objective in objectives]


def train_model(evaluation: Evaluation, model: str) -> dict[str, Any]:
    """Train one model for every objective on the whole library, and serve its heads.

    Parameters
    ----------
    evaluation : Evaluation
        Of the library.
    model : str
        One of `mess_core.evaluation.systems.MODELS`.

    Returns
    -------
    dict
        Head name to version, epoch, inner validation and ``reused``; or to ``problem`` if the
        library holds too little to learn from.

    Raises
    ------
    MessError
        If the model is unknown.
    """
    if model not in MODELS:
        raise MessError(f"there is no model {model!r}", remedy=f"Use one of {', '.join(MODELS)}")
    wanted = set(head_names(model))
    return {
        name: _train_head(evaluation, objective, model)
        for objective in OBJECTIVES
        if (name := head_name(objective, model)) in wanted
    }


def _train_head(evaluation: Evaluation, objective: Objective, model: str) -> dict[str, Any]:
    heads, name = evaluation.layout.heads, head_name(objective, model)
    made_from = {
        "identity": evaluation.identity,
        "objective": objective,
        "model": model,
        "split": evaluation.by,
        "fingerprint": fingerprint("head", model, evaluation.library),
    }
    record_path = heads / name / "training.json"
    with contextlib.suppress(MessError):  # no head, or one that cannot be served
        record = read_json(record_path)
        served = load_head(heads, name, identity=evaluation.identity)
        if record["fingerprint"] == made_from["fingerprint"] == served.made_from["fingerprint"]:
            return {**record, "reused": True}
    evaluation.say(f"training {name}")
    tracks = evaluation.benchmark.passages["track_id"].astype(str).unique().tolist()
    try:
        training_set = select_training_set(evaluation.benchmark, tracks)
        trained = fit_head(training_set, objective, model, made_from=made_from)
    except TooLittleError as error:
        withdraw_head(heads, name)  # an outdated head must not be served instead
        return {"problem": error.problem, "reused": False}
    record = {
        "fingerprint": made_from["fingerprint"],
        "version": save_head(heads, name, trained.head)["version"],
        "epoch": trained.epoch,
        "validation": trained.validation,
        "history": list(trained.history),
    }
    write_json(record_path, record)
    return {**record, "reused": False}
