"""Triplets of the listening test, and the order and sides in which each listener hears them.

A listening plan depends only on the listener's anonymous id and on the triplets. It is derived
from hashes instead of a random generator, so it is the same after a reload, on another machine,
and in later versions of Python and NumPy.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from mess_core.errors import JudgementError, StoreError

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "KINDS",
    "TRIPLET_COLUMNS",
    "Clip",
    "Step",
    "Triplet",
    "Triplets",
    "check_listener",
    "listening_plan",
    "parse_triplets",
]

Side = Literal["a", "b"]

KINDS = ("same_passage", "across_works", "disagreement", "attention")
"""Kinds of triplets. In an ``attention`` check, one side is the same clip as X."""

TRIPLET_COLUMNS = (
    "triplet_id", "kind",
    "x_track", "x_start_s", "x_end_s",
    "a_track", "a_start_s", "a_end_s",
    "b_track", "b_start_s", "b_end_s",
    "expected",
)  # fmt: skip

_LISTENER = re.compile(r"[a-z0-9]{12}")
_REPEATED = 0.1
_GAP = 10
_PER_CHECK = 15
_REMEDY = "Materialise the `human_triplets` asset again"


@dataclass(frozen=True)
class Clip:
    """A passage of a track, in seconds of its recording."""

    track: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Triplet:
    """Is `a` or `b` played more like `x`? Only attention checks have an `expected` answer."""

    triplet_id: str
    kind: str
    x: Clip
    a: Clip
    b: Clip
    expected: Side | Literal[""] = ""

    @property
    def attention(self) -> bool:
        """Whether the triplet is an attention check."""
        return self.kind == "attention"


@dataclass(frozen=True)
class Triplets:
    """All triplets, sorted by id, and a digest of their content."""

    rows: tuple[Triplet, ...]
    digest: str


@dataclass(frozen=True)
class Step:
    """One trial of a listener's plan.

    Attributes
    ----------
    position : int
        Index of the trial in the plan, from 0.
    triplet : Triplet
    repeat : bool
        Whether the listener hears the triplet for the second time.
    swapped : bool
        Whether side b of the table is shown on the left, as "A".
    ticket : str
        Identifies the trial to the page without revealing the triplet.
    """

    position: int
    triplet: Triplet
    repeat: bool
    swapped: bool
    ticket: str

    def shown(self, slot: Literal["x", "left", "right"]) -> Clip:
        """Return the clip that the page shows as X, on the left or on the right."""
        if slot == "x":
            return self.triplet.x
        return self.triplet.a if self.side(slot) == "a" else self.triplet.b

    def side(self, slot: Literal["left", "right"]) -> Side:
        """Return the side of the table that the page shows on the left or on the right."""
        return "a" if (slot == "left") != self.swapped else "b"


def check_listener(listener: object) -> str:
    """Return the id of a listener if it is valid.

    Raises
    ------
    JudgementError
        If it is not a string of 12 lower-case letters and digits.
    """
    if not isinstance(listener, str) or not _LISTENER.fullmatch(listener):
        raise JudgementError(
            "this is not the id of a listener (12 lower-case letters and digits)",
            remedy="Open listening-test.html, which creates one",
        )
    return listener


def parse_triplets(table: pd.DataFrame, path: str | None = None) -> Triplets:
    """Validate a table of triplets and parse its rows.

    Parameters
    ----------
    table : DataFrame
        With the columns `TRIPLET_COLUMNS`. Other columns and the order of rows are ignored.
    path : str, optional
        Path of the table, for error messages.

    Raises
    ------
    StoreError
        If columns are missing, the table is empty, an id is duplicated, or a row is invalid.
    """

    def refused(problem: str) -> StoreError:
        return StoreError(problem, path=path, remedy=_REMEDY)

    missing = [name for name in TRIPLET_COLUMNS if name not in table.columns]
    if missing:
        raise refused(f"lacks the columns {', '.join(missing)}")
    if table.empty:
        raise refused("holds no triplets")
    rows = []
    for record in table[list(TRIPLET_COLUMNS)].to_dict("records"):
        try:
            rows.append(_triplet(record))
        except (TypeError, ValueError) as error:
            raise refused(f"triplet {record['triplet_id']!r}: {error}") from error
    rows.sort(key=lambda one: one.triplet_id)
    for one, following in itertools.pairwise(rows):
        if one.triplet_id == following.triplet_id:
            raise refused(f"has two triplets {one.triplet_id!r}")
    # Stored answers refer to this digest: renaming a class or field of the triplets changes it.
    content = "\n".join(repr(row) for row in rows)
    return Triplets(tuple(rows), hashlib.sha256(content.encode()).hexdigest()[:16])


def listening_plan(listener: str, triplets: Triplets) -> list[Step]:
    """Return the trials of a listener, in order.

    Every triplet occurs once. A tenth of them occur a second time with sides swapped, at least 10
    trials later if the plan is long enough. Attention checks are spread evenly. If the table has
    none, one per 15 trials is made by using the clip of X as side a.

    Parameters
    ----------
    listener : str
        Id of the listener.
    triplets : Triplets

    Returns
    -------
    list of Step
        Sorted by ``position``.

    Raises
    ------
    JudgementError
        If `listener` is not a valid id.
    """
    seed = f"{check_listener(listener)}\n{triplets.digest}"
    ordered = sorted(
        (one for one in triplets.rows if not one.attention),
        key=lambda one: _draw(seed, "order", one.triplet_id),
    )
    trials = _with_repeats(seed, ordered)
    checks = [one for one in triplets.rows if one.attention] or _made_checks(seed, ordered, trials)
    checks.sort(key=lambda one: _draw(seed, "order", one.triplet_id))
    share = len(trials) / max(1, len(checks))
    for number, check in reversed(list(enumerate(checks))):
        # In the middle half of its share of the plan: evenly spread but not predictable.
        inside = 0.25 + 0.5 * _draw(seed, "place", check.triplet_id)
        trials.insert(round((number + inside) * share), (check, False))
    return [
        Step(
            position,
            triplet,
            repeat,
            (_draw(seed, "sides", triplet.triplet_id) < 0.5) != repeat,
            _digest(seed, "ticket", f"{position} {triplet.triplet_id}")[:16],
        )
        for position, (triplet, repeat) in enumerate(trials)
    ]


def _with_repeats(seed: str, ordered: list[Triplet]) -> list[tuple[Triplet, bool]]:
    count = round(_REPEATED * len(ordered))
    # Early enough to leave ten trials in between; in a short plan, as early as possible.
    early = list(range(max(count, len(ordered) - _GAP)))
    early.sort(key=lambda index: _draw(seed, "repeat", ordered[index].triplet_id))
    trials = [(float(index), one, False) for index, one in enumerate(ordered)]
    for index in early[:count]:
        one = ordered[index]
        first = min(index + _GAP, len(ordered))
        position = first + (len(ordered) - first) * _draw(seed, "again", one.triplet_id)
        trials.append((position - 0.5, one, True))
    trials.sort(key=lambda trial: trial[0])
    return [(one, repeat) for _, one, repeat in trials]


def _made_checks(
    seed: str, ordered: list[Triplet], trials: list[tuple[Triplet, bool]]
) -> list[Triplet]:
    count = max(1, round(len(trials) / (_PER_CHECK - 1)))
    chosen = sorted(ordered, key=lambda one: _draw(seed, "check", one.triplet_id))[:count]
    return [
        Triplet(
            f"attention:{one.triplet_id}",
            "attention",
            one.x,
            one.x,
            one.a if one.b == one.x else one.b,
            "a",
        )
        for one in chosen
    ]


def _triplet(record: Mapping[Any, Any]) -> Triplet:
    triplet_id, kind = record["triplet_id"], record["kind"]
    if not isinstance(triplet_id, str) or not triplet_id:
        raise ValueError("its id is not a string")
    if kind not in KINDS:
        raise ValueError(f"its kind {kind!r} is not one of {', '.join(KINDS)}")
    x, a, b = (_clip(record, side) for side in ("x", "a", "b"))
    # A missing value in a Parquet table is read as None or NaN.
    expected = record["expected"] if isinstance(record["expected"], str) else ""
    if expected not in ("a", "b", ""):
        raise ValueError(f"`expected` is {expected!r}, not 'a' or 'b'")
    if (kind == "attention") != bool(expected):
        raise ValueError("`expected` must be set for attention checks and only for them")
    side: Side | Literal[""] = "a" if expected == "a" else "b" if expected == "b" else ""
    return Triplet(triplet_id, str(kind), x, a, b, side)


def _clip(record: Mapping[Any, Any], side: str) -> Clip:
    track = record[f"{side}_track"]
    start_s, end_s = float(record[f"{side}_start_s"]), float(record[f"{side}_end_s"])
    if not isinstance(track, str) or not track:
        raise ValueError(f"{side} has no track")
    if not (0 <= start_s < end_s and math.isfinite(end_s)):
        raise ValueError(f"{side} runs from {start_s} s to {end_s} s")
    return Clip(track, start_s, end_s)


def _digest(seed: str, purpose: str, name: str) -> str:
    return hashlib.sha256(f"{seed}\n{purpose}\n{name}".encode()).hexdigest()


def _draw(seed: str, purpose: str, name: str) -> float:
    """Return a reproducible pseudo-random number, uniform in [0, 1)."""
    return int(_digest(seed, purpose, name)[:13], 16) / 16**13
