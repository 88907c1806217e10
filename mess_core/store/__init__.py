"""Files under the data root: paths, atomic writes, and checks for missing or stale results."""

from mess_core.store.arrays import read_array, write_array
from mess_core.store.embeddings import EmbeddingStore
from mess_core.store.layout import Layout, escape_track_id, unescape_track_id
from mess_core.store.tables import read_json, read_table, write_json, write_table

__all__ = [
    "EmbeddingStore",
    "Layout",
    "escape_track_id",
    "read_array",
    "read_json",
    "read_table",
    "unescape_track_id",
    "write_array",
    "write_json",
    "write_table",
]
