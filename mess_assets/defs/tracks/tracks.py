"""The track table: one row per performance, and its partitions."""

import time
from typing import Any

import dagster as dg

from mess_assets.check_results import WARN, check_result
from mess_assets.defs.resources import EncoderResource, StoreResource
from mess_assets.encoder_runs import encoder_version
from mess_assets.op_tags import OWNERS
from mess_assets.partitions import TRACKS
from mess_assets.plots import picture, tracks_png
from mess_assets.tables import column_schema, sample


@dg.asset(
    group_name="tracks",
    owners=OWNERS,
    kinds={"python", "parquet"},
    code_version="1",
    description=(
        "One row per performance of all configured data sets (MAESTRO v3, SMD, folders, the "
        "demo corpus), validated with a schema. Adds a partition for every new track, removes the "
        "partitions of removed tracks, and reuses the results of a renamed file (identified by "
        "the hash of its audio). Works are identified by titles and catalogue numbers."
    ),
)
def tracks(
    context: dg.AssetExecutionContext, store: StoreResource, encoder: EncoderResource
) -> dg.MaterializeResult:
    """Scan the data sets and write ``metadata/tracks.parquet``."""
    from mess_core.store import escape_track_id
    from mess_core.store.track_table import refresh_tracks, scan_summary

    began = time.perf_counter()
    table, report = refresh_tracks(store.layout, store.sources())
    keys = [escape_track_id(track_id) for track_id in table["track_id"]]
    known = set(context.instance.get_dynamic_partitions(TRACKS.name))
    new = [key for key in keys if key not in known]
    if new:
        context.instance.add_dynamic_partitions(TRACKS.name, new)
    for old_id, new_id in report["renamed"]:
        _report_rename(context, encoder.layout(store), old_id, new_id)
    gone = sorted(known - set(keys))
    deleted = _delete_partitions(context, gone)
    skipped = [
        f"- `{skipped['path']}`: {skipped['reason']}"
        for dataset in report["datasets"]
        for skipped in dataset["skipped"]
    ]
    return dg.MaterializeResult(
        data_version=dg.DataVersion(_digest(table)),
        metadata={
            "dagster/row_count": len(table),
            "dagster/column_schema": column_schema(table),
            "with_audio": report["with_audio"],
            "with_midi": report["with_midi"],
            "works": report["works"],
            "hours": report["hours"],
            "added": len(report["added"]),
            "removed": len(report["removed"]),
            "changed": len(report["changed"]),
            "renamed": dg.MetadataValue.md(
                "\n".join(f"- `{old}` is now `{now}`" for old, now in report["renamed"][:100])
                or "nothing"
            ),
            "partitions_added": len(new),
            "partitions_removed": deleted,
            "problems": dg.MetadataValue.md("\n".join(scan_summary(store.layout)) or "none"),
            "skipped": dg.MetadataValue.md("\n".join(skipped[:100]) or "nothing"),
            "sample": sample(table.drop(columns=["audio_path", "midi_path", "audio_sha256"])),
            "picture": picture(tracks_png(table)),
            "path": dg.MetadataValue.path(str(store.layout.tracks)),
            "seconds": time.perf_counter() - began,
        },
    )


@dg.asset_check(
    asset=tracks,
    description="Data sets were read, ids are unique, audio is hashed and not duplicated.",
)
def tracks_are_distinct(store: StoreResource) -> dg.AssetCheckResult:
    from mess_core.store.track_table import check_tracks

    return check_result(check_tracks(store.layout), WARN)


@dg.asset_check(asset=tracks, description="No work or audio is on both sides of a split.")
def splits_do_not_leak(store: StoreResource) -> dg.AssetCheckResult:
    from mess_core.probing.folds import check_splits

    return check_result(check_splits(store.layout), WARN)


def _report_rename(
    context: dg.AssetExecutionContext, layout: Any, old_id: str, new_id: str
) -> None:
    """Report the moved results of a renamed track as materialisations of its new partition."""
    from mess_core.store import EmbeddingStore, escape_track_id
    from mess_core.store.tables import read_table

    table = read_table(layout.tracks).set_index("track_id")
    sidecar = EmbeddingStore(layout).sidecar(str(table.at[new_id, "dataset"]), new_id)
    tags = {}
    if sidecar is not None:
        version = encoder_version(layout, sidecar["sha256"]["segments"])
        tags = {"embeddings": {"dagster/data_version": version.value}}
    if layout.track_targets(str(table.at[new_id, "dataset"]), new_id).exists():
        tags["track_targets"] = {}
    for asset, versions in tags.items():
        context.log_event(
            dg.AssetMaterialization(
                asset,
                partition=escape_track_id(new_id),
                metadata={"status": "renamed", "track_id": new_id, "renamed_from": old_id},
                tags=versions,
            )
        )


def _delete_partitions(context: dg.AssetExecutionContext, keys: list[str]) -> int:
    """Delete partitions of removed tracks, unless a run may be using them."""
    active = [
        record.dagster_run.run_id
        for record in context.instance.get_run_records(
            dg.RunsFilter(
                statuses=[
                    dg.DagsterRunStatus.QUEUED,
                    dg.DagsterRunStatus.STARTING,
                    dg.DagsterRunStatus.STARTED,
                ]
            )
        )
    ]
    if any(run_id != context.run.run_id for run_id in active):
        if keys:
            context.log.warning(
                f"{len(keys)} partitions of removed tracks were not deleted: runs are active"
            )
        return 0
    for key in keys:
        context.instance.delete_dynamic_partition(TRACKS.name, key)
    return len(keys)


def _digest(table: object) -> str:
    import hashlib

    return hashlib.sha256(table.to_csv(index=False).encode()).hexdigest()  # type: ignore[attr-defined]
