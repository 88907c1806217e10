"""The library that the page shows, opened again when another version is served."""

from __future__ import annotations

import threading
from os import PathLike
from typing import TYPE_CHECKING, Any

from mess_core.errors import StoreError
from mess_core.listen.overview import library_map
from mess_core.search.query import Library
from mess_core.search.recordings import matching_encoder
from mess_core.store.layout import Layout

if TYPE_CHECKING:
    from mess_core.encoders import Encoder

__all__ = ["LibraryCache", "changed"]


class LibraryCache:
    """One data root, its opened library, and what is costly to compute for it.

    Parameters
    ----------
    root : path-like or fsspec URL
    """

    def __init__(self, root: str | PathLike[str]) -> None:
        self._root = root
        self._lock = threading.RLock()
        self._stamp: Any = None
        self._library: Library | None = None
        self._map: dict[str, Any] | None = None
        self._encoder: Encoder | None = None

    def library(self) -> Library:
        """The library as it is served now.

        Raises
        ------
        StoreError
            If there is none yet, or it is damaged.
        """
        with self._lock:
            stamp = self._now()
            if self._library is None or stamp != self._stamp:
                self._library, self._stamp = Library.open(self._root), stamp
                self._map = self._encoder = None
            return self._library

    def map(self) -> dict[str, Any]:
        """See `mess_core.listen.overview.library_map`."""
        with self._lock:
            library = self.library()
            if self._map is None:
                self._map = library_map(library)
            return self._map

    def encoder(self) -> Encoder:
        """The library's encoder, loaded at the first recording that is searched with.

        Raises
        ------
        EncoderError
            If it cannot be loaded.
        """
        with self._lock:
            library = self.library()
            if self._encoder is None:
                self._encoder = matching_encoder(library.identity, None)
            return self._encoder

    def _now(self) -> tuple[Any, ...]:
        """What tells one version from another, cheap enough to look at before each answer."""
        layout = Layout(self._root)
        watched = (
            layout.root / "latest",
            layout.indices / "track" / "latest",
            layout.indices / "passage" / "latest",
            layout.probing / "aspects.json",
            layout.probing / "faithfulness.json",
            layout.tracks,
        )
        return tuple(changed(path) for path in watched)


def changed(path: Any) -> Any:
    """Something that differs once a file was written anew; None where there is none."""
    try:
        found = path.stat()
    except (OSError, StoreError):
        return None
    return (getattr(found, "st_mtime_ns", None) or found.st_mtime, found.st_size)
