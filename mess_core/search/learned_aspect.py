"""The aspect "played alike": a learned head that was found to help, served by default."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mess_core.errors import MessError
from mess_core.probing.aspects import Aspect, Confidence
from mess_core.search.served_heads import Head, list_heads, load_head
from mess_core.search.subspace import Subspaces
from mess_core.store.layout import Layout
from mess_core.store.matrix import load_matrix
from mess_core.store.tables import read_table

__all__ = ["PLAYED_ALIKE", "load_played_alike", "with_learned"]

PLAYED_ALIKE = "played_alike"
"""Name of the aspect."""

_CONFIDENCES: tuple[tuple[float, Confidence], ...] = ((0.8, "high"), (0.7, "medium"), (0.5, "low"))
"""Lower bound of the interval of the share of triplets in the right order, and the confidence."""


def load_played_alike(
    layout: Layout, identity: Mapping[str, Any], ids: Sequence[str], layers: Sequence[int]
) -> tuple[Aspect, NDArray[np.float64]] | None:
    """Return the aspect and where its head places the tracks of the index.

    Of the expression heads that order performances of works held out significantly better than
    what came before them in the leaderboard's sequence, it is the one with the highest score.

    Parameters
    ----------
    layout : Layout
    identity : mapping
        Identity of the embeddings in the index.
    ids : sequence of str
        Tracks of the index.
    layers : sequence of int
        Layers of the index: all have equal weights where only layers can be compared.

    Returns
    -------
    aspect : Aspect
    placed : ndarray, float64, shape [tracks, dimensions]
        Squared distances are small between tracks that are played alike.
    None
        If there is no leaderboard, no head helps, or the head or the vectors are of another state.
    """
    path = layout.leaderboard / "leaderboard.parquet"
    if not path.exists() or not (layout.leaderboard / "models.parquet").exists():
        return None
    try:
        models, scores = read_table(layout.leaderboard / "models.parquet"), read_table(path)
        matrix, rows, _ = load_matrix(layout)
        heads = {name: load_head(layout.heads, name) for name in list_heads(layout.heads)}
    except MessError:
        return None
    own = scores[(scores["criterion"] == "expression") & (scores["metric"] == "triplets")]
    score_of = own.set_index("system")
    helping = models[(models["objective"] == "expression") & (models["verdict"] == "better")]
    candidates = {
        name: head
        for name, head in heads.items()
        if _system(head) in set(helping["model"]) and _system(head) in score_of.index
    }
    row_of = {str(track): row for row, track in enumerate(rows["track_id"])}
    if not candidates or not set(ids) <= set(row_of):
        return None
    name = max(candidates, key=lambda one: float(score_of.loc[_system(candidates[one]), "mean"]))
    try:
        head = load_head(layout.heads, name, identity=identity)
        placed = head(matrix[[row_of[one] for one in ids]]).astype(np.float64)
    except MessError:
        return None
    found = score_of.loc[_system(head)]
    reason = (
        f"learned ({name}): of performances of {found['clusters']} works never trained on, orders "
        f"{found['mean']:.2f} ({found['low']:.2f} to {found['high']:.2f}) of pairs as the notes do"
    )
    sure: list[Confidence] = [one for least, one in _CONFIDENCES if found["low"] > least]
    confidence = sure[0] if sure else "none"
    equal = dict.fromkeys(map(int, layers), 1.0 / len(layers))
    aspect = Aspect(PLAYED_ALIKE, equal, confidence, float("nan"), float("nan"), reason)
    return aspect, _spread(placed)


def with_learned(
    learned: tuple[Aspect, NDArray[np.float64]] | None,
    aspects: dict[str, Aspect],
    subspaces: Subspaces | None,
) -> tuple[dict[str, Aspect], Subspaces | None]:
    """Return aspects and positions with the learned aspect, if there is one, among them."""
    if learned is None:
        return aspects, subspaces
    aspect, placed = learned
    more = (subspaces or Subspaces({}, {})).extended(aspect, placed)
    return {**aspects, aspect.name: aspect}, more


def _system(head: Head) -> str:
    return f"{head.made_from.get('objective')}: {head.made_from.get('model')}"


def _spread(placed: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scale positions to a mean variance of 1, as those of probes have."""
    deviation = float(np.sqrt(placed.var(axis=0).sum()))
    return placed / max(deviation, 1e-12)
