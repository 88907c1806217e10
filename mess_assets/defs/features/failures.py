"""Which tracks fail, and why: one table of all stages."""

from typing import Any

import dagster as dg

from mess_assets.check_results import WARN
from mess_assets.defs.resources import StoreResource
from mess_assets.op_tags import OWNERS
from mess_assets.per_track import failure_table
from mess_assets.tables import column_schema, sample
from mess_assets.workers import sign

_DESCRIBED = {
    "stage": "embeddings or track_targets",
    "error": "kind of exception",
    "problem": "what is wrong, in a sentence",
    "path": "the file at fault",
    "remedy": "what to do about it",
    "transient": "whether it may pass by itself",
    "attempts": "how often it was tried, unchanged",
    "cause": "what the failure follows from, as JSON: it is tried again when that changes",
    "at": "when it was last tried, UTC",
}


@dg.asset(
    deps=["embeddings", "track_targets"],
    group_name="features",
    owners=OWNERS,
    kinds={"python", "parquet"},
    code_version="1",
    description=(
        "One row per track and stage that fails at present: problem, file, remedy, how often it "
        "was tried. Such tracks are left out downstream, and tried again when their file, the "
        "encoder or the code's version changes; what may pass by itself, three times."
    ),
)
def failures(context: dg.AssetExecutionContext, store: StoreResource) -> dg.MaterializeResult:
    """Collect the failure records into a table and a page."""
    from mess_core.store.failures_page import reasons, write_failures

    sign(context)
    table = write_failures(store.layout)
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(table),
            "dagster/column_schema": column_schema(table, _DESCRIBED),
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
