"""Exact search over layers by aspect, and over 5 s passages."""

from mess_core.search.index import TrackIndex
from mess_core.search.passage_index import PassageIndex
from mess_core.search.query import Library

__all__ = ["Library", "PassageIndex", "TrackIndex"]
