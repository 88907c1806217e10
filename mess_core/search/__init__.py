"""Exact search over layers by aspect, and over 5 s passages."""

from mess_core.search.index import PassageIndex, TrackIndex
from mess_core.search.query import Library

__all__ = ["Library", "PassageIndex", "TrackIndex"]
