"""Tables as Parquet and small records as JSON, written atomically."""

from __future__ import annotations

import io
import json
import math
from typing import TYPE_CHECKING, Any

from mess_core.errors import StoreError
from mess_core.store.arrays import write_bytes

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["read_json", "read_table", "write_json", "write_table"]

_FORMER_NAMES = {
    "listeners.parquet": "judged.parquet",
    "models.parquet": "rungs.parquet",
    "single_factor_triplets.parquet": "planted_triplets.parquet",
}
"""File to the name that it had in version 0.1."""


def write_table(path: Any, table: pd.DataFrame) -> None:
    """Write a DataFrame as Parquet (zstd), atomically and without its index."""
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False, compression="zstd")
    write_bytes(path, buffer.getvalue())


def read_table(path: Any) -> pd.DataFrame:
    """Read a Parquet table.

    Raises
    ------
    StoreError
        If it is missing or cannot be parsed.
    """
    import pandas as pd
    from pyarrow import ArrowInvalid

    try:
        return pd.read_parquet(io.BytesIO(path.read_bytes()))
    except FileNotFoundError as error:
        raise _missing(path) from error
    except (ArrowInvalid, OSError) as error:
        raise StoreError(
            f"is not a readable table ({error})",
            path=str(path),
            remedy="Delete it and materialise it again",
        ) from error


def write_json(path: Any, record: dict[str, Any]) -> None:
    """Write a record as JSON; NaN and infinities become null."""
    text = json.dumps(_plain(record), indent=1, ensure_ascii=False, allow_nan=False)
    write_bytes(path, text.encode() + b"\n")


def read_json(path: Any) -> dict[str, Any]:
    """Read a JSON record.

    Raises
    ------
    StoreError
        If it is missing or not a JSON object.
    """
    try:
        record = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise _missing(path) from error
    except (ValueError, OSError) as error:
        raise StoreError(f"is not readable JSON ({error})", path=str(path)) from error
    if not isinstance(record, dict):
        raise StoreError("is not a JSON object", path=str(path))
    return record


def _missing(path: Any) -> StoreError:
    former = _FORMER_NAMES.get(path.name)
    if former is not None and path.with_name(former).exists():
        return StoreError(
            f"does not exist: an earlier version of MESS called it {former}",
            path=str(path),
            remedy="Run `mess evaluate` again, which writes it anew",
        )
    return StoreError(
        "does not exist",
        path=str(path),
        remedy="Run `mess run`, or materialise the asset that writes it",
    )


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if hasattr(value, "tolist"):  # NumPy scalars and arrays
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
