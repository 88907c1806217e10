"""Tables stored with a fingerprint of their inputs, so that none is computed twice."""

from __future__ import annotations

import contextlib
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mess_core.errors import StoreError
from mess_core.store.tables import read_json, read_table, write_json, write_table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CachedTable", "fingerprint"]


def fingerprint(*parts: object) -> str:
    """Return the SHA-256 of texts and numbers, and of other objects as JSON or `str` writes them.

    Examples
    --------
    >>> fingerprint("a", {"b": 1, "c": 2}) == fingerprint("a", {"c": 2, "b": 1})
    True
    """
    text = json.dumps(parts, default=str, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class CachedTable:
    """A table and a JSON record with its fingerprint, which is written after the table.

    Attributes
    ----------
    path : UPath
        Path of both files without the suffixes ``.parquet`` and ``.json``.
    """

    path: Any

    @property
    def table_path(self) -> Any:
        return self.path.with_suffix(".parquet")

    def load(self, made_from: str) -> pd.DataFrame | None:
        """Return the table if its fingerprint is `made_from`, or else None."""
        with contextlib.suppress(StoreError, KeyError):
            if self.record()["fingerprint"] == made_from:
                return self.table()
        return None

    def table(self) -> pd.DataFrame:
        """Return the table, whatever its fingerprint.

        Raises
        ------
        StoreError
            If it does not exist.
        """
        return read_table(self.table_path)

    def record(self) -> dict[str, Any]:
        """Return the record that `save` wrote next to the table.

        Raises
        ------
        StoreError
            If it does not exist.
        """
        return read_json(self.path.with_suffix(".json"))

    def save(self, made_from: str, table: pd.DataFrame, **about: Any) -> pd.DataFrame:
        """Write the table, then its record with `made_from` and `about`; return the table.

        Raises
        ------
        StoreError
            If a file cannot be written.
        """
        # Delete the old record first, so that it never describes the new table.
        self.path.with_suffix(".json").unlink(missing_ok=True)
        write_table(self.table_path, table)
        record = {"fingerprint": made_from, "rows": len(table), **about}
        write_json(self.path.with_suffix(".json"), record)
        return table

    def drop(self) -> None:
        """Delete both files, the record first."""
        self.path.with_suffix(".json").unlink(missing_ok=True)
        self.table_path.unlink(missing_ok=True)
