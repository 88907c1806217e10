"""Benchmark data: splits, shared passages, triplets."""

import time
from collections.abc import Iterator

import dagster as dg
from pydantic import Field

from mess_assets.check_results import ERROR, WARN, check_result
from mess_assets.defs.automation import NIGHTLY
from mess_assets.defs.resources import EncoderResource, StoreResource
from mess_assets.op_tags import GPU_POOL, OWNERS, gpu_tags
from mess_assets.plots import bars_png, picture
from mess_assets.tables import column_schema, sample, table_version


class RenderConfig(dg.Config):
    """Rendering of clips that exist as MIDI only."""

    engine: str = Field(default="demo", description="demo, fluidsynth or auto.")


@dg.asset(
    deps=["tracks"],
    automation_condition=NIGHTLY,
    group_name="evaluation",
    owners=OWNERS,
    kinds={"python", "json"},
    code_version="1",
    description=(
        "Frozen splits by work, performer, both, and recording: none of these is on both sides. "
        "Each file stores its hash. A split that the track table does not allow gives the reason."
    ),
)
def splits(store: StoreResource) -> dg.MaterializeResult:
    """Create, check and freeze all splits."""
    from mess_core.evaluation.preparation import store_splits

    found = store_splits(store.layout)
    hashes = "-".join(str(one.get("sha256", "none"))[:12] for one in found.values())
    return dg.MaterializeResult(
        data_version=dg.DataVersion(hashes),
        metadata={
            "splits": dg.MetadataValue.json(found),
            "path": dg.MetadataValue.path(str(store.layout.splits)),
        },
    )


@dg.asset_check(
    asset=splits,
    description="No work, performer or audio is on both sides; the files are unchanged.",
    blocking=True,
)
def frozen_splits_do_not_leak(store: StoreResource) -> dg.AssetCheckResult:
    from mess_core.evaluation.leaks import check_frozen_splits

    return check_result(check_frozen_splits(store.layout), ERROR)


@dg.asset(
    deps=["tracks", "proxy_targets", "embedding_matrix"],
    automation_condition=NIGHTLY,
    output_required=False,
    group_name="evaluation",
    owners=OWNERS,
    kinds={"python", "parquet"},
    code_version="1",
    description=(
        "Passages that several performers play: the same bars of each performance of a work, from "
        "aligned MIDI. Skipped if no work has two performances with MIDI."
    ),
)
def passages(
    context: dg.AssetExecutionContext, store: StoreResource, encoder: EncoderResource
) -> Iterator[dg.MaterializeResult]:
    """Find and store the passages."""
    from mess_core.errors import TooLittleError
    from mess_core.evaluation.preparation import store_passages

    began = time.perf_counter()
    try:
        table = store_passages(encoder.layout(store))
    except TooLittleError as error:
        context.log.warning(str(error))
        return
    per_work = table.drop_duplicates("passage_id")["work_id"].value_counts().head(20)
    yield dg.MaterializeResult(
        data_version=table_version(table),
        metadata={
            "dagster/row_count": len(table),
            "dagster/column_schema": column_schema(table),
            "passages": int(table["passage_id"].nunique()),
            "sample": sample(table),
            "picture": picture(
                bars_png({str(k): float(v) for k, v in per_work.items()}, "passages of a work")
            ),
            "path": dg.MetadataValue.path(str(store.layout.passages)),
            "seconds": time.perf_counter() - began,
        },
    )


@dg.asset_check(
    asset=passages, description="Every passage has several performances, all of existing tracks."
)
def passages_are_shared(store: StoreResource) -> dg.AssetCheckResult:
    from mess_core.evaluation.preparation import check_passages

    return check_result(check_passages(store.layout), WARN)


@dg.asset(
    deps=["passages", "embedding_matrix"],
    automation_condition=NIGHTLY,
    group_name="evaluation",
    owners=OWNERS,
    kinds={"python", "pytorch"},
    pool=GPU_POOL,
    op_tags=gpu_tags(),
    code_version="2",
    description=(
        "Triplets with known ground truth: one factor of a passage (tempo curve, dynamics, "
        "articulation or pedal) is changed a little and a lot; all versions are rendered and "
        "embedded."
    ),
)
def single_factor_triplets(
    context: dg.AssetExecutionContext,
    config: RenderConfig,
    store: StoreResource,
    encoder: EncoderResource,
) -> dg.MaterializeResult:
    """Manipulate, render and embed passages; cached clips are not rendered again."""
    from mess_core.evaluation.preparation import store_single_factor_triplets

    layout = encoder.layout(store)
    began = time.perf_counter()
    with encoder.reserved() as model:
        table = store_single_factor_triplets(
            layout, encoder=model, engine=config.engine, say=context.log.info
        )
    return dg.MaterializeResult(
        data_version=table_version(table),
        metadata={
            "dagster/row_count": len(table),
            "engine": str(table["engine"].iloc[0]),
            "sample": sample(table),
            "path": dg.MetadataValue.path(str(layout.single_factor_triplets)),
            "seconds": time.perf_counter() - began,
        },
    )


@dg.asset_check(
    asset=single_factor_triplets, description="Every factor is tested on the same clips."
)
def single_factor_triplets_are_complete(store: StoreResource) -> dg.AssetCheckResult:
    from mess_core.evaluation.preparation import check_single_factor_triplets

    return check_result(check_single_factor_triplets(store.layout), WARN)


@dg.asset(
    deps=["passages", "embedding_matrix"],
    automation_condition=NIGHTLY,
    output_required=False,
    group_name="evaluation",
    owners=OWNERS,
    kinds={"python", "parquet"},
    code_version="1",
    description=(
        "Triplets for the listening test in `mess listen`: a third each within a passage, across "
        "works matched in density, and where systems disagree. Fixed once one has been answered."
    ),
)
def human_triplets(
    context: dg.AssetExecutionContext, store: StoreResource, encoder: EncoderResource
) -> Iterator[dg.MaterializeResult]:
    """Draw triplets for listeners."""
    from mess_assets.links import listen_url
    from mess_core.errors import TooLittleError
    from mess_core.evaluation.preparation import store_human_triplets

    layout = encoder.layout(store)
    try:
        table = store_human_triplets(layout)
    except TooLittleError as error:
        context.log.warning(str(error))
        return
    yield dg.MaterializeResult(
        data_version=table_version(table),
        metadata={
            "dagster/row_count": len(table),
            "kinds": dg.MetadataValue.json(table["kind"].value_counts().to_dict()),
            "sample": sample(table),
            "listener": dg.MetadataValue.url(f"{listen_url()}/listening-test.html"),
            "path": dg.MetadataValue.path(str(layout.human_triplets)),
        },
    )


@dg.asset_check(asset=human_triplets, description="Triplets are valid; each kind has its share.")
def human_triplets_are_balanced(store: StoreResource) -> dg.AssetCheckResult:
    from mess_core.evaluation.preparation import check_human_triplets

    return check_result(check_human_triplets(store.layout), WARN)
