"""Proxy targets per track and per aligned work, and as one table."""

import time
from collections.abc import Iterator

import dagster as dg

from mess_assets.check_results import WARN, check_result
from mess_assets.defs.resources import EncoderResource, StoreResource
from mess_assets.op_tags import CPU_POOL, CPU_TAGS, OWNERS, worker_lost
from mess_assets.partitions import TRACKS, backfill_policy
from mess_assets.per_track import report_outcomes
from mess_assets.plots import distributions_png, figure_picture, picture
from mess_assets.tables import column_schema, sample

TARGETS_CODE_VERSION = "3"


@dg.asset(
    partitions_def=TRACKS,
    backfill_policy=backfill_policy(),
    output_required=False,
    retry_policy=worker_lost(),
    deps=["tracks"],
    group_name="features",
    owners=OWNERS,
    kinds={"python", "numpy"},
    pool=CPU_POOL,
    op_tags=CPU_TAGS,
    code_version=TARGETS_CODE_VERSION,
    description=(
        "22 musical proxy targets per track (15 from audio, 7 from MIDI), the same per encoder "
        "window where they are defined, and curves at 2 Hz. Values that a file does not provide "
        "are missing, never zero. Audio and MIDI fail independently. A track that fails is "
        "recorded and does not stop the others; the run then ends as failed."
    ),
)
def track_targets(
    context: dg.AssetExecutionContext, store: StoreResource, encoder: EncoderResource
) -> Iterator[dg.AssetMaterialization]:
    """Compute the targets of this run's partitions and store them."""
    from mess_core.store.track_table import tracks_of
    from mess_core.targets import compute_track_targets

    rows, unknown = tracks_of(store.layout, context.partition_keys)
    if unknown:
        context.log.warning(f"not in the track table (materialise `tracks`): {unknown[:5]}")
    outcomes = compute_track_targets(rows, store.layout, **encoder.windows())
    yield from report_outcomes(context, outcomes, TARGETS_CODE_VERSION)


@dg.asset_check(
    asset=track_targets, description="No recording is far louder or quieter than its data set."
)
def loudness_is_plausible(store: StoreResource) -> dg.AssetCheckResult:
    from mess_core.targets.proxy_table import check_loudness

    return check_result(check_loudness(store.layout), WARN)


@dg.asset(
    deps=["tracks"],
    group_name="features",
    owners=OWNERS,
    kinds={"python", "numpy"},
    code_version=TARGETS_CODE_VERSION,
    description=(
        "Targets from the aligned performances of a work: rubato and tempo variability on a "
        "common beat, and tempo, velocity and articulation relative to the other performances. "
        "A work is aligned again only if one of its MIDI files has changed."
    ),
)
def aligned_targets(
    context: dg.AssetExecutionContext, store: StoreResource
) -> dg.MaterializeResult:
    """Align the works of the track table that have several performances with MIDI."""
    from mess_core.plots import most_performed_figure
    from mess_core.store.tables import read_table
    from mess_core.targets import compute_aligned_targets

    began = time.perf_counter()
    works = []
    for work in compute_aligned_targets(read_table(store.layout.tracks), store.layout):
        works.append(work)
        if work.computed:
            context.log.info(
                f"{work.work_id}: {work.performances} performances, {work.seconds:.1f} s"
            )
    figure = most_performed_figure(read_table(store.layout.tracks))
    problems = [f"- `{work.work_id}`: {work.problem}" for work in works if work.problem]
    return dg.MaterializeResult(
        metadata={
            "works": len(works),
            "performances": sum(work.performances for work in works),
            "aligned_now": sum(work.computed for work in works),
            "not_aligned": dg.MetadataValue.md("\n".join(problems[:100]) or "none"),
            "seconds": time.perf_counter() - began,
            **({} if figure is None else {"performances_of_a_work": figure_picture(figure)}),
        },
    )


@dg.asset_check(
    asset=aligned_targets, description="Every work with several performances was processed."
)
def works_are_aligned(store: StoreResource) -> dg.AssetCheckResult:
    from mess_core.targets.aligned import check_aligned_targets

    return check_result(check_aligned_targets(store.layout), WARN)


@dg.asset(
    deps=["tracks", "track_targets", "aligned_targets"],
    group_name="features",
    owners=OWNERS,
    kinds={"python", "parquet"},
    code_version="1",
    description=(
        "All proxy targets as one Parquet table, a row per track, NaN where not available. "
        "Definitions, units and sources are in the column descriptions."
    ),
)
def proxy_targets(store: StoreResource) -> dg.MaterializeResult:
    """Collect the stored targets of the tracks in the track table."""
    from mess_core.store.tables import read_table
    from mess_core.targets import TARGETS_VERSION, collect_proxy_targets, targets

    began = time.perf_counter()
    table, digest = collect_proxy_targets(read_table(store.layout.tracks), store.layout)
    published = targets()
    described = {one.name: f"{one.description} [{one.unit}]" for one in targets(extra=True)}
    names = [one.name for one in published]
    available = table[names].notna().sum()
    return dg.MaterializeResult(
        data_version=dg.DataVersion(digest),
        metadata={
            "dagster/row_count": len(table),
            "dagster/column_schema": column_schema(table, described),
            "targets_version": TARGETS_VERSION,
            "available": dg.MetadataValue.json({name: int(available[name]) for name in names}),
            "sample": sample(table),
            "picture": picture(distributions_png(table, names)),
            "path": dg.MetadataValue.path(str(store.layout.proxy_targets)),
            "seconds": time.perf_counter() - began,
        },
    )


@dg.asset_check(
    asset=proxy_targets, description="Current version, every track present, nothing infinite."
)
def proxy_targets_are_complete(store: StoreResource) -> dg.AssetCheckResult:
    from mess_core.targets.proxy_table import check_proxy_targets

    return check_result(check_proxy_targets(store.layout), WARN)
