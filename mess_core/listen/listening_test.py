"""What the page of listeners asks for and sends: questions, clips without names, answers.

Neither track ids nor what a triplet was sampled for reach the page: a listener who reads them
there would no longer listener by ear.
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
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from mess_core.errors import AudioError, JudgementError, StoreError
from mess_core.judgements.plan import Step, Triplets, check_listener, listening_plan
from mess_core.judgements.response_log import answered, append_response, read_triplets
from mess_core.judgements.responses import Answer
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
_KEPT_TRIPLETS = 16
Place = Literal["x", "left", "right"]


def listening_test_routes(root: str | PathLike[str]) -> APIRouter:
    """Routes ``plan``, ``clip`` and ``answer`` for one data root, which needs no index.

    Parameters
    ----------
    root : path-like or fsspec URL
    """
    routes = APIRouter()
    room = _Room(root)
    routes.get("/plan", response_model=None)(partial(_plan, room))
    routes.get("/clip", response_model=None)(partial(_clip, room))
    routes.post("/answer", response_model=None)(partial(_answer, room))
    return routes


class _Room:
    """Triplets and tracks, read again when they change, and the clips last heard."""

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

    def clip(self, listener: str, step: Step, place: Place) -> bytes:
        """A clip as loud as the other two of its triplet, which are made with it.

        The three requests for a triplet decode it once; nobody else waits for that.
        """
        key = (listener, step.ticket)
        with self._lock:
            future = self._clips.get(key)
            mine = future is None
            if future is None:
                future = self._clips[key] = Future()
            self._clips.move_to_end(key)
            while len(self._clips) > _KEPT_TRIPLETS:
                self._clips.popitem(last=False)
        if mine:
            try:
                future.set_result(self._made(step))
            except BaseException as error:
                with self._lock:
                    self._clips.pop(key, None)  # it may go well the next time
                future.set_exception(error)
        return future.result()[("x", "left", "right").index(place)]

    def _made(self, step: Step) -> list[bytes]:
        tracks = self._table()
        passages: list[tuple[Path, float, float]] = []
        for side in ("x", "left", "right"):
            clip = step.shown(side)
            passages.append((audio_file(tracks, clip.track), clip.start_s, clip.end_s))
        return wav_clips(passages)

    def _table(self) -> pd.DataFrame:
        with self._lock:
            stamp = changed(self.layout.tracks)
            if self._tracks is None or stamp is None or self._tracks[0] != stamp:
                self._tracks = (stamp, read_table(self.layout.tracks))
            return self._tracks[1]


def _plan(room: _Room, listener: str, after: int = -1) -> dict[str, Any]:
    """The first open question after a position, or else before it; null if there is none."""
    check_listener(listener)
    try:
        triplets = room.triplets()
    except StoreError as error:
        if room.layout.human_triplets.exists():
            raise
        return {"state": "empty", "problem": error.problem, "remedy": error.remedy}
    steps = listening_plan(listener, triplets)
    given = answered(room.layout, listener, triplets)
    still = [step for step in steps if step.position not in given and step.position != after]
    following = [step for step in still if step.position > after] or still
    return {
        "state": "ready",
        **_progress(steps, given),
        "triplet": _question(listener, following[0]) if following else None,
    }


def _clip(room: _Room, listener: str, position: int, ticket: str, clip: Place) -> Response:
    steps = listening_plan(listener, room.triplets())
    if not 0 <= position < len(steps) or steps[position].ticket != ticket:
        raise JudgementError("there is no such clip", remedy="Reload the page")
    try:
        wave = room.clip(listener, steps[position], clip)
    except (AudioError, StoreError) as error:
        # The listener is not to learn which track it is; who runs the server is.
        _log.warning("a clip cannot be played: %s", error)
        raise AudioError(
            "a clip of this triplet cannot be played",
            remedy="Leave it for later, and tell whoever runs this server",
        ) from error
    headers = {
        # The address holds the ticket, which is another one once the triplets change.
        "Cache-Control": "private, max-age=86400, immutable",
        # Sound hardly shrinks by gzip: naming an encoding keeps it from being tried.
        "Content-Encoding": "identity",
    }
    return Response(wave, media_type="audio/wav", headers=headers)


async def _answer(room: _Room, request: Request) -> dict[str, Any]:
    refuse_foreign(request, "an answer")
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _LARGEST_ANSWER:
            raise JudgementError(f"an answer takes at most {_LARGEST_ANSWER} bytes")
    try:
        record = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise JudgementError("the answer is not JSON") from error
    answer = Answer.from_record(record)
    return await run_in_threadpool(_keep, room, check_listener(record["listener"]), answer)


def _keep(room: _Room, listener: str, answer: Answer) -> dict[str, Any]:
    triplets = room.triplets()
    append_response(room.layout, listener, triplets, answer)
    return _progress(listening_plan(listener, triplets), answered(room.layout, listener, triplets))


def _progress(steps: list[Step], given: dict[int, dict[str, Any]]) -> dict[str, Any]:
    seconds = [line["seconds"] for line in given.values()]
    return {
        "total": len(steps),
        "answered": len(given),
        "minutes": round(sum(seconds) / 60, 1),
        "median_s": round(statistics.median(seconds), 1) if seconds else None,
    }


def _question(listener: str, step: Step) -> dict[str, Any]:
    asked = {"listener": listener, "position": step.position, "ticket": step.ticket}
    clips = {
        place: "/api/listening-test/clip?" + urlencode({**asked, "clip": place})
        for place in ("x", "left", "right")
    }
    return {"position": step.position, "ticket": step.ticket, "clips": clips}
