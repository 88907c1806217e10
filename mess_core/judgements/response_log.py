"""Answers of listeners: one file of lines per listener, appended to and never rewritten.

A line is written by one call and flushed to the disk before the listener is told that it is
kept. Of a server killed in between, a torn last line may be left: it is passed over in
reading, and the next answer begins on a line of its own.
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
from mess_core.judgements.responses import LONGEST_S, MOST_PLAYS, Answer
from mess_core.store.layout import Layout, is_local
from mess_core.store.tables import read_table, write_table

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "SCHEMA",
    "answered",
    "append_response",
    "export_judgements",
    "judgements_state",
    "read_judgements",
    "read_triplets",
]

SCHEMA = 3
"""Of a line. In version 2 the listener was called ``judge``; such lines are read, too."""
_MOST_QUESTIONS = 1_000_000
_PATIENCE_S = 10.0
_COLUMNS: dict[str, type] = {
    "listener": str, "position": int, "triplet_id": str, "kind": str, "repeat": bool,
    "attention": bool, "expected": str, "answer": str, "shown": str, "swapped": bool,
    "seconds": float, "plays_x": int, "plays_a": int, "plays_b": int,
    "listened_x": float, "listened_a": float, "listened_b": float, "at": str,
    "triplets": str, "schema": int,
}  # fmt: skip


def read_triplets(layout: Layout) -> Triplets:
    """The triplets that listeners are asked about.

    Raises
    ------
    StoreError
        If the table is missing or is not one of triplets.
    """
    place = layout.human_triplets
    if not place.exists():
        raise StoreError(
            "there are no triplets to listener yet",
            path=str(place),
            remedy="Materialise the `human_triplets` asset",
        )
    return parse_triplets(read_table(place), str(place))


def answered(layout: Layout, listener: str, triplets: Triplets) -> dict[int, dict[str, Any]]:
    """A listener's answers about these triplets, by position.

    Raises
    ------
    JudgementError
        If `listener` is not a valid id.
    StoreError
        If the answers cannot be read.
    """
    lines, _ = _lines(_place(layout, listener))
    found: dict[int, dict[str, Any]] = {}
    for line in lines:
        if line["triplets"] == triplets.digest:
            found.setdefault(line["position"], line)  # the first counts
    return found


def append_response(layout: Layout, listener: str, triplets: Triplets, answer: Answer) -> bool:
    """Append an answer to the listener's file.

    Parameters
    ----------
    layout : Layout
    listener : str
    triplets : Triplets
    answer : Answer

    Returns
    -------
    bool
        False if the same answer was kept already.

    Raises
    ------
    JudgementError
        If it belongs to no question of the listener's plan, or differs from what was kept.
    StoreError
        If it cannot be written.
    """
    from filelock import FileLock, Timeout

    plan = listening_plan(listener, triplets)
    if not 0 <= answer.position < len(plan):
        raise JudgementError(f"there is no question at position {answer.position}")
    step = plan[answer.position]
    if answer.ticket != step.ticket:
        raise JudgementError(
            f"the answer belongs to another question than that at position {answer.position}",
            remedy="The triplets may have changed: reload the page",
        )
    place = _place(layout, listener)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        # A second server on the same folder is kept out too.
        with FileLock(place.with_name(f".{listener}.lock"), timeout=_PATIENCE_S):
            before = answered(layout, listener, triplets).get(answer.position)
            if before is None:
                _append(place, _record(listener, triplets, step, answer))
            elif before["shown"] != answer.shown:
                raise JudgementError(
                    f"question {answer.position + 1} was answered otherwise already",
                    remedy="The first answer is kept: reload the page",
                )
    except (OSError, Timeout) as error:
        raise StoreError(
            f"the answer cannot be written ({error})",
            path=str(place),
            remedy="Free some space or check the permissions of the folder, then answer again",
        ) from error
    return before is None


def read_judgements(layout: Layout) -> pd.DataFrame:
    """Answers of all listeners, in the order in which each gave them.

    Returns
    -------
    DataFrame
        Column ``answer`` is "a" or "b" in terms of the triplets table, whichever side it was
        ``shown`` on; ``triplets`` is the digest of that table. In ``attrs["bad_lines"]``: how
        many lines could not be read, such as what a killed server left of one.

    Raises
    ------
    StoreError
        If the answers lie in an object store or a file cannot be read.
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
    """What tells whether there are new answers, and when the last one was given.

    Returns
    -------
    state : str or None
        Another one after every answer; None without any.
    last : float
        Seconds since the epoch.

    Raises
    ------
    StoreError
        If the answers lie in an object store.
    """
    files = [(path.name, path.stat()) for path in sorted(_folder(layout).glob("*.jsonl"))]
    if not files:
        return None, 0.0
    sizes = [(name, found.st_size) for name, found in files]
    return sha256(repr(sizes).encode()).hexdigest(), max(found.st_mtime for _, found in files)


def export_judgements(layout: Layout) -> pd.DataFrame:
    """Write the answers of all listeners as one Parquet table.

    Returns
    -------
    DataFrame
        As from `read_judgements`.

    Raises
    ------
    StoreError
        As in `read_judgements`, or if there are none, or the table cannot be written.
    """
    table = read_judgements(layout)
    if table.empty:
        raise StoreError(
            "holds no judgements yet",
            path=str(layout.judgements),
            remedy="Run `mess listen` and open its page listening-test.html",
        )
    write_table(layout.judgements_table, table)
    return table


def _folder(layout: Layout) -> Path:
    folder = layout.judgements
    if not is_local(folder):
        raise StoreError(
            "answers of listeners are kept in local folders only: an object store cannot append",
            path=str(folder),
            remedy="Judge with a local --data, and copy evaluation/judgements afterwards",
        )
    return Path(str(folder))


def _place(layout: Layout, listener: str) -> Path:
    return _folder(layout) / f"{check_listener(listener)}.jsonl"


def _record(listener: str, triplets: Triplets, step: Step, answer: Answer) -> dict[str, Any]:
    from datetime import UTC, datetime

    x, left, right = answer.plays
    x_s, left_s, right_s = (round(one, 3) for one in answer.listened)
    return {
        "listener": listener,
        "position": step.position,
        "triplet_id": step.triplet.triplet_id,
        "kind": step.triplet.kind,
        "repeat": step.repeat,
        "attention": step.triplet.attention,
        "expected": step.triplet.expected,
        "answer": step.side(answer.shown),
        "shown": answer.shown,
        "swapped": step.swapped,
        "seconds": round(answer.seconds, 3),
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


def _append(place: Path, record: dict[str, Any]) -> None:
    """One line by one write, on the disk when this returns."""
    new = not place.exists()
    descriptor = os.open(place, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        size = os.fstat(descriptor).st_size
        torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        line = (b"\n" if torn else b"") + json.dumps(record).encode() + b"\n"
        if os.write(descriptor, line) != len(line):
            raise OSError("the disk is full")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if new:
        folder = os.open(place.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _lines(place: Path) -> tuple[list[dict[str, Any]], int]:
    """Whole lines of a listener's file, and how many are not."""
    try:
        content = place.read_bytes()
    except FileNotFoundError:
        return [], 0
    except OSError as error:
        raise StoreError(f"cannot be read ({error})", path=str(place)) from error
    found, bad = [], 0
    for text in content.split(b"\n"):
        if not text.strip():
            continue
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            line = None
        line = _renamed(line)
        if isinstance(line, dict) and _whole(line, place.stem):
            found.append(line)
        else:
            bad += 1
    return found, bad


def _renamed(line: object) -> object:
    """A line of the present version, from one of version 2."""
    if isinstance(line, dict) and line.get("schema") == 2 and "judge" in line:
        line = {**line, "listener": line["judge"], "schema": SCHEMA}
        del line["judge"]
    return line


def _whole(line: object, listener: str) -> bool:
    return (
        isinstance(line, dict)
        and all(type(line.get(name)) is kind for name, kind in _COLUMNS.items())
        and line["listener"] == listener
        and line["schema"] == SCHEMA
        and 0 <= line["position"] < _MOST_QUESTIONS
        and 0 <= line["seconds"] <= LONGEST_S
        and all(1 <= line[f"plays_{clip}"] <= MOST_PLAYS for clip in "xab")
        and all(0 <= line[f"listened_{clip}"] <= LONGEST_S for clip in "xab")
        and line["shown"] in ("left", "right")
        and line["answer"] == ("a" if (line["shown"] == "left") != line["swapped"] else "b")
        and all(value.isprintable() for value in line.values() if isinstance(value, str))
    )
