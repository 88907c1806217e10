"""Search whole tracks by aspect, and 5 s passages."""

from mess_core.search.index import TrackIndex
from mess_core.search.passage_index import PassageIndex
from mess_core.search.query import Library

__all__ = ["Library", "PassageIndex", "TrackIndex"]
