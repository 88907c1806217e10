"""The three steps of every refresh, each a job: scan, per-track work, tables and indices."""

import dagster as dg

IN_PROCESS = dg.in_process_executor
"""A process per step costs seconds and loads the model again; one process serves a run."""

scan = dg.define_asset_job(
    "scan",
    selection=dg.AssetSelection.assets("tracks"),
    description="Read the data sets and register new tracks.",
    executor_def=IN_PROCESS,
)

per_track = dg.define_asset_job(
    "per_track",
    selection=dg.AssetSelection.assets("embeddings", "track_targets").without_checks(),
    description="Embed and describe tracks; what is up to date is left alone.",
    executor_def=IN_PROCESS,
)

tables = dg.define_asset_job(
    "tables",
    selection=dg.AssetSelection.assets(
        "aligned_targets",
        "proxy_targets",
        "embedding_matrix",
        "control_matrix",
        "probing",
        "segment_probing",
        "aspects",
        "faithfulness",
        "track_index",
        "passage_index",
    )
    | dg.AssetSelection.checks_for_assets(dg.AssetKey("embeddings"), dg.AssetKey("track_targets")),
    description="Rebuild tables, probing, aspects and indices from the store, and check all.",
    executor_def=IN_PROCESS,
)

JOBS = [scan, per_track, tables]
