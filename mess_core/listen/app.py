"""Web application of `mess listen`: a JSON API for one library, its audio, and static files."""

from __future__ import annotations

import math
import tempfile
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from fastapi import FastAPI, Query, Request
from fastapi.responses import (
    FileResponse,
    HTMLResponse,
    JSONResponse,
    RedirectResponse,
    Response,
)
from fastapi.staticfiles import StaticFiles
from starlette.concurrency import run_in_threadpool
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

from mess_core.errors import AudioError, EncoderError, MessError, StoreError
from mess_core.listen.library_cache import LibraryCache
from mess_core.listen.listening_test import listening_test_routes
from mess_core.listen.listening_test_preparation import preparation_routes
from mess_core.listen.media import audio_file, peaks
from mess_core.listen.moments import moment
from mess_core.listen.origin import refuse_foreign
from mess_core.listen.overview import (
    PlacedBy,
    aspect_similarities,
    heatmap,
    layer_profile,
    target_values,
)
from mess_core.listen.two_performances import compared, other_performances
from mess_core.search.aspect_weights import parse_aspects
from mess_core.search.passages import parse_filters
from mess_core.search.query import SearchMode
from mess_core.search.served_heads import served_heads
from mess_core.store.layout import Layout
from mess_core.store.stored_encoders import probed_layout

__all__ = ["create_app"]

_STATIC = Path(__file__).parent / "static"
_LARGEST_UPLOAD = 500 * 2**20
_SUFFIXES = {".wav", ".flac", ".mp3", ".ogg", ".aif", ".aiff"}
_POLICY = (
    "default-src 'self'; img-src 'self' data:; media-src 'self' blob:; "
    # The waveform player inserts a style element into its shadow root.
    "style-src 'self' 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
_NOT_COMPARED = """<!doctype html><html lang="en"><meta charset="utf-8"><title>MESS</title>
<p>No encoders have been compared in this library. Run <code>mess run --encoder A --encoder B</code>
and <code>mess compare</code>. <a href="/">Back to the search</a></p></html>"""
_NOT_EVALUATED = """<!doctype html><html lang="en"><meta charset="utf-8"><title>MESS</title>
<p>Nothing has been evaluated in this library with this encoder. Run <code>mess evaluate</code>.
<a href="/">Back to the search</a></p></html>"""
Hits = Annotated[int, Query(ge=1, le=2000)]
Hit = Annotated[list[str], Query(max_length=200)]
Where = Annotated[list[str], Query(default_factory=list, max_length=40)]


def create_app(
    root: str | PathLike[str], *, encoder: str | None = None, hosts: Sequence[str] = ()
) -> FastAPI:
    """Create the application for one data root.

    Parameters
    ----------
    root : path-like or fsspec URL
    encoder : str, optional
        Encoder to search with, as in `Library.open`.
    hosts : sequence of str
        Host names to accept in addition to those of this machine; ``*`` accepts any. Requests
        to other names are refused, so that pages of other sites cannot read the library through
        the visitor's browser.

    Returns
    -------
    FastAPI
        The library is opened when the server starts, beside it, or else at the first request. If
        there is none yet, the page says so.
    """
    cache = LibraryCache(root, encoder)

    @asynccontextmanager
    async def prepared(_: FastAPI) -> AsyncIterator[None]:
        threading.Thread(target=cache.prepare, daemon=True).start()
        yield

    app = FastAPI(title="MESS", docs_url=None, redoc_url=None, openapi_url=None, lifespan=prepared)
    app.add_middleware(GZipMiddleware, minimum_size=2000)
    allowed = ["127.0.0.1", "localhost", "[::1]", *hosts]
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=allowed)
    app.middleware("http")(_headers)
    app.exception_handler(MessError)(_problem)
    for path, endpoint in (
        ("library", _library),
        ("similar", _similar),
        ("passages", _passages),
        ("explain", _explain),
        ("reasons", _reasons),
        ("moment", _moment),
        ("compare", _compare),
        ("others", _others),
        ("layer", _layer),
        ("targets", _targets),
        ("similarities", _similarities),
        ("map", _map),
        ("heatmap", _heatmap),
        ("peaks", _peaks),
        ("audio", _audio),
    ):
        app.get(f"/api/{path}", response_model=None)(_bound(endpoint, cache))
    app.post("/api/query", response_model=None)(_bound(_query, cache))
    for routes in (listening_test_routes(root), preparation_routes(root, encoder)):
        app.include_router(routes, prefix="/api/listening-test")
    page = Layout(root).comparison_page
    app.get("/encoders.html", response_class=HTMLResponse)(partial(_report, page, _NOT_COMPARED))
    app.get("/leaderboard.html", response_class=HTMLResponse)(_bound(_leaderboard, cache))
    # Links to the listening test from before its page was renamed.
    app.get("/judge.html", response_class=RedirectResponse)(lambda: "/listening-test.html")
    app.mount("/", StaticFiles(directory=_STATIC, html=True))
    return app


def _bound(endpoint: Callable[..., Any], cache: LibraryCache) -> Callable[..., Any]:
    return partial(endpoint, cache)


async def _headers(
    request: Request, call_next: Callable[[Request], Awaitable[Response]]
) -> Response:
    response = await call_next(request)
    response.headers["Content-Security-Policy"] = _POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    response.headers.setdefault("Cache-Control", "no-cache")
    return response


async def _problem(_request: Request, error: Exception) -> JSONResponse:
    """Return an error as JSON: 404 if something is missing, 422 for an invalid request."""
    assert isinstance(error, MessError)
    missing = isinstance(error, StoreError | EncoderError) or "missing" in error.problem
    found = {"problem": str(error), "kind": type(error).__name__, "remedy": error.remedy}
    return JSONResponse(found, status_code=404 if missing else 422)


def _library(cache: LibraryCache) -> dict[str, Any]:
    try:
        library = cache.library()
    except StoreError as error:
        return {"state": "empty", "problem": str(error), "tracks": [], "aspects": [], "heads": []}
    columns = ["track_id", "title", "composer", "performer", "year", "split", "work_id"]
    columns += ["dataset", "duration_s"]
    indexed = set(library.vectors()[0])
    table = library.tracks[library.tracks["track_id"].isin(indexed)]
    records = _records(table[columns])
    for record, path in zip(records, table["audio_path"], strict=True):
        record["audio"] = isinstance(path, str) and ("://" in path or Path(path).exists())
    aspects = [
        {
            "name": one.name,
            "available": one.available,
            "confidence": one.confidence,
            "reason": one.reason,
            "r2": one.r2,
        }
        for one in library.aspects.values()
    ]
    return {
        "state": "ready",
        "encoder": library.encoder,
        "untrained": library.encoder.startswith("untrained:"),
        "tracks": records,
        "aspects": _plain(aspects),
        "heads": served_heads(library.layout, library.identity),
        "suggestions": [asdict(one) for one in cache.suggestions()],
    }


def _similar(
    cache: LibraryCache,
    track: str,
    where: Where,
    aspects: str = "",
    head: str | None = None,
    k: Hits = 20,
    mode: SearchMode = "auto",
    same_work: bool = False,
    other_performer: bool = False,
) -> dict[str, Any]:
    wanted = parse_aspects(aspects) or None
    hits = cache.library().similar(
        track,
        wanted,
        k=k,
        mode=mode,
        head=head,
        same_work=same_work,
        other_performer=other_performer,
        where=parse_filters(where),
    )
    return _ranked(hits, list(wanted or {}))


def _passages(
    cache: LibraryCache,
    track: str,
    start_s: float,
    where: Where,
    k: Hits = 20,
    own: bool = False,
    same_work: bool = False,
    other_performer: bool = False,
) -> dict[str, Any]:
    hits = cache.library().passages(
        track,
        start_s,
        k=k,
        include_own=own,
        same_work=same_work,
        other_performer=other_performer,
        where=parse_filters(where),
    )
    return {"hits": _records(hits), "query": _plain(hits.attrs["query"])}


def _explain(cache: LibraryCache, query: str, hit: str) -> dict[str, Any]:
    return {"rows": _records(cache.library().explain(query, hit))}


def _reasons(cache: LibraryCache, query: str, hit: Hit) -> dict[str, Any]:
    return {"hits": _plain(cache.library().reasons(query, hit))}


def _moment(cache: LibraryCache, query: str, hit: str, time_s: float = 0.0) -> dict[str, Any]:
    found = moment(cache.library(), query, hit, time_s)
    return {"time_s": found.time_s, "how": found.how, "confidence": found.confidence}


def _compare(cache: LibraryCache, query: str, hit: str) -> dict[str, Any]:
    return compared(cache.library(), query, hit)


def _others(cache: LibraryCache, query: str, hit: str) -> dict[str, Any]:
    return other_performances(cache.library(), query, hit)


def _layer(cache: LibraryCache, target: str, encoder: str | None = None) -> dict[str, Any]:
    return layer_profile(_probed(cache, encoder), target)


def _targets(cache: LibraryCache) -> dict[str, Any]:
    return target_values(cache.library())


def _similarities(cache: LibraryCache, track: str, aspect: str) -> dict[str, Any]:
    return aspect_similarities(cache.library(), track, aspect)


def _map(cache: LibraryCache, by: PlacedBy = "sound") -> dict[str, Any]:
    return cache.map(by)


def _heatmap(cache: LibraryCache, encoder: str | None = None) -> dict[str, Any]:
    return heatmap(_probed(cache, encoder))


def _probed(cache: LibraryCache, encoder: str | None) -> Layout:
    """Return the layout of the encoder asked for, or else of the one that is searched with."""
    own = cache.library().layout
    return own if encoder is None else probed_layout(own, encoder)


def _report(page: Any, absent: str) -> HTMLResponse:
    try:
        return HTMLResponse(page.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return HTMLResponse(absent, status_code=404)


def _leaderboard(cache: LibraryCache) -> HTMLResponse:
    page = cache.library().layout.leaderboard / "leaderboard.html"
    return _report(page, _NOT_EVALUATED)


def _peaks(cache: LibraryCache, track: str) -> dict[str, Any]:
    found, duration_s = peaks(audio_file(cache.library().tracks, track))
    return {"peaks": found, "duration_s": duration_s}


def _audio(cache: LibraryCache, track: str) -> FileResponse:
    return FileResponse(audio_file(cache.library().tracks, track))


async def _query(
    cache: LibraryCache,
    request: Request,
    where: Where,
    name: str = "recording.wav",
    aspects: str = "",
    head: str | None = None,
    start_s: float | None = None,
    k: Hits = 20,
) -> dict[str, Any]:
    """Search with a recording, sent as the body of the request."""
    refuse_foreign(request, "a recording")
    suffix = Path(name).suffix.lower()
    if suffix not in _SUFFIXES:
        raise AudioError(f"{name} is not in a supported audio format", remedy="Use WAV or FLAC")
    with tempfile.TemporaryDirectory(prefix="mess-query-") as folder:
        path = Path(folder) / f"query{suffix}"
        size = 0
        with path.open("wb") as file:
            async for chunk in request.stream():
                size += len(chunk)
                if size > _LARGEST_UPLOAD:
                    raise AudioError(
                        f"{name} is larger than {_LARGEST_UPLOAD // 2**20} MB",
                        remedy="Shorten it, or use `mess search FILE`",
                    )
                file.write(chunk)
        try:
            return await run_in_threadpool(
                _search_audio, cache, path, aspects, head, start_s, k, parse_filters(where)
            )
        except AudioError as error:
            raise AudioError(
                f"{name} {error.problem}".replace(str(path), name), remedy=error.remedy
            ) from error


def _search_audio(
    cache: LibraryCache,
    path: Path,
    aspects: str,
    head: str | None,
    start_s: float | None,
    k: int,
    where: dict[str, list[Any]],
) -> dict[str, Any]:
    wanted = parse_aspects(aspects) or None
    hits = cache.library().query_audio(
        path,
        start_s=start_s,
        aspects=wanted,
        head=head,
        k=k,
        where=where,
        encoder=cache.encoder(),
    )
    return _ranked(hits, list(wanted or {}))


def _ranked(hits: Any, aspects: list[str]) -> dict[str, Any]:
    records = _records(hits)
    for record in records:
        record["parts"] = {name: record.pop(name, None) for name in aspects}
    attributes = {name: hits.attrs.get(name) for name in ("notes", "modes", "query")}
    return {"hits": records, **_plain(attributes)}


def _records(table: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = _plain(table.astype(object).to_dict(orient="records"))
    return found


def _plain(value: Any) -> Any:
    """Convert to plain JSON types; missing values become None."""
    if isinstance(value, dict):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | bool | None) else None
