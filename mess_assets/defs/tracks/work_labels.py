"""Where titles and notes disagree about which music a track is."""

import time

import dagster as dg

from mess_assets.check_results import WARN, check_result
from mess_assets.defs.resources import StoreResource
from mess_assets.op_tags import OWNERS
from mess_assets.tables import column_schema, sample


@dg.asset(
    deps=["tracks"],
    group_name="tracks",
    owners=OWNERS,
    kinds={"python", "parquet"},
    code_version="1",
    description=(
        "Tracks whose titles and notes disagree: other title, same music; same title, other "
        "music. Folds keep tracks that share music together in any case; correct a wrong work in "
        "`metadata/work_overrides.csv` (track_id,work_id)."
    ),
)
def work_labels(context: dg.AssetExecutionContext, store: StoreResource) -> dg.MaterializeResult:
    """Write ``metadata/label_findings.parquet``."""
    from mess_core.store.music import store_labels

    began = time.perf_counter()
    table = store_labels(store.layout)
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(table),
            "dagster/column_schema": column_schema(table),
            "findings": sample(table),
            "path": dg.MetadataValue.path(str(store.layout.label_findings)),
            "seconds": time.perf_counter() - began,
        },
    )


@dg.asset_check(asset=work_labels, description="Titles and notes agree on which music it is.")
def titles_agree_with_notes(store: StoreResource) -> dg.AssetCheckResult:
    from mess_core.store.music import check_labels

    return check_result(check_labels(store.layout), WARN)
