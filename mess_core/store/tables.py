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
"""Name of a file to the name that it had in version 0.1."""


def write_table(path: Any, table: pd.DataFrame) -> None:
    """Write a DataFrame as Parquet (zstd) atomically, without its index.

    Raises
    ------
    StoreError
        If the file cannot be written.

    Examples
    --------
    >>> import pandas as pd
    >>> from upath import UPath
    >>> path = UPath("memory://examples/tracks.parquet")
    >>> write_table(path, pd.DataFrame({"track_id": ["a", "b"]}))
    >>> read_table(path)["track_id"].tolist()
    ['a', 'b']
    """
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False, compression="zstd")
    write_bytes(path, buffer.getvalue())


def read_table(path: Any) -> pd.DataFrame:
    """Read a Parquet table.

    Raises
    ------
    StoreError
        If the file is missing or cannot be parsed.

    Examples
    --------
    >>> from upath import UPath
    >>> read_table(UPath("memory://examples/absent.parquet"))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    mess_core.errors.StoreError: memory://examples/absent.parquet: does not exist. ...
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
    """Write a record as JSON atomically; NaN and infinite values become null.

    Raises
    ------
    StoreError
        If the file cannot be written.

    Examples
    --------
    >>> from upath import UPath
    >>> path = UPath("memory://examples/record.json")
    >>> write_json(path, {"tempo": float("nan"), "layers": (0, 1)})
    >>> read_json(path)
    {'tempo': None, 'layers': [0, 1]}
    """
    text = json.dumps(_plain(record), indent=1, ensure_ascii=False, allow_nan=False)
    write_bytes(path, text.encode() + b"\n")


def read_json(path: Any) -> dict[str, Any]:
    """Read a JSON record.

    Raises
    ------
    StoreError
        If the file is missing or not a JSON object.

    Examples
    --------
    >>> from upath import UPath
    >>> path = UPath("memory://examples/report.json")
    >>> write_json(path, {"tracks": 12})
    >>> read_json(path)["tracks"]
    12
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
            remedy="Run `mess evaluate` again, which writes it under its new name",
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
