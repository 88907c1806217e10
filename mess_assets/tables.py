"""DataFrames as asset metadata."""

import hashlib
from typing import Any

import dagster as dg


def sample(table: Any, rows: int = 8) -> dg.MetadataValue:
    """Return the first rows of a table as metadata, with shortened values."""
    head = table.head(rows)
    records = [
        dg.TableRecord({str(name): _short(value) for name, value in row.items()})
        for row in head.to_dict("records")
    ]
    schema = dg.TableSchema([dg.TableColumn(str(name)) for name in head.columns])
    return dg.MetadataValue.table(records, schema=schema)


def column_schema(table: Any, descriptions: dict[str, str] | None = None) -> dg.TableSchema:
    """Return the column names, types and descriptions of a table as metadata."""
    described = descriptions or {}
    columns = [
        dg.TableColumn(str(name), str(table[name].dtype), described.get(str(name)))
        for name in table.columns
    ]
    return dg.TableSchema(columns)


def _short(value: Any) -> Any:
    if isinstance(value, float):
        return None if value != value else float(f"{value:.5g}")
    if isinstance(value, int | bool) or value is None:
        return value
    text = str(value)
    return text if len(text) <= 80 else f"{text[:38]}…{text[-38:]}"


def table_version(table: Any) -> dg.DataVersion:
    """Return the data version of a table: a hash of its content."""
    return dg.DataVersion(hashlib.sha256(table.to_csv(index=False).encode()).hexdigest()[:16])
