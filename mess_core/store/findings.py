"""Outcome of a check on what is stored: whether it passed, and the facts behind that."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["EXAMPLES", "Finding"]

EXAMPLES = 5
"""How many names a finding lists."""


@dataclass(frozen=True)
class Finding:
    """Outcome of one check.

    Attributes
    ----------
    passed : bool
    facts : dict
        Plain values that support the outcome.
    """

    passed: bool
    facts: dict[str, Any] = field(default_factory=dict)
