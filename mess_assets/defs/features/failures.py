"""Table of failed tracks and reasons, over all stages."""

from typing import Any

import dagster as dg

from mess_assets.check_results import WARN
from mess_assets.defs.resources import StoreResource
from mess_assets.op_tags import OWNERS
from mess_assets.per_track import failure_table
from mess_assets.tables import column_schema, sample

_COLUMNS = {
    "stage": "embeddings or track_targets",
    "error": "type of the exception",
    "problem": "what is wrong, in a sentence",
    "path": "the file concerned",
    "remedy": "what to do about it",
    "transient": "whether a retry may succeed without any change",
    "attempts": "number of attempts with the same inputs",
    "cause": "inputs of the attempt, as JSON; the track is retried when they change",
    "at": "time of the last attempt, UTC",
}


@dg.asset(
    deps=["embeddings", "track_targets"],
    group_name="features",
    owners=OWNERS,
    kinds={"python", "parquet"},
    code_version="1",
    description=(
        "One row per track and stage that currently fails: problem, file, remedy, number of "
        "attempts. Such tracks are left out downstream, and retried when their file, the encoder "
        "or the code version changes. Transient failures are tried three times in all."
    ),
)
def failures(context: dg.AssetExecutionContext, store: StoreResource) -> dg.MaterializeResult:
    """Collect the failure records into a table and an HTML page."""
    from mess_core.store.failures_page import reasons, write_failures

    table = write_failures(store.layout)
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(table),
            "dagster/column_schema": column_schema(table, _COLUMNS),
            "tracks": int(table["track_id"].nunique()),
            "reasons": sample(reasons(table), rows=20),
            "failed": failure_table(table.to_dict("records")),
            "page": dg.MetadataValue.path(str(store.layout.failures / "failures.html")),
            "path": dg.MetadataValue.path(str(store.layout.failures / "failures.parquet")),
        }
    )


@dg.asset_check(asset=failures, description="No track fails.")
def no_track_fails(store: StoreResource) -> dg.AssetCheckResult:
    from mess_core.store.failures import failures_table

    table = failures_table(store.layout)
    metadata: dict[str, Any] = {"failed": int(table["track_id"].nunique())}
    if len(table):
        metadata["tracks"] = failure_table(table.to_dict("records"))
    return dg.AssetCheckResult(passed=table.empty, severity=WARN, metadata=metadata)
