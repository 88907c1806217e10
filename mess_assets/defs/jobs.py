"""Jobs for the steps of a refresh (scan, embed, describe, tables), evaluation and pretraining.

Jobs select assets by name or group, so a new asset of a group is part of its group's job.
Embeddings and targets have separate jobs, so that a run on the GPU and one on the CPU can be
active at the same time.
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
    description="Read the data sets, register new tracks and follow renamed files.",
    executor_def=EXECUTOR,
    tags=CPU_TAGS,
)

embed = dg.define_asset_job(
    "embed",
    selection=dg.AssetSelection.assets("embeddings").without_checks(),
    description="Embed tracks; up-to-date tracks are skipped.",
    executor_def=EXECUTOR,
    tags={DEVICE_TAG: "gpu"},
)

describe = dg.define_asset_job(
    "describe",
    selection=dg.AssetSelection.assets("track_targets").without_checks(),
    description="Compute the targets of tracks; up-to-date tracks are skipped.",
    executor_def=EXECUTOR,
    tags=CPU_TAGS,
)

tables = dg.define_asset_job(
    "tables",
    selection=(dg.AssetSelection.groups("features", "discovery", "search") - _PER_TRACK)
    | dg.AssetSelection.assets("work_labels")
    | dg.AssetSelection.checks_for_assets(
        dg.AssetKey("embeddings"), dg.AssetKey("track_targets"), dg.AssetKey("tracks")
    ),
    description="Rebuild tables, probing, aspects and indices from the store, and run all checks.",
    executor_def=EXECUTOR,
    tags=CPU_TAGS,
)

evaluate = dg.define_asset_job(
    "evaluate",
    selection=dg.AssetSelection.groups("ranking", "evaluation") - _REPORT,
    description="Train the heads, evaluate every system, and compare them on the leaderboard.",
    executor_def=EXECUTOR,
    tags=CPU_TAGS,
)

train_encoder = dg.define_asset_job(
    "train_encoder",
    selection=dg.AssetSelection.groups("pretraining"),
    description="Train the small encoder on a folder of MIDI files; a stopped run is resumed.",
    executor_def=EXECUTOR,
    tags={DEVICE_TAG: "gpu"},
)

PER_TRACK = (embed, describe)
EVALUATED_AGAIN = ("human_evaluation", "leaderboard")
"""Assets that depend on the answers of listeners."""
