"""Answers of judges: one file of lines per judge, appended to and never rewritten.

A line is written by one call and flushed to the disk before the judge is told that it is
kept. Of a server killed in between, a torn last line may be left: it is passed over in
reading, and the next answer begins on a line of its own.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mess_core.errors import JudgementError, StoreError
from mess_core.evaluation.judging_plan import (
    Step,
    Triplets,
    check_judge,
    judge_plan,
    parse_triplets,
)
from mess_core.store.layout import Layout, is_local
from mess_core.store.tables import read_table, write_table

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "LONGEST_S",
    "SCHEMA",
    "Answer",
    "answered",
    "export_judgements",
    "keep_answer",
    "read_judgements",
    "read_triplets",
]

SCHEMA = 1
LONGEST_S = 3600.0
"""Seconds that one answer may take; who takes a break is counted with this."""

_MOST_PLAYS = 1000
_PATIENCE_S = 10.0
_COLUMNS: dict[str, type] = {
    "judge": str, "position": int, "triplet_id": str, "kind": str, "repeat": bool,
    "attention": bool, "expected": str, "answer": str, "shown": str, "swapped": bool,
    "seconds": float, "plays_x": int, "plays_a": int, "plays_b": int, "at": str,
    "triplets": str, "schema": int,
}  # fmt: skip


@dataclass(frozen=True)
class Answer:
    """What a judge chose.

    Attributes
    ----------
    position : int
        Of the question in the judge's plan, from 0.
    ticket : str
        Of that question.
    shown : "left" or "right"
    seconds : float
        From the question to the answer, at most `LONGEST_S`.
    plays : tuple of int
        How often X, the left and the right clip were played; each at least once.
    """

    position: int
    ticket: str
    shown: Literal["left", "right"]
    seconds: float
    plays: tuple[int, int, int]

    @classmethod
    def from_record(cls, record: object) -> Answer:
        """Take apart what a page sent, believing nothing of it.

        Raises
        ------
        JudgementError
            If a part is missing, unknown, of a wrong type or out of range.
        """
        names = {"judge", "position", "ticket", "answer", "seconds", "plays"}
        if not isinstance(record, dict) or set(record) != names:
            raise JudgementError(f"an answer is a record of {', '.join(sorted(names))}")
        position, seconds, plays = record["position"], record["seconds"], record["plays"]
        if type(position) is not int:
            raise JudgementError("the position of an answer is a whole number")
        if not isinstance(record["ticket"], str):
            raise JudgementError("the ticket of an answer is a text")
        if record["answer"] not in ("left", "right"):
            raise JudgementError("an answer is left or right")
        # Comparison, unlike conversion, is safe for NaN and for integers of any length.
        if type(seconds) not in (int, float) or not 0 <= seconds <= LONGEST_S:
            raise JudgementError(f"an answer takes 0 to {LONGEST_S:g} seconds")
        if not isinstance(plays, dict) or set(plays) != {"x", "left", "right"}:
            raise JudgementError("an answer says how often x, left and right were played")
        counts = [plays[place] for place in ("x", "left", "right")]
        if not all(type(count) is int and 1 <= count <= _MOST_PLAYS for count in counts):
            raise JudgementError("all three clips are to be heard before an answer")
        shown: Literal["left", "right"] = "left" if record["answer"] == "left" else "right"
        return cls(
            position, record["ticket"], shown, float(seconds), (counts[0], counts[1], counts[2])
        )


def read_triplets(layout: Layout) -> Triplets:
    """The triplets that judges are asked about.

    Raises
    ------
    StoreError
        If the table is missing or is not one of triplets.
    """
    place = layout.human_triplets
    if not place.exists():
        raise StoreError(
            "there are no triplets to judge yet",
            path=str(place),
            remedy="Materialise the `human_triplets` asset",
        )
    return parse_triplets(read_table(place), str(place))


def answered(layout: Layout, judge: str, triplets: Triplets) -> dict[int, dict[str, Any]]:
    """A judge's answers about these triplets, by position.

    Raises
    ------
    JudgementError
        If `judge` is not a valid id.
    StoreError
        If the answers cannot be read.
    """
    lines, _ = _lines(_place(layout, judge))
    found: dict[int, dict[str, Any]] = {}
    for line in lines:
        if line["triplets"] == triplets.digest:
            found.setdefault(line["position"], line)  # the first counts
    return found


def keep_answer(layout: Layout, judge: str, triplets: Triplets, answer: Answer) -> bool:
    """Append an answer to the judge's file.

    Parameters
    ----------
    layout : Layout
    judge : str
    triplets : Triplets
    answer : Answer

    Returns
    -------
    bool
        False if the same answer was kept already.

    Raises
    ------
    JudgementError
        If it belongs to no question of the judge's plan, or differs from what was kept.
    StoreError
        If it cannot be written.
    """
    from filelock import FileLock, Timeout

    plan = judge_plan(judge, triplets)
    if not 0 <= answer.position < len(plan):
        raise JudgementError(f"there is no question at position {answer.position}")
    step = plan[answer.position]
    if answer.ticket != step.ticket:
        raise JudgementError(
            f"the answer belongs to another question than that at position {answer.position}",
            remedy="The triplets may have changed: reload the page",
        )
    place = _place(layout, judge)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        # A second server on the same folder is kept out too.
        with FileLock(place.with_name(f".{judge}.lock"), timeout=_PATIENCE_S):
            before = answered(layout, judge, triplets).get(answer.position)
            if before is None:
                _append(place, _record(judge, triplets, step, answer))
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
    """Answers of all judges, in the order in which each gave them.

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


def export_judgements(layout: Layout) -> pd.DataFrame:
    """Write the answers of all judges as one Parquet table.

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
            remedy="Run `mess listen` and open its page judge.html",
        )
    write_table(layout.judgements_table, table)
    return table


def _folder(layout: Layout) -> Path:
    folder = layout.judgements
    if not is_local(folder):
        raise StoreError(
            "answers of judges are kept in local folders only: an object store cannot append",
            path=str(folder),
            remedy="Judge with a local --data, and copy evaluation/judgements afterwards",
        )
    return Path(str(folder))


def _place(layout: Layout, judge: str) -> Path:
    return _folder(layout) / f"{check_judge(judge)}.jsonl"


def _record(judge: str, triplets: Triplets, step: Step, answer: Answer) -> dict[str, Any]:
    from datetime import UTC, datetime

    x, left, right = answer.plays
    return {
        "judge": judge,
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
    """Whole lines of a judge's file, and how many are not."""
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
        if _whole(line, place.stem):
            found.append(line)
        else:
            bad += 1
    return found, bad


def _whole(line: object, judge: str) -> bool:
    return (
        isinstance(line, dict)
        and all(type(line.get(name)) is kind for name, kind in _COLUMNS.items())
        and line["judge"] == judge
        and line["schema"] == SCHEMA
        and line["answer"] in ("a", "b")
    )
