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

__all__ = ["check_folds", "check_r2_drop", "check_splits", "shared"]

_DROP = 0.05
"""Smallest fall of R² that is worth a warning; smaller ones come and go with a few tracks."""


def check_folds(layout: Layout) -> Finding:
    """No work and no recording is on both sides of the folds that probing scores by.

    The folds are made again from the stored settings, as `probe_store` makes them.
    """
    tracks = read_table(layout.tracks).set_index("track_id")
    settings = read_json(layout.probing / "results.json")["settings"]
    _, rows, _ = load_matrix(layout)
    known = rows[rows["track_id"].isin(tracks.index)]
    groups = grouping(layout, known, "work")
    folds = min(int(settings.get("folds", 5)), len(set(groups)))
    if folds < 2:
        return Finding(True, {"folds": "too few works to make any"})
    sides = grouped_folds(groups, folds, seed=int(settings.get("seed", 0)))
    heard = known["track_id"].map(tracks["audio_sha256"])
    found = shared(known.assign(audio_sha256=heard), sides.tolist())
    facts = {f"{kind}_on_both_sides": names[:EXAMPLES] for kind, names in found.items()}
    return Finding(not any(found.values()), {"folds": folds, **facts})


def check_splits(layout: Layout) -> Finding:
    """No work and no recording is on both sides of a data set's own split.

    Nothing here scores by these splits, but users may: MAESTRO's own has works on both sides.
    Works are compared as `leak_safe_groups` does (an opus and its pieces are one).
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
