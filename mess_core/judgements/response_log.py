"""Append-only log of the listeners' responses: one JSON Lines file per listener.

Each line is written by a single call and flushed to disk before the page receives confirmation.
If the server is killed while writing, the file may end in an incomplete line. Such a line is
skipped when reading, and the next response starts on a new line.
"""

from __future__ import annotations

import json
import os
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mess_core.errors import JudgementError, StoreError
from mess_core.judgements.plan import (
    Step,
    Triplets,
    check_listener,
    listening_plan,
    parse_triplets,
)
from mess_core.judgements.responses import LONGEST_S, MOST_PLAYS, Response
from mess_core.store.layout import Layout, is_local
from mess_core.store.tables import read_table, write_table

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "SCHEMA",
    "append_response",
    "export_judgements",
    "judgements_state",
    "read_judgements",
    "read_triplets",
    "responses_by_position",
]

SCHEMA = 3
"""Version of the line format. Lines of version 2, which call the listener ``judge``, are read."""
_MOST_TRIALS = 1_000_000
_LOCK_TIMEOUT_S = 10.0
_COLUMNS: dict[str, type] = {
    "listener": str, "position": int, "triplet_id": str, "kind": str, "repeat": bool,
    "attention": bool, "expected": str, "answer": str, "shown": str, "swapped": bool,
    "seconds": float, "plays_x": int, "plays_a": int, "plays_b": int,
    "listened_x": float, "listened_a": float, "listened_b": float, "at": str,
    "triplets": str, "schema": int,
}  # fmt: skip


def read_triplets(layout: Layout) -> Triplets:
    """Read the triplets of the listening test.

    Raises
    ------
    StoreError
        If the table is missing or invalid.
    """
    path = layout.human_triplets
    if not path.exists():
        raise StoreError(
            "there are no triplets for the listening test yet",
            path=str(path),
            remedy="Materialise the `human_triplets` asset",
        )
    return parse_triplets(read_table(path), str(path))


def responses_by_position(
    layout: Layout, listener: str, triplets: Triplets
) -> dict[int, dict[str, Any]]:
    """Return a listener's stored responses to these triplets, by position in the plan.

    Raises
    ------
    JudgementError
        If `listener` is not a valid id.
    StoreError
        If the responses cannot be read.
    """
    lines, _ = _lines(_path(layout, listener))
    found: dict[int, dict[str, Any]] = {}
    for line in lines:
        if line["triplets"] == triplets.digest:
            found.setdefault(line["position"], line)  # the first counts
    return found


def append_response(layout: Layout, listener: str, triplets: Triplets, response: Response) -> bool:
    """Append a response to the listener's file.

    Parameters
    ----------
    layout : Layout
    listener : str
        Id of the listener.
    triplets : Triplets
        The triplets that the listener's plan was made from.
    response : Response

    Returns
    -------
    bool
        False if the same response is stored already.

    Raises
    ------
    JudgementError
        If the response does not match the listener's plan, or differs from the stored one.
    StoreError
        If the response cannot be written.
    """
    from filelock import FileLock, Timeout

    plan = listening_plan(listener, triplets)
    if not 0 <= response.position < len(plan):
        raise JudgementError(f"there is no question at position {response.position}")
    step = plan[response.position]
    if response.ticket != step.ticket:
        raise JudgementError(
            f"the answer does not belong to the question at position {response.position}",
            remedy="The triplets may have changed: reload the page",
        )
    path = _path(layout, listener)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # A file lock also excludes a second server on the same folder.
        with FileLock(path.with_name(f".{listener}.lock"), timeout=_LOCK_TIMEOUT_S):
            before = responses_by_position(layout, listener, triplets).get(response.position)
            if before is None:
                _append(path, _record(listener, triplets, step, response))
            elif before["shown"] != response.shown:
                raise JudgementError(
                    f"question {response.position + 1} already has a different answer",
                    remedy="The first answer counts: reload the page",
                )
    except (OSError, Timeout) as error:
        raise StoreError(
            f"the answer cannot be written ({error})",
            path=str(path),
            remedy="Free some space or check the permissions of the folder, then answer again",
        ) from error
    return before is None


def read_judgements(layout: Layout) -> pd.DataFrame:
    """Read the responses of all listeners, each listener's in the order given.

    Returns
    -------
    DataFrame
        Column ``answer`` is the side "a" or "b" of the triplets table, ``shown`` the side of the
        page, and ``triplets`` the digest of the triplets table. ``attrs["bad_lines"]`` is the
        number of unreadable lines, for example one that a killed server left incomplete.

    Raises
    ------
    StoreError
        If the data root is in an object store or a file cannot be read.
    """
    import pandas as pd

    lines: list[dict[str, Any]] = []
    bad = 0
    for path in sorted(_folder(layout).glob("*.jsonl")):
        found, unreadable = _lines(path)
        bad += unreadable
        seen: set[tuple[str, int]] = set()
        for line in found:
            if (key := (line["triplets"], line["position"])) not in seen:
                lines.append(line)
            seen.add(key)
    table = pd.DataFrame(lines, columns=list(_COLUMNS)).astype(_COLUMNS)
    table.attrs["bad_lines"] = bad
    return table


def judgements_state(layout: Layout) -> tuple[str | None, float]:
    """Return a digest that changes with every new response, and the time of the last one.

    Returns
    -------
    state : str or None
        None if there are no responses.
    last : float
        Seconds since the epoch; 0 if there are no responses.

    Raises
    ------
    StoreError
        If the data root is in an object store.
    """
    files = [(path.name, path.stat()) for path in sorted(_folder(layout).glob("*.jsonl"))]
    if not files:
        return None, 0.0
    sizes = [(name, found.st_size) for name, found in files]
    return sha256(repr(sizes).encode()).hexdigest(), max(found.st_mtime for _, found in files)


def export_judgements(layout: Layout) -> pd.DataFrame:
    """Write the responses of all listeners to one Parquet table.

    Returns
    -------
    DataFrame
        As returned by `read_judgements`.

    Raises
    ------
    StoreError
        As `read_judgements`, and if there are no responses or the table cannot be written.
    """
    table = read_judgements(layout)
    if table.empty:
        raise StoreError(
            "holds no judgements yet",
            path=str(layout.judgements),
            remedy="Run `mess listen`, open listening-test.html and answer some questions",
        )
    write_table(layout.judgements_table, table)
    return table


def _folder(layout: Layout) -> Path:
    folder = layout.judgements
    if not is_local(folder):
        raise StoreError(
            "the listening test needs a local data root: object stores cannot append to a file",
            path=str(folder),
            remedy="Run it with a local --data and copy evaluation/judgements afterwards",
        )
    return Path(str(folder))


def _path(layout: Layout, listener: str) -> Path:
    return _folder(layout) / f"{check_listener(listener)}.jsonl"


def _record(listener: str, triplets: Triplets, step: Step, response: Response) -> dict[str, Any]:
    from datetime import UTC, datetime

    x, left, right = response.plays
    x_s, left_s, right_s = (round(one, 3) for one in response.listened)
    return {
        "listener": listener,
        "position": step.position,
        "triplet_id": step.triplet.triplet_id,
        "kind": step.triplet.kind,
        "repeat": step.repeat,
        "attention": step.triplet.attention,
        "expected": step.triplet.expected,
        "answer": step.side(response.shown),
        "shown": response.shown,
        "swapped": step.swapped,
        "seconds": round(response.seconds, 3),
        "plays_x": x,
        "plays_a": right if step.swapped else left,
        "plays_b": left if step.swapped else right,
        "listened_x": x_s,
        "listened_a": right_s if step.swapped else left_s,
        "listened_b": left_s if step.swapped else right_s,
        "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "triplets": triplets.digest,
        "schema": SCHEMA,
    }


def _append(path: Path, record: dict[str, Any]) -> None:
    """Append one line in a single write and flush it to disk."""
    new = not path.exists()
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        size = os.fstat(descriptor).st_size
        incomplete = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        line = (b"\n" if incomplete else b"") + json.dumps(record).encode() + b"\n"
        if os.write(descriptor, line) != len(line):
            raise OSError("the disk is full")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if new:
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _lines(path: Path) -> tuple[list[dict[str, Any]], int]:
    """Return the valid lines of a listener's file and the number of invalid ones."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return [], 0
    except OSError as error:
        raise StoreError(f"cannot be read ({error})", path=str(path)) from error
    found, bad = [], 0
    for text in content.split(b"\n"):
        if not text.strip():
            continue
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            line = None
        line = _upgraded(line)
        if isinstance(line, dict) and _is_valid(line, path.stem):
            found.append(line)
        else:
            bad += 1
    return found, bad


def _upgraded(line: object) -> object:
    """Convert a line of version 2 to the current version."""
    if isinstance(line, dict) and line.get("schema") == 2 and "judge" in line:
        line = {**line, "listener": line["judge"], "schema": SCHEMA}
        del line["judge"]
    return line


def _is_valid(line: object, listener: str) -> bool:
    return (
        isinstance(line, dict)
        and all(type(line.get(name)) is kind for name, kind in _COLUMNS.items())
        and line["listener"] == listener
        and line["schema"] == SCHEMA
        and 0 <= line["position"] < _MOST_TRIALS
        and 0 <= line["seconds"] <= LONGEST_S
        and all(1 <= line[f"plays_{clip}"] <= MOST_PLAYS for clip in "xab")
        and all(0 <= line[f"listened_{clip}"] <= LONGEST_S for clip in "xab")
        and line["shown"] in ("left", "right")
        and line["answer"] == ("a" if (line["shown"] == "left") != line["swapped"] else "b")
        and all(value.isprintable() for value in line.values() if isinstance(value, str))
    )
