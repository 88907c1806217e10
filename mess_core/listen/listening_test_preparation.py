"""Prepare the listening test from its page: what runs, and how far it is."""

from __future__ import annotations

import threading
from os import PathLike
from typing import Any

from fastapi import APIRouter, Request

from mess_core.encoders.chosen import choose_encoder
from mess_core.errors import JudgementError, MessError
from mess_core.evaluation.preparation import store_human_triplets, store_passages, store_splits
from mess_core.listen.origin import refuse_foreign
from mess_core.store.layout import Layout
from mess_core.store.lock import writing

__all__ = ["preparation_routes"]

_STEPS = (
    ("splitting works into folds", store_splits),
    ("finding passages that several performances share", store_passages),
    ("drawing triplets", store_human_triplets),
)


class _Preparation:
    """At most one preparation at a time, in a thread."""

    def __init__(self, root: str | PathLike[str], encoder: str | None) -> None:
        self._root, self._encoder = root, encoder
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._status: dict[str, Any] = {"state": "idle", "steps": len(_STEPS)}

    def status(self) -> dict[str, Any]:
        """Return ``state`` (idle, running, done or failed), ``step``, ``steps`` and ``said``."""
        with self._lock:
            return dict(self._status)

    def start(self) -> dict[str, Any]:
        """Begin, unless it is under way, and return the status."""
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._status = {"state": "running", "step": 0, "steps": len(_STEPS), "said": ""}
                self._thread = threading.Thread(target=self._run, daemon=True)
                self._thread.start()
        return self.status()

    def _run(self) -> None:
        try:
            layout = choose_encoder(Layout(self._root), self._encoder, indexed=False)
            with writing(layout, self._say):
                for number, (said, step) in enumerate(_STEPS):
                    self._say(said, step=number)
                    if not (step is store_splits and (layout.splits / "work.json").exists()):
                        step(layout)  # frozen splits stay as they are
            self._say("", state="done", step=len(_STEPS))
        except MessError as error:
            self._say(str(error), state="failed")
        except Exception as error:  # a thread's error reaches nobody else
            self._say(f"unexpected: {type(error).__name__}: {error}", state="failed")

    def _say(self, said: str, **changed: Any) -> None:
        with self._lock:
            self._status = {**self._status, "said": said, **changed}


def preparation_routes(root: str | PathLike[str], encoder: str | None = None) -> APIRouter:
    """Return ``prepare``: POST begins, GET says how far it is.

    Parameters
    ----------
    root : path-like or fsspec URL
    encoder : str, optional
        As in `create_app`.
    """
    routes = APIRouter()
    preparation = _Preparation(root, encoder)

    def start(request: Request) -> dict[str, Any]:
        refuse_foreign(request, "an order")
        if Layout(root).human_triplets.exists():
            raise JudgementError("the listening test has been prepared already")
        return preparation.start()

    routes.post("/prepare", response_model=None)(start)
    routes.get("/prepare", response_model=None)(preparation.status)
    return routes
