"""Responses sent by the page of the listening test, validated field by field."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from mess_core.errors import JudgementError

__all__ = ["LONGEST_S", "MOST_PLAYS", "Response"]

LONGEST_S = 3600.0
"""Longest response time in seconds; a longer one (a break) is recorded as this."""

MOST_PLAYS = 1000
"""Most times that one clip can be played."""


@dataclass(frozen=True)
class Response:
    """A listener's response to one trial.

    Attributes
    ----------
    position : int
        Index of the trial in the listener's plan, from 0.
    ticket : str
        Ticket of the trial.
    shown : {"left", "right"}
        The chosen side as shown on the page.
    seconds : float
        Response time, at most `LONGEST_S`.
    plays : tuple of int
        How often X, the left and the right clip were played; each at least once.
    listened : tuple of float
        Latest second reached in X, the left and the right clip.
    """

    position: int
    ticket: str
    shown: Literal["left", "right"]
    seconds: float
    plays: tuple[int, int, int]
    listened: tuple[float, float, float]

    @classmethod
    def from_record(cls, record: object) -> Response:
        """Validate an untrusted record sent by the page and return it as a `Response`.

        Raises
        ------
        JudgementError
            If a field is missing, unknown, of the wrong type or out of range.
        """
        names = {"listener", "position", "ticket", "answer", "seconds", "plays", "listened"}
        if not isinstance(record, dict) or set(record) != names:
            raise JudgementError(f"an answer must have the fields {', '.join(sorted(names))}")
        position, seconds, plays = record["position"], record["seconds"], record["plays"]
        if type(position) is not int:
            raise JudgementError("the position of an answer must be an integer")
        if not isinstance(record["ticket"], str):
            raise JudgementError("the ticket of an answer must be a string")
        if record["answer"] not in ("left", "right"):
            raise JudgementError("an answer must be 'left' or 'right'")
        if not _is_time(seconds):
            raise JudgementError(f"the response time must be 0 to {LONGEST_S:g} seconds")
        counts = _per_clip(plays, "plays")
        reached = _per_clip(record["listened"], "listened")
        if not all(_is_time(one) for one in reached):
            raise JudgementError(f"the time listened to a clip must be 0 to {LONGEST_S:g} seconds")
        if not all(type(count) is int and 1 <= count <= MOST_PLAYS for count in counts):
            raise JudgementError("all three clips must be played before answering")
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


def _per_clip(record: object, field: str) -> list[Any]:
    if not isinstance(record, dict) or set(record) != {"x", "left", "right"}:
        raise JudgementError(f"`{field}` must have one value each for x, left and right")
    return [record[slot] for slot in ("x", "left", "right")]
