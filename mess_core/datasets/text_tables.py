"""Tables that people write: CSV as spreadsheets and editors save it.

Read are commas, semicolons and tabs; UTF-8 with or without a mark, and Latin-1; headers in any case
and with blanks around. What cannot be read for certain raises an error that names the line.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mess_core.errors import DatasetError

__all__ = ["TextTable", "read_text_table"]

_DELIMITERS = (",", ";", "\t")
_NOTHING = {"nan", "none", "null", "n/a", "na", "<na>"}


@dataclass(frozen=True)
class TextTable:
    """Rows of a table, and what was noticed while reading it.

    Attributes
    ----------
    rows : list of (int, dict of str to str)
        Number of the line, and column to text without blanks around; "" where there is nothing.
    notes : list of str
        What was guessed, ignored or left out.
    """

    rows: list[tuple[int, dict[str, str]]]
    notes: list[str]


def read_text_table(path: Any, *, required: Sequence[str], known: Sequence[str] = ()) -> TextTable:
    """Read a table with a header.

    Parameters
    ----------
    path : UPath
    required : sequence of str
        Columns that must be there, in lower case.
    known : sequence of str
        Other columns that are used; a note names those that are not.

    Raises
    ------
    DatasetError
        If the file cannot be read, a required column is missing or a column is there twice, or a
        quotation mark is not closed. The message names the line.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"cannot be read ({error})", path=str(path)) from error
    text, notes = _decoded(content)
    lines = _lines(text, path)
    if not lines:
        raise DatasetError(
            "is an empty table", path=str(path), remedy=f"Columns: {', '.join(required)}"
        )
    header = _header([cell.strip().lower() for cell in lines[0][1]], path, required)
    if unused := [name for name in header if name and name not in {*required, *known}]:
        notes.append(f"columns that are not used: {', '.join(unused)}")
    rows = []
    for number, cells in lines[1:]:
        if len(cells) > len(header) and any(cell.strip() for cell in cells[len(header) :]):
            notes.append(
                f"line {number} has {len(cells)} fields, the header {len(header)}: left out"
            )
            continue
        padded = [*cells, *[""] * (len(header) - len(cells))]
        row = {name: _value(cell) for name, cell in zip(header, padded, strict=False) if name}
        if any(row.values()):
            rows.append((number, row))
    return TextTable(rows, notes)


def _decoded(content: bytes) -> tuple[str, list[str]]:
    try:
        return content.decode("utf-8-sig"), []
    except UnicodeDecodeError:
        if content.startswith((b"\xff\xfe", b"\xfe\xff")):
            return content.decode("utf-16", errors="replace"), ["read as UTF-16"]
        return content.decode("latin-1"), ["is not UTF-8, and was read as Latin-1"]


def _lines(text: str, path: Any) -> list[tuple[int, list[str]]]:
    """Return number and fields of each line that is not empty."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    first = text.lstrip("\n").partition("\n")[0]
    delimiter = max(_DELIMITERS, key=first.count)
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
    found, before = [], 0
    try:
        for cells in reader:
            if any("\n" in cell for cell in cells):
                raise _unclosed(path, before + 1)
            before = reader.line_num
            if any(cell.strip() for cell in cells):
                found.append((before, cells))
    except csv.Error as error:
        if "unexpected end" in str(error) or reader.line_num > before + 1:
            raise _unclosed(path, before + 1) from error
        raise DatasetError(
            f"line {reader.line_num} cannot be read ({error})",
            path=str(path),
            remedy="Save the table as CSV with quotation marks around fields that contain commas",
        ) from error
    return found


def _unclosed(path: Any, line: int) -> DatasetError:
    return DatasetError(
        f"line {line}: a quotation mark is not closed, so that the lines after it would be lost",
        path=str(path),
        remedy="Close it, or double quotation marks that belong to a title",
    )


def _header(names: list[str], path: Any, required: Sequence[str]) -> list[str]:
    if missing := [name for name in required if name not in names]:
        raise DatasetError(
            f"lacks the column {missing[0]!r}; it has {', '.join(filter(None, names)) or 'none'}",
            path=str(path),
            remedy=f"The first line must name the columns, {', '.join(required)} among them",
        )
    if repeated := [name for name in names if name and names.count(name) > 1]:
        raise DatasetError(f"has the column {repeated[0]!r} twice", path=str(path))
    return names


def _value(cell: str) -> str:
    text = cell.strip()
    return "" if text.lower() in _NOTHING else text
