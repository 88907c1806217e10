"""The steps of every refresh, each a job: scan, embed, describe, tables and indices.

Jobs select assets by name or group, so a new asset of a group is in its group's job. Embedding
and describing are jobs of their own, so that a run that holds a GPU and one that needs none go
on side by side.
"""

import dagster as dg

from mess_assets.executors import configured_executor
from mess_assets.op_tags import CPU_TAGS, DEVICE_TAG

EXECUTOR = configured_executor()

_PER_TRACK = dg.AssetSelection.assets("embeddings", "track_targets")
_REPORT = dg.AssetSelection.assets("targets_report")

scan = dg.define_asset_job(
    "scan",
    selection=dg.AssetSelection.assets("tracks"),
    description="Read the data sets, register new tracks, follow renamed ones.",
    executor_def=EXECUTOR,
    tags=CPU_TAGS,
)

embed = dg.define_asset_job(
    "embed",
    selection=dg.AssetSelection.assets("embeddings").without_checks(),
    description="Embed tracks; what is up to date is left alone.",
    executor_def=EXECUTOR,
    tags={DEVICE_TAG: "gpu"},
)

describe = dg.define_asset_job(
    "describe",
    selection=dg.AssetSelection.assets("track_targets").without_checks(),
    description="Compute the targets of tracks; what is up to date is left alone.",
    executor_def=EXECUTOR,
    tags=CPU_TAGS,
)

tables = dg.define_asset_job(
    "tables",
    selection=(dg.AssetSelection.groups("features", "discovery", "search") - _PER_TRACK)
    | dg.AssetSelection.checks_for_assets(
        dg.AssetKey("embeddings"), dg.AssetKey("track_targets"), dg.AssetKey("tracks")
    ),
    description="Rebuild tables, probing, aspects and indices from the store, and check all.",
    executor_def=EXECUTOR,
    tags=CPU_TAGS,
)

evaluate = dg.define_asset_job(
    "evaluate",
    selection=dg.AssetSelection.groups("ranking", "evaluation") - _REPORT,
    description="Train the ladder, examine every system, and compare them on the leaderboard.",
    executor_def=EXECUTOR,
    tags=CPU_TAGS,
)

PER_TRACK = (embed, describe)
EVALUATED_AGAIN = ("human_evaluation", "leaderboard")
"""What new answers of listeners change."""
