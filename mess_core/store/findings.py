"""Outcome of a check of stored data: whether it passed, and the facts behind it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["EXAMPLES", "Finding"]

EXAMPLES = 5
"""Maximum number of names that a finding lists."""


@dataclass(frozen=True)
class Finding:
    """Outcome of one check.

    Attributes
    ----------
    passed : bool
    facts : dict
        Plain values that explain the outcome.
    """

    passed: bool
    facts: dict[str, Any] = field(default_factory=dict)
