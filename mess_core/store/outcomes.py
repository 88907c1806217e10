"""Outcome of one track at one stage: the common result of all per-track stages."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["TrackOutcome"]

Status = Literal["done", "fresh", "no audio", "failed"]


@dataclass(frozen=True)
class TrackOutcome:
    """Outcome of one track at one stage.

    Attributes
    ----------
    status : {"done", "fresh", "no audio", "failed"}
        "fresh" means that the stored result was still valid.
    facts : dict
        Plain values for display: shapes, seconds, audio seconds per second; for a failure,
        its record.
    digest : str or None
        SHA-256 of the stored content, or of everything that determines it.
    encoder : str or None
        Folder name of the encoder, if the stage depends on one.
    """

    track_id: str
    dataset: str
    status: Status
    facts: dict[str, Any] = field(default_factory=dict)
    digest: str | None = None
    encoder: str | None = None
