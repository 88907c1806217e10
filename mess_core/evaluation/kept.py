"""Results beside the fingerprint of what they were made from, so that none is made twice."""

from __future__ import annotations

import contextlib
import hashlib
import json
from typing import TYPE_CHECKING, Any

from mess_core.errors import StoreError
from mess_core.evaluation.splits import load_split
from mess_core.evaluation.systems import RUNGS
from mess_core.store.layout import Layout
from mess_core.store.matrix import load_matrix
from mess_core.store.tables import read_json, read_table, write_json, write_table
from mess_core.targets.registry import TARGETS_VERSION

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["EVALUATION_VERSION", "answers_table", "fingerprint", "keep", "kept"]

EVALUATION_VERSION = "1"
"""Version of criteria and ladder together; a change makes everything be computed again."""


def fingerprint(layout: Layout | None, by: str, *more: str) -> str:
    """Hash of everything that a result of this data root depends on; `more` is what it adds."""
    parts: list[Any] = [EVALUATION_VERSION, TARGETS_VERSION, str(RUNGS), by, *more]
    if layout is not None:
        _, _, manifest = load_matrix(layout)
        parts += [manifest["matrix_sha256"], manifest["identity"]]
        parts.append(load_split(layout.splits / f"{by}.json").sha256)
        for place in (layout.passages, layout.planted_triplets):
            parts.append(read_table(place).to_csv(index=False))
        tracks = read_table(layout.tracks)[["track_id", "work_id", "performer", "midi_path"]]
        parts.append(tracks.to_csv(index=False))
    return hashlib.sha256(json.dumps(parts, default=str, sort_keys=True).encode()).hexdigest()


def answers_table(place: Any) -> Any:
    """Where the answers of a step are kept."""
    return place.with_suffix(".parquet")


def kept(place: Any, stamp: str) -> pd.DataFrame | None:
    """Answers that were made from the same, or None."""
    with contextlib.suppress(StoreError):
        if read_json(place.with_suffix(".json"))["fingerprint"] == stamp:
            return read_table(answers_table(place))
    return None


def keep(place: Any, stamp: str, answers: pd.DataFrame) -> pd.DataFrame:
    """Store answers, their fingerprint last, and return them."""
    place.with_suffix(".json").unlink(missing_ok=True)  # never beside another's answers
    write_table(answers_table(place), answers)
    write_json(place.with_suffix(".json"), {"fingerprint": stamp, "rows": len(answers)})
    return answers
