"""API of the listening test: the next question, its clips, and the listener's answers.

The page receives neither track ids nor the kind of a triplet, so that listeners cannot be
influenced by them.
"""

from __future__ import annotations

import json
import logging
import statistics
import threading
from collections import OrderedDict
from concurrent.futures import Future
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from fastapi.responses import Response as HTTPResponse
from starlette.concurrency import run_in_threadpool

from mess_core.errors import AudioError, JudgementError, StoreError
from mess_core.judgements.plan import Step, Triplets, check_listener, listening_plan
from mess_core.judgements.response_log import (
    append_response,
    read_triplets,
    responses_by_position,
)
from mess_core.judgements.responses import Response
from mess_core.listen.library_cache import changed
from mess_core.listen.loudness import wav_clips
from mess_core.listen.media import audio_file
from mess_core.listen.origin import refuse_foreign
from mess_core.store.layout import Layout
from mess_core.store.tables import read_table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["listening_test_routes"]

_log = logging.getLogger(__name__)
_LARGEST_ANSWER = 2000
_CACHED_TRIPLETS = 16
Slot = Literal["x", "left", "right"]


def listening_test_routes(root: str | PathLike[str]) -> APIRouter:
    """Return the routes ``plan``, ``clip`` and ``answer`` for one data root.

    The data root needs the track table and the triplets, but no index.

    Parameters
    ----------
    root : path-like or fsspec URL
    """
    routes = APIRouter()
    session = _Session(root)
    routes.get("/plan", response_model=None)(partial(_plan, session))
    routes.get("/clip", response_model=None)(partial(_clip, session))
    routes.post("/answer", response_model=None)(partial(_answer, session))
    return routes


class _Session:
    """Triplets and tracks, read again when they change, and a cache of recent clips."""

    def __init__(self, root: str | PathLike[str]) -> None:
        self.layout = Layout(root)
        self._lock = threading.RLock()
        self._triplets: tuple[Any, Triplets] | None = None
        self._tracks: tuple[Any, pd.DataFrame] | None = None
        self._clips: OrderedDict[tuple[str, str], Future[list[bytes]]] = OrderedDict()

    def triplets(self) -> Triplets:
        with self._lock:
            stamp = changed(self.layout.human_triplets)
            if self._triplets is None or stamp is None or self._triplets[0] != stamp:
                self._triplets = (stamp, read_triplets(self.layout))
            return self._triplets[1]

    def clip(self, listener: str, step: Step, slot: Slot) -> bytes:
        """Return a clip, matched in loudness to the other two of its triplet.

        The three requests for a triplet decode its clips once. Other listeners do not wait.
        """
        key = (listener, step.ticket)
        with self._lock:
            future = self._clips.get(key)
            is_first = future is None
            if future is None:
                future = self._clips[key] = Future()
            self._clips.move_to_end(key)
            while len(self._clips) > _CACHED_TRIPLETS:
                self._clips.popitem(last=False)
        if is_first:
            try:
                future.set_result(self._decode(step))
            except BaseException as error:
                with self._lock:
                    self._clips.pop(key, None)  # the next request tries again
                future.set_exception(error)
        return future.result()[("x", "left", "right").index(slot)]

    def _decode(self, step: Step) -> list[bytes]:
        tracks = self._track_table()
        passages: list[tuple[Path, float, float]] = []
        for slot in ("x", "left", "right"):
            clip = step.shown(slot)
            passages.append((audio_file(tracks, clip.track), clip.start_s, clip.end_s))
        return wav_clips(passages)

    def _track_table(self) -> pd.DataFrame:
        with self._lock:
            stamp = changed(self.layout.tracks)
            if self._tracks is None or stamp is None or self._tracks[0] != stamp:
                self._tracks = (stamp, read_table(self.layout.tracks))
            return self._tracks[1]


def _plan(session: _Session, listener: str, after: int = -1) -> dict[str, Any]:
    """Return the next unanswered question after a position, wrapping around; null if none."""
    check_listener(listener)
    try:
        triplets = session.triplets()
    except StoreError as error:
        if session.layout.human_triplets.exists():
            raise
        return {"state": "empty", "problem": error.problem, "remedy": error.remedy}
    steps = listening_plan(listener, triplets)
    responses = responses_by_position(session.layout, listener, triplets)
    remaining = [
        step for step in steps if step.position not in responses and step.position != after
    ]
    following = [step for step in remaining if step.position > after] or remaining
    return {
        "state": "ready",
        **_progress(steps, responses),
        "triplet": _question(listener, following[0]) if following else None,
    }


def _clip(session: _Session, listener: str, position: int, ticket: str, clip: Slot) -> HTTPResponse:
    steps = listening_plan(listener, session.triplets())
    if not 0 <= position < len(steps) or steps[position].ticket != ticket:
        raise JudgementError("there is no such clip", remedy="Reload the page")
    try:
        wave = session.clip(listener, steps[position], clip)
    except (AudioError, StoreError) as error:
        # The log names the track. The listener must not learn it.
        _log.warning("a clip cannot be played: %s", error)
        raise AudioError(
            "a clip of this triplet cannot be played",
            remedy="Skip it for now, and tell the person who runs this server",
        ) from error
    headers = {
        # The URL contains the ticket, which changes when the triplets change.
        "Cache-Control": "private, max-age=86400, immutable",
        # Gzip hardly shrinks audio. A response with an encoding is not compressed again.
        "Content-Encoding": "identity",
    }
    return HTTPResponse(wave, media_type="audio/wav", headers=headers)


async def _answer(session: _Session, request: Request) -> dict[str, Any]:
    refuse_foreign(request, "an answer")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LARGEST_ANSWER:
            raise JudgementError(f"an answer must not be larger than {_LARGEST_ANSWER} bytes")
    try:
        record = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise JudgementError("the answer is not JSON") from error
    response = Response.from_record(record)
    return await run_in_threadpool(_store, session, check_listener(record["listener"]), response)


def _store(session: _Session, listener: str, response: Response) -> dict[str, Any]:
    triplets = session.triplets()
    append_response(session.layout, listener, triplets, response)
    responses = responses_by_position(session.layout, listener, triplets)
    return _progress(listening_plan(listener, triplets), responses)


def _progress(steps: list[Step], responses: dict[int, dict[str, Any]]) -> dict[str, Any]:
    seconds = [line["seconds"] for line in responses.values()]
    return {
        "total": len(steps),
        "answered": len(responses),
        "minutes": round(sum(seconds) / 60, 1),
        "median_s": round(statistics.median(seconds), 1) if seconds else None,
    }


def _question(listener: str, step: Step) -> dict[str, Any]:
    query = {"listener": listener, "position": step.position, "ticket": step.ticket}
    clips = {
        slot: "/api/listening-test/clip?" + urlencode({**query, "clip": slot})
        for slot in ("x", "left", "right")
    }
    return {"position": step.position, "ticket": step.ticket, "clips": clips}
