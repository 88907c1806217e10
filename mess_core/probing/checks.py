"""What should hold of the splits behind scores, and of scores from one run to the next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mess_core.datasets.works import leak_safe_groups
from mess_core.errors import StoreError
from mess_core.probing.folds import grouped_folds
from mess_core.probing.stored import PREVIOUS, grouping
from mess_core.store.checks import EXAMPLES, Finding
from mess_core.store.layout import Layout
from mess_core.store.matrix import load_matrix
from mess_core.store.tables import read_json, read_table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["check_r2_drop", "check_splits"]

_DROP = 0.05
"""Smallest fall of R² that is worth a warning; smaller ones come and go with a few tracks."""


def check_splits(layout: Layout) -> Finding:
    """No work and no audio is on both sides: of the data sets' splits, and of probing's folds.

    Works are compared as `leak_safe_groups` does (an opus and its pieces are one); the folds are
    made again from the stored settings.
    """
    tracks = read_table(layout.tracks)
    named = tracks.dropna(subset=["split"])
    leaks = {"splits": shared(named, named["split"].tolist())}
    settings = read_json(layout.probing / "results.json")["settings"]
    _, rows, _ = load_matrix(layout)
    probed = tracks.set_index("track_id").loc[rows["track_id"]].reset_index()
    groups = grouping(layout, rows, "work")
    folds = min(int(settings.get("folds", 5)), len(set(groups)))
    if folds >= 2:
        sides = grouped_folds(groups, folds, seed=int(settings.get("seed", 0)))
        leaks["folds"] = shared(probed, sides.tolist())
    facts: dict[str, Any] = {
        f"{kind}_on_both_sides_of_{where}": names[:EXAMPLES]
        for where, found in leaks.items()
        for kind, names in found.items()
    }
    return Finding(not any(facts.values()), {"tracks_with_a_split": len(named), **facts})


def shared(tracks: pd.DataFrame, sides: Sequence[Any]) -> dict[str, list[str]]:
    """Works, and tracks by their audio, that several sides of a split have in common.

    Parameters
    ----------
    tracks : DataFrame
        With ``track_id, work_id, audio_sha256``.
    sides : sequence
        The side that each row is on.

    Returns
    -------
    dict
        "works" and "audio" to names of those that are on more than one side.
    """
    table = tracks.assign(side=list(sides), work=leak_safe_groups(tracks["work_id"].tolist()))
    works = table.groupby("work")["side"].nunique()
    hashed = table.dropna(subset=["audio_sha256"])
    spread = hashed.groupby("audio_sha256")["side"].transform("nunique") > 1
    return {
        "works": sorted(map(str, works.index[works > 1])),
        "audio": sorted(hashed.loc[spread, "track_id"]),
    }


def check_r2_drop(layout: Layout) -> Finding:
    """No target's R² fell by more than 0.05 below its interval in the run before.

    Runs of different encoders are told apart, not compared.
    """
    now = read_table(layout.probing / "summary.parquet").set_index("target")
    made_from = read_json(layout.probing / "results.json")["made_from"]
    try:
        before = read_table(layout.probing / PREVIOUS).set_index("target")
    except StoreError:
        return Finding(True, {"compared": "nothing: this is the first run"})
    if set(before["encoder"]) != {made_from["encoder"]}:
        return Finding(True, {"compared": "nothing: the run before had another encoder"})
    both = now.join(before.add_suffix("_before"), how="inner")
    limit = both["chosen_r2_low_before"].fillna(both["chosen_r2_before"]) - _DROP
    fallen = both[both["chosen_r2"] < limit]
    change = (both["chosen_r2"] - both["chosen_r2_before"]).dropna()
    return Finding(
        fallen.empty,
        {
            "compared": len(both),
            "fallen": {
                str(target): [float(row["chosen_r2_before"]), float(row["chosen_r2"])]
                for target, row in fallen.iterrows()
            },
            "median_change": float(change.median()) if len(change) else None,
        },
    )
