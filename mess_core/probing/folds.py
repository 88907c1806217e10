"""Cross-validation folds that keep each group (a work, a player) on one side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from mess_core.datasets.works import leak_safe_groups
from mess_core.errors import ProbingError
from mess_core.store.findings import EXAMPLES, Finding
from mess_core.store.layout import Layout
from mess_core.store.matrix import load_matrix
from mess_core.store.tables import read_json, read_table

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "GROUPINGS",
    "Grouping",
    "check_folds",
    "check_splits",
    "grouped_folds",
    "grouping",
    "shared",
]

Grouping = Literal["work", "performer", "track", "as first published"]
GROUPINGS: tuple[Grouping, ...] = ("work", "performer", "track", "as first published")


def grouped_folds(groups: Sequence[str], folds: int, *, seed: int = 0) -> NDArray[np.int64]:
    """Return the fold of each row, so that no group is in two folds.

    Uses scikit-learn's ``GroupKFold`` with shuffled groups: folds have equal numbers of groups,
    so they differ in rows if groups differ in size.

    Parameters
    ----------
    groups : sequence of str, length rows
    folds : int
    seed : int

    Returns
    -------
    ndarray, int64, shape [rows]
        Fold of each row.

    Raises
    ------
    ProbingError
        If there are fewer groups than folds, or fewer than two folds.

    Examples
    --------
    >>> fold = grouped_folds(["a", "a", "b", "c"], 3)
    >>> bool(fold[0] == fold[1]), len(set(fold.tolist()))
    (True, 3)
    """
    from sklearn.model_selection import GroupKFold

    names = np.asarray(groups, dtype=str)
    present = len(np.unique(names))
    if folds < 2:
        raise ProbingError(f"at least 2 folds are needed, not {folds}")
    if present < folds:
        raise ProbingError(
            f"{folds} folds need at least {folds} groups, but there are only {present}",
            remedy="Use fewer folds, or more works",
        )
    fold = np.empty(len(names), dtype=np.int64)
    splitter = GroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    for index, (_, test) in enumerate(splitter.split(names, groups=names)):
        fold[test] = index
    return fold


def grouping(layout: Layout, rows: pd.DataFrame, group_by: Grouping) -> list[str]:
    """Return the group of each row of ``track_id, work_id, performer``, for use with folds.

    Works that share a recording or music form one group. Each track without a performer is a
    group of its own.

    Raises
    ------
    ProbingError
        If `group_by` is unknown.
    """
    if group_by == "work":
        tracks = read_table(layout.tracks).set_index("track_id")
        hashes = rows["track_id"].map(tracks["audio_sha256"])
        recordings = [one if isinstance(one, str) else None for one in hashes]
        music = rows["track_id"].map(tracks["music"]) if "music" in tracks else [None] * len(rows)
        named = [one if isinstance(one, str) else None for one in music]
        return leak_safe_groups(rows["work_id"].tolist(), recordings, named)
    if group_by in ("track", "as first published"):
        return [str(track) for track in rows["track_id"]]
    if group_by != "performer":
        raise ProbingError(
            f"cannot group by {group_by!r}", remedy=f"One of: {', '.join(GROUPINGS)}"
        )
    known = rows["performer"].where(rows["performer"].notna(), "track " + rows["track_id"])
    return [str(name) for name in known]


def check_folds(layout: Layout) -> Finding:
    """Check that no work and no recording is on both sides of the folds used for probing.

    The folds are recreated from the stored settings, as `probe_store` creates them.
    """
    tracks = read_table(layout.tracks).set_index("track_id")
    settings = read_json(layout.probing / "results.json")["settings"]
    _, rows, _ = load_matrix(layout)
    known = rows[rows["track_id"].isin(tracks.index)]
    groups = grouping(layout, known, "work")
    folds = min(int(settings.get("folds", 5)), len(set(groups)))
    if folds < 2:
        return Finding(True, {"folds": "too few works for folds"})
    sides = grouped_folds(groups, folds, seed=int(settings.get("seed", 0)))
    hashes = known["track_id"].map(tracks["audio_sha256"])
    found = shared(known.assign(audio_sha256=hashes), sides.tolist())
    facts = {f"{kind}_on_both_sides": names[:EXAMPLES] for kind, names in found.items()}
    return Finding(not any(found.values()), {"folds": folds, **facts})


def check_splits(layout: Layout) -> Finding:
    """Check that no work and no recording is on both sides of a data set's own split.

    MESS does not use these splits for scores, but users may: MAESTRO's own split has works on
    both sides. Works are compared as in `leak_safe_groups` (an opus and its pieces are one work).
    """
    tracks = read_table(layout.tracks)
    named = tracks.dropna(subset=["split"])
    facts: dict[str, Any] = {}
    for dataset, part in named.groupby("dataset"):
        for kind, names in shared(part, part["split"].tolist()).items():
            if names:
                facts[f"{kind} of {dataset}"] = names[:EXAMPLES]
    return Finding(not facts, {"tracks_with_a_split": len(named), **facts})


def shared(tracks: pd.DataFrame, sides: Sequence[Any]) -> dict[str, list[str]]:
    """Return works, and tracks with the same audio, that are on several sides of a split.

    Parameters
    ----------
    tracks : DataFrame
        With ``track_id, work_id, audio_sha256``.
    sides : sequence
        Side of each row.

    Returns
    -------
    dict
        "works" to work names and "audio" to track ids that are on more than one side.
    """
    table = tracks.assign(side=list(sides), work=leak_safe_groups(tracks["work_id"].tolist()))
    works = table.groupby("work")["side"].nunique()
    hashed = table.dropna(subset=["audio_sha256"])
    spread = hashed.groupby("audio_sha256")["side"].transform("nunique") > 1
    return {
        "works": sorted(map(str, works.index[works > 1])),
        "audio": sorted(hashed.loc[spread, "track_id"]),
    }
