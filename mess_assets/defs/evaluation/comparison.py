"""Scores of every system on every criterion, and the leaderboard."""

import os
import time
from collections.abc import Iterator
from typing import Any

import dagster as dg
from pydantic import Field

from mess_assets.check_results import ERROR, WARN, check_result
from mess_assets.defs.automation import NIGHTLY
from mess_assets.defs.resources import EncoderResource, StoreResource, TrackingResource
from mess_assets.encoder_runs import encoder_version
from mess_assets.op_tags import CPU_POOL, CPU_TAGS, GPU_POOL, OWNERS, gpu_tags
from mess_assets.plots import picture
from mess_assets.tables import sample, table_version


class HumanConfig(dg.Config):
    """Location and rendering of human ratings."""

    percepiano: str = Field(
        default_factory=lambda: os.environ.get("MESS_PERCEPIANO", ""),
        description="Folder of PercePiano; empty: only answers from the listening test.",
    )
    engine: str = Field(
        default="demo", description="Renderer of its MIDI: demo, fluidsynth or auto."
    )


@dg.asset(
    deps=["splits", "passages", "single_factor_triplets"],
    automation_condition=NIGHTLY,
    output_required=False,
    group_name="evaluation",
    owners=OWNERS,
    kinds={"python", "pytorch"},
    pool=CPU_POOL,
    op_tags=CPU_TAGS,
    code_version="2",
    description=(
        "Every system, from random to the reranker, fitted on the training works of each fold and "
        "scored on the test works: content, expression, single factors. The same with permuted "
        "labels is the control. Systems are scored again only if something they depend on has "
        "changed. Skipped if the library allows no split by work."
    ),
)
def retrieval_evaluation(
    context: dg.AssetExecutionContext,
    store: StoreResource,
    encoder: EncoderResource,
    tracking: TrackingResource,
) -> Iterator[dg.MaterializeResult]:
    """Evaluate all systems on the folds by work."""
    from mess_core.errors import TooLittleError
    from mess_core.evaluation.leaderboard import summarise
    from mess_core.evaluation.pipeline import Evaluation

    layout = encoder.layout(store)
    began = time.perf_counter()
    try:
        scores, reused = Evaluation(layout, say=context.log.info).retrieval()
    except TooLittleError as error:
        context.log.warning(str(error))
        return
    summary = summarise(scores)
    metadata: dict[str, Any] = {
        "dagster/row_count": len(scores),
        "reused": reused,
        "summary": sample(summary, rows=40),
        "path": dg.MetadataValue.path(str(layout.evaluation / "retrieval-work.parquet")),
        "seconds": time.perf_counter() - began,
    }
    if not reused:
        metadata |= tracking.log(
            context,
            store,
            "evaluation",
            params={"split": "work", "systems": int(scores["system"].nunique())},
            metrics={
                _metric(f"{row.criterion}.{row.metric}.{row.system}"): row.mean
                for row in summary.itertuples()
            },
        )
    yield dg.MaterializeResult(
        data_version=encoder_version(layout, table_version(scores).value), metadata=metadata
    )


@dg.asset_check(asset=retrieval_evaluation, description="Scores on permuted labels are at chance.")
def retrieval_controls_are_at_chance(
    store: StoreResource, encoder: EncoderResource
) -> dg.AssetCheckResult:
    from mess_core.evaluation.permuted_labels import check_controls

    return check_result(check_controls(encoder.layout(store), "retrieval-work"), WARN)


@dg.asset(
    # Not `human_triplets`: answers come from listeners, and ratings need no such triplets.
    deps=["splits", "passages", "single_factor_triplets"],
    automation_condition=NIGHTLY,
    group_name="evaluation",
    owners=OWNERS,
    kinds={"python", "pandas"},
    pool=GPU_POOL,
    op_tags=gpu_tags(),
    code_version="2",
    description=(
        "Every system on human judgements: triplets from PercePiano's ratings (nested by passage "
        "and by movement, beside the raters' own agreement), and answers from the listening test."
    ),
)
def human_evaluation(
    context: dg.AssetExecutionContext,
    config: HumanConfig,
    store: StoreResource,
    encoder: EncoderResource,
    tracking: TrackingResource,
) -> dg.MaterializeResult:
    """Evaluate all systems on the ratings and answers that exist."""
    from mess_core.evaluation.leaderboard import summarise
    from mess_core.evaluation.pipeline import Evaluation

    layout = encoder.layout(store)
    began = time.perf_counter()
    listener_scores, _ = Evaluation(layout, say=context.log.info).listeners()
    metadata: dict[str, Any] = {"judged_answers": len(listener_scores)}
    version = table_version(listener_scores).value
    if config.percepiano:
        with encoder.reserved() as model:
            evaluation = Evaluation(layout, encoder=model, say=context.log.info)
            scores, reused = evaluation.ratings(config.percepiano, engine=config.engine)
        summary = summarise(scores)
        version += f"-{table_version(scores).value}"
        metadata |= {"ratings": sample(summary, rows=50), "reused": reused}
        if not reused:
            metadata |= tracking.log(
                context,
                store,
                "human_evaluation",
                params={"ratings": "PercePiano"},
                metrics={
                    _metric(f"{row.criterion}.{row.system}"): row.mean
                    for row in summary.itertuples()
                },
            )
    else:
        metadata["ratings"] = "no folder given (MESS_PERCEPIANO)"
    metadata["seconds"] = time.perf_counter() - began
    return dg.MaterializeResult(data_version=encoder_version(layout, version), metadata=metadata)


@dg.asset_check(asset=human_evaluation, description="Scores on permuted ratings are at chance.")
def rating_controls_are_at_chance(
    store: StoreResource, encoder: EncoderResource
) -> dg.AssetCheckResult:
    from mess_core.evaluation.permuted_labels import check_controls
    from mess_core.evaluation.pipeline import cached_scores

    layout = encoder.layout(store)
    if not cached_scores(layout, "ratings").table_path.exists():
        return dg.AssetCheckResult(passed=True, metadata={"ratings": "none given"})
    return check_result(check_controls(layout, "ratings"), WARN)


@dg.asset(
    deps=["retrieval_evaluation", "human_evaluation"],
    automation_condition=NIGHTLY,
    group_name="evaluation",
    owners=OWNERS,
    kinds={"python", "matplotlib"},
    code_version="2",
    description=(
        "All systems on all criteria with 95 % confidence intervals, and for each model whether it "
        "is better than the best model before it in the sequence (p from flipping whole works)."
    ),
)
def leaderboard(store: StoreResource, encoder: EncoderResource) -> dg.MaterializeResult:
    """Summarise all scores."""
    from mess_core.evaluation.pipeline import Evaluation

    layout = encoder.layout(store)
    found = Evaluation(layout).leaderboard()
    return dg.MaterializeResult(
        data_version=encoder_version(layout, table_version(found["summary"]).value),
        metadata={
            "leaderboard": dg.MetadataValue.md(found["markdown"]),
            "models": sample(found["models"], rows=20),
            "picture": picture(found["png"]),
            "path": dg.MetadataValue.path(str(layout.leaderboard / "leaderboard.md")),
        },
    )


@dg.asset_check(asset=leaderboard, description="Every mean lies in its interval; n is given.")
def leaderboard_is_sound(store: StoreResource, encoder: EncoderResource) -> dg.AssetCheckResult:
    from mess_core.evaluation.leaderboard import check_leaderboard

    return check_result(check_leaderboard(encoder.layout(store)), ERROR)


def _metric(name: str) -> str:
    """Return a name that MLflow allows."""
    return "".join(char if char.isalnum() or char in "_-. /" else "_" for char in name)
