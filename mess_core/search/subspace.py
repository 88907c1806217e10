"""Tracks on the probe directions of each aspect, and which way of ranking to serve."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mess_core.errors import StoreError
from mess_core.probing.aspects import ASPECTS
from mess_core.probing.probes import load_probes
from mess_core.search.faithfulness import Mode, subspace_distance
from mess_core.store.layout import Layout
from mess_core.store.tables import read_json

__all__ = ["Subspaces", "load_subspaces"]


@dataclass(frozen=True)
class Subspaces:
    """Where the tracks of an index lie on each aspect's probe directions.

    Attributes
    ----------
    placed : mapping of aspect to ndarray, float64, shape [tracks, targets]
        In standard deviations of the target.
    served : mapping of aspect to {"cosine", "subspace"}
        What the faithfulness table found better.
    """

    placed: Mapping[str, NDArray[np.float64]]
    served: Mapping[str, Mode]

    def has(self, aspect: str) -> bool:
        """Whether any target of the aspect was probed."""
        return aspect in self.placed

    def distance(self, aspect: str, row: int) -> NDArray[np.float64]:
        """Squared distance of a track to every track, [tracks]."""
        placed = self.placed[aspect]
        return subspace_distance(placed[row], placed)


def load_subspaces(layout: Layout, track_ids: list[str], matrix_sha256: Any) -> Subspaces | None:
    """Read the stored probes and faithfulness; None where they are of another matrix."""
    try:
        _, placed, made_from = load_probes(layout.probing)
        measured = read_json(layout.probing / "faithfulness.json")
    except StoreError:  # not materialised yet, or being replaced: cosines serve meanwhile
        return None
    if not made_from["matrix_sha256"] == measured["made_from"]["matrix_sha256"] == matrix_sha256:
        return None
    table = placed.set_index("track_id")
    if not set(track_ids) <= set(table.index):
        return None
    table = table.loc[track_ids]
    found = {}
    for name, targets in ASPECTS.items():
        columns = [target for target in targets if target in table]
        if columns:
            found[name] = table[columns].to_numpy(dtype=np.float64)
    return Subspaces(found, measured["served"])
