"""Cache of the library behind the page, reopened when a new version is published."""

from __future__ import annotations

import contextlib
import threading
from os import PathLike
from typing import TYPE_CHECKING, Any

from mess_core.encoders.chosen import choose_encoder
from mess_core.errors import MessError, StoreError
from mess_core.listen.overview import PlacedBy, library_map
from mess_core.search.publishing import served_folder
from mess_core.search.query import Library
from mess_core.search.recordings import matching_encoder
from mess_core.search.suggestions import Suggestion, suggested_queries
from mess_core.store.layout import Layout

if TYPE_CHECKING:
    from mess_core.encoders import Encoder

__all__ = ["LibraryCache", "changed"]


class LibraryCache:
    """The opened library of a data root, with its map and encoder.

    Parameters
    ----------
    root : path-like or fsspec URL
    encoder : str, optional
        Encoder to search with, as in `Library.open`.
    """

    def __init__(self, root: str | PathLike[str], encoder: str | None = None) -> None:
        self._root = root
        self._wanted = encoder
        self._lock = threading.RLock()
        self._stamp: Any = None
        self._folder: str | None = None
        self._library: Library | None = None
        self._maps: dict[str, dict[str, Any]] = {}
        self._suggestions: list[Suggestion] | None = None
        self._encoder: Encoder | None = None

    def library(self) -> Library:
        """Return the current version of the library.

        Raises
        ------
        StoreError
            If there is no library yet, or it is damaged.
        """
        with self._lock:
            stamp = self._current_stamp()
            if self._library is None or stamp != self._stamp:
                chosen = choose_encoder(Layout(served_folder(self._root)), self._wanted)
                before, self._folder = self._folder, chosen.encoder
                stamp = self._current_stamp()
                try:
                    self._library = Library.open(self._root, encoder=chosen.encoder)
                except BaseException:
                    self._folder = before  # the next request tries again
                    raise
                self._stamp = stamp
                self._maps, self._suggestions, self._encoder = {}, None, None
            return self._library

    def prepare(self) -> None:
        """Open the library before it is asked for; a library that cannot be opened is ignored."""
        with contextlib.suppress(MessError):
            self.suggestions()

    def map(self, by: PlacedBy) -> dict[str, Any]:
        """Return the cached result of `mess_core.listen.overview.library_map`."""
        with self._lock:
            library = self.library()
            if by not in self._maps:
                self._maps[by] = library_map(library, by)
            return self._maps[by]

    def suggestions(self) -> list[Suggestion]:
        """Return the cached result of `mess_core.search.suggestions.suggested_queries`."""
        with self._lock:
            library = self.library()
            if self._suggestions is None:
                self._suggestions = suggested_queries(library)
            return self._suggestions

    def encoder(self) -> Encoder:
        """Return the library's encoder, loaded when a recording is first used as a query.

        Raises
        ------
        EncoderError
            If the encoder cannot be loaded.
        """
        with self._lock:
            library = self.library()
            if self._encoder is None:
                self._encoder = matching_encoder(library.identity, None, library.layout)
            return self._encoder

    def _current_stamp(self) -> tuple[Any, ...]:
        """Return a stamp of the current version, cheap enough to compute for every request."""
        layout = Layout(self._root)
        watched = [layout.root / "latest", layout.tracks]
        if self._folder is not None:
            own = layout.of(self._folder)
            watched += [own.indices / name / "latest" for name in ("track", "passage")]
            watched += [own.probing / f"{name}.json" for name in ("aspects", "faithfulness")]
        return tuple(changed(path) for path in watched)


def changed(path: Any) -> Any:
    """Return a stamp that differs after a file is rewritten; None if the file does not exist."""
    try:
        found = path.stat()
    except (OSError, StoreError):
        return None
    return (getattr(found, "st_mtime_ns", None) or found.st_mtime, found.st_size)
