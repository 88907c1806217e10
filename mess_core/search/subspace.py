"""Positions of tracks on the probe directions of each aspect, and the mode to rank by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mess_core.errors import SearchError, StoreError
from mess_core.probing.aspects import ASPECTS, Aspect
from mess_core.probing.probes import load_probes
from mess_core.search.faithfulness import MODES, Mode, subspace_distance
from mess_core.store.layout import Layout
from mess_core.store.tables import read_json

__all__ = ["SearchMode", "Subspaces", "choose_modes", "load_subspaces", "relative_similarity"]

SearchMode = Literal["auto", "cosine", "subspace"]


@dataclass(frozen=True)
class Subspaces:
    """Positions of the tracks of an index on each aspect's probe directions.

    Attributes
    ----------
    placed : mapping of aspect to ndarray, float64, shape [tracks, targets]
        In standard deviations of the target.
    served : mapping of aspect to {"cosine", "subspace"}
        The more faithful mode of each aspect.
    """

    placed: Mapping[str, NDArray[np.float64]]
    served: Mapping[str, Mode]

    def has(self, aspect: str) -> bool:
        """Return whether any target of the aspect was probed."""
        return aspect in self.placed

    def extended(self, aspect: Aspect, placed: NDArray[np.float64]) -> Subspaces:
        """Return these and the positions on another aspect, which is compared by them."""
        name = aspect.name
        return Subspaces({**self.placed, name: placed}, {**self.served, name: "subspace"})

    def distance(self, aspect: str, row: int) -> NDArray[np.float64]:
        """Return the squared distance of a track to every track, [tracks]."""
        placed = self.placed[aspect]
        return subspace_distance(placed[row], placed)


def choose_modes(
    aspects: Iterable[str], mode: SearchMode, found: Subspaces | None
) -> dict[str, Mode]:
    """Return the mode of each aspect; without subspaces, "auto" is "cosine".

    Raises
    ------
    SearchError
        If the mode is unknown, or a requested subspace does not exist.
    """
    if mode not in ("auto", *MODES):
        raise SearchError(f"mode must be auto, cosine or subspace, not {mode!r}")
    if mode == "cosine" or (mode == "auto" and found is None):
        return dict.fromkeys(aspects, "cosine")
    if found is None:
        raise SearchError(
            "there are no probe subspaces for this index",
            remedy="Materialise probing, aspects and faithfulness again",
        )
    if mode == "auto":
        return {name: found.served.get(name, "cosine") for name in aspects}
    without = [name for name in aspects if not found.has(name)]
    if without:
        raise SearchError(
            f"{without[0]} has no subspace: none of its targets was probed",
            remedy="Use mode='auto' or leave it out",
        )
    return dict.fromkeys(aspects, "subspace")


def relative_similarity(distance: NDArray[np.float64], row: int) -> NDArray[np.float64]:
    """Return ``1 - d / mean d`` of distances to a row: 1 = equal, 0 = like a random track."""
    others = np.delete(distance, row)
    mean = float(others.mean()) if len(others) else 0.0
    similar = 1 - distance / mean if mean > 0 else np.ones(len(distance))
    similar[row] = 1.0  # where all tracks are near, rounding of single precision would show
    return similar


def load_subspaces(layout: Layout, track_ids: list[str], matrix_sha256: Any) -> Subspaces | None:
    """Load probe positions and faithfulness; None if they belong to another matrix."""
    try:
        _, placed, made_from = load_probes(layout.probing)
        measured = read_json(layout.probing / "faithfulness.json")
    except StoreError:  # not materialised yet or being replaced: rank by cosine until then
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
