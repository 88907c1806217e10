"""What a listener's page sends as an answer, taken apart and believed in nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from mess_core.errors import JudgementError

__all__ = ["LONGEST_S", "MOST_PLAYS", "Answer"]

LONGEST_S = 3600.0
"""Seconds that one answer may take; who takes a break is counted with this."""

MOST_PLAYS = 1000


@dataclass(frozen=True)
class Answer:
    """What a listener chose.

    Attributes
    ----------
    position : int
        Of the question in the listener's plan, from 0.
    ticket : str
        Of that question.
    shown : "left" or "right"
    seconds : float
        From the question to the answer, at most `LONGEST_S`.
    plays : tuple of int
        How often X, the left and the right clip were played; each at least once.
    listened : tuple of float
        Up to which second each was played.
    """

    position: int
    ticket: str
    shown: Literal["left", "right"]
    seconds: float
    plays: tuple[int, int, int]
    listened: tuple[float, float, float]

    @classmethod
    def from_record(cls, record: object) -> Answer:
        """Take apart what a page sent, believing nothing of it.

        Raises
        ------
        JudgementError
            If a part is missing, unknown, of a wrong type or out of range.
        """
        names = {"listener", "position", "ticket", "answer", "seconds", "plays", "listened"}
        if not isinstance(record, dict) or set(record) != names:
            raise JudgementError(f"an answer is a record of {', '.join(sorted(names))}")
        position, seconds, plays = record["position"], record["seconds"], record["plays"]
        if type(position) is not int:
            raise JudgementError("the position of an answer is a whole number")
        if not isinstance(record["ticket"], str):
            raise JudgementError("the ticket of an answer is a text")
        if record["answer"] not in ("left", "right"):
            raise JudgementError("an answer is left or right")
        if not _is_time(seconds):
            raise JudgementError(f"an answer takes 0 to {LONGEST_S:g} seconds")
        counts = _of_clips(plays, "how often x, left and right were played")
        reached = _of_clips(record["listened"], "how far x, left and right were played")
        if not all(_is_time(one) for one in reached):
            raise JudgementError(f"a clip is played for 0 to {LONGEST_S:g} seconds")
        if not all(type(count) is int and 1 <= count <= MOST_PLAYS for count in counts):
            raise JudgementError("all three clips are to be heard before an answer")
        shown: Literal["left", "right"] = "left" if record["answer"] == "left" else "right"
        return cls(
            position,
            record["ticket"],
            shown,
            float(seconds),
            (counts[0], counts[1], counts[2]),
            (float(reached[0]), float(reached[1]), float(reached[2])),
        )


def _is_time(value: object) -> bool:
    # Comparison, unlike conversion, is safe for NaN and for integers of any length.
    return isinstance(value, int | float) and type(value) is not bool and 0 <= value <= LONGEST_S


def _of_clips(record: object, what: str) -> list[Any]:
    if not isinstance(record, dict) or set(record) != {"x", "left", "right"}:
        raise JudgementError(f"an answer says {what}")
    return [record[place] for place in ("x", "left", "right")]
