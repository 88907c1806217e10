"""Leakage-safe evaluation: splits, passages, triplets, answers and the leaderboard."""

import hashlib
import os
import time
from collections.abc import Iterator
from typing import Any

import dagster as dg
from pydantic import Field

from mess_assets.assets.embeddings import embedding_matrix
from mess_assets.assets.targets import proxy_targets
from mess_assets.automation import NIGHTLY
from mess_assets.op_tags import CPU_POOL, CPU_TAGS, GPU_POOL, OWNERS, gpu_tags
from mess_assets.plots import bars_png, picture
from mess_assets.resources import EncoderResource, StoreResource, TrackingResource
from mess_assets.tables import column_schema, sample


class HumanConfig(dg.Config):
    """Where ratings by people are."""

    percepiano: str = Field(
        default_factory=lambda: os.environ.get("MESS_PERCEPIANO", ""),
        description="Folder of PercePiano; empty: only judgements from the page.",
    )
    engine: str = Field(
        default="demo", description="What renders its MIDI: demo, fluidsynth or auto."
    )


class RenderConfig(dg.Config):
    """How clips that exist as notes only are made to sound."""

    engine: str = Field(default="demo", description="demo, fluidsynth or auto.")


def _version(table: Any) -> dg.DataVersion:
    return dg.DataVersion(hashlib.sha256(table.to_csv(index=False).encode()).hexdigest()[:16])


@dg.asset(
    deps=["tracks"],
    automation_condition=NIGHTLY,
    group_name="evaluation",
    owners=OWNERS,
    kinds={"python", "json"},
    code_version="1",
    description=(
        "Frozen splits by work, performer, both and recording: no work, performer or recording "
        "on both sides, each file with its hash. What a track table does not allow says why."
    ),
)
def splits(store: StoreResource) -> dg.MaterializeResult:
    """Make, check and freeze all splits."""
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


@dg.asset(
    deps=["tracks", proxy_targets, embedding_matrix],
    automation_condition=NIGHTLY,
    output_required=False,
    group_name="evaluation",
    owners=OWNERS,
    kinds={"python", "parquet"},
    code_version="1",
    description=(
        "Passages that several performers play: the same bars of each performance of a work, from "
        "aligned MIDI. Where no work has two performances with MIDI there is nothing to compare."
    ),
)
def passages(
    context: dg.AssetExecutionContext, store: StoreResource
) -> Iterator[dg.MaterializeResult]:
    """Find the passages."""
    from mess_core.errors import TooLittleError
    from mess_core.evaluation.preparation import store_passages

    began = time.perf_counter()
    try:
        table = store_passages(store.layout)
    except TooLittleError as error:
        context.log.warning(str(error))
        return
    per_work = table.drop_duplicates("passage_id")["work_id"].value_counts().head(20)
    yield dg.MaterializeResult(
        data_version=_version(table),
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


@dg.asset(
    deps=[passages, embedding_matrix],
    automation_condition=NIGHTLY,
    group_name="evaluation",
    owners=OWNERS,
    kinds={"python", "pytorch"},
    pool=GPU_POOL,
    op_tags=gpu_tags(),
    code_version="2",
    description=(
        "Triplets whose answer is known: one factor (tempo curve, dynamics, articulation, pedal) "
        "of a passage changed less and more, rendered and embedded."
    ),
)
def planted_triplets(
    context: dg.AssetExecutionContext,
    config: RenderConfig,
    store: StoreResource,
    encoder: EncoderResource,
) -> dg.MaterializeResult:
    """Change, render and embed; clips that are kept are not rendered again."""
    from mess_core.evaluation.preparation import store_planted_triplets

    began = time.perf_counter()
    with encoder.reserved() as model:
        table = store_planted_triplets(
            store.layout, encoder=model, engine=config.engine, say=context.log.info
        )
    return dg.MaterializeResult(
        data_version=_version(table),
        metadata={
            "dagster/row_count": len(table),
            "engine": str(table["engine"].iloc[0]),
            "sample": sample(table),
            "path": dg.MetadataValue.path(str(store.layout.planted_triplets)),
            "seconds": time.perf_counter() - began,
        },
    )


@dg.asset(
    deps=[passages, embedding_matrix],
    automation_condition=NIGHTLY,
    output_required=False,
    group_name="evaluation",
    owners=OWNERS,
    kinds={"python", "parquet"},
    code_version="1",
    description=(
        "Triplets to be judged by people in `mess listen`: a third each within a passage, across "
        "works matched in density, and where systems disagree. Kept as soon as one is answered."
    ),
)
def human_triplets(
    context: dg.AssetExecutionContext, store: StoreResource
) -> Iterator[dg.MaterializeResult]:
    """Draw triplets for judges."""
    from mess_assets.links import listen_url
    from mess_core.errors import TooLittleError
    from mess_core.evaluation.preparation import store_human_triplets

    try:
        table = store_human_triplets(store.layout)
    except TooLittleError as error:
        context.log.warning(str(error))
        return
    yield dg.MaterializeResult(
        data_version=_version(table),
        metadata={
            "dagster/row_count": len(table),
            "kinds": dg.MetadataValue.json(table["kind"].value_counts().to_dict()),
            "sample": sample(table),
            "judge": dg.MetadataValue.url(f"{listen_url()}/judge.html"),
            "path": dg.MetadataValue.path(str(store.layout.human_triplets)),
        },
    )


@dg.asset(
    deps=[splits, passages, planted_triplets],
    automation_condition=NIGHTLY,
    output_required=False,
    group_name="evaluation",
    owners=OWNERS,
    kinds={"python", "pytorch"},
    pool=CPU_POOL,
    op_tags=CPU_TAGS,
    code_version="2",
    description=(
        "Every system, from random to the top of the ladder, fitted on the training works of each "
        "fold and asked about the test works: content, expression, single factors; and the same "
        "fitted to and asked about shuffled truths. Answered again only when something it depends "
        "on has changed; not at all where the library allows no split by work."
    ),
)
def retrieval_evaluation(
    context: dg.AssetExecutionContext, store: StoreResource, tracking: TrackingResource
) -> Iterator[dg.MaterializeResult]:
    """Examine all systems on the folds by work."""
    from mess_core.errors import TooLittleError
    from mess_core.evaluation.leaderboard import summarise
    from mess_core.evaluation.pipeline import evaluate_retrieval

    began = time.perf_counter()
    try:
        answers, reused = evaluate_retrieval(store.layout, say=context.log.info)
    except TooLittleError as error:
        context.log.warning(str(error))
        return
    summary = summarise(answers)
    metadata: dict[str, Any] = {
        "dagster/row_count": len(answers),
        "reused": reused,
        "summary": sample(summary, rows=40),
        "path": dg.MetadataValue.path(str(store.layout.evaluation / "retrieval-work.parquet")),
        "seconds": time.perf_counter() - began,
    }
    if not reused:
        metadata |= tracking.log(
            context,
            store,
            "evaluation",
            params={"split": "work", "systems": int(answers["system"].nunique())},
            metrics={
                _metric(f"{row.criterion}.{row.metric}.{row.system}"): row.mean
                for row in summary.itertuples()
            },
        )
    yield dg.MaterializeResult(data_version=_version(answers), metadata=metadata)


@dg.asset(
    # Judges' answers come from outside: without triplets for them there are ratings still.
    deps=[splits, passages, planted_triplets],
    automation_condition=NIGHTLY,
    group_name="evaluation",
    owners=OWNERS,
    kinds={"python", "pandas"},
    pool=GPU_POOL,
    op_tags=gpu_tags(),
    code_version="2",
    description=(
        "Every system on judgements by people: triplets from PercePiano's ratings (nested by "
        "passage and by movement, beside the raters' own agreement), and answers from the page."
    ),
)
def human_evaluation(
    context: dg.AssetExecutionContext,
    config: HumanConfig,
    store: StoreResource,
    encoder: EncoderResource,
    tracking: TrackingResource,
) -> dg.MaterializeResult:
    """Examine all systems on what people said, as far as there is any."""
    from mess_core.evaluation.leaderboard import summarise
    from mess_core.evaluation.pipeline import evaluate_judgements, evaluate_ratings

    began = time.perf_counter()
    judged, _ = evaluate_judgements(store.layout, say=context.log.info)
    metadata: dict[str, Any] = {"judged_answers": len(judged)}
    version = _version(judged).value
    if config.percepiano:
        with encoder.reserved() as model:
            answers, reused = evaluate_ratings(
                store.layout,
                config.percepiano,
                encoder=model,
                engine=config.engine,
                say=context.log.info,
            )
        summary = summarise(answers)
        version += f"-{_version(answers).value}"
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
    return dg.MaterializeResult(data_version=dg.DataVersion(version), metadata=metadata)


@dg.asset(
    deps=[retrieval_evaluation, human_evaluation],
    automation_condition=NIGHTLY,
    group_name="evaluation",
    owners=OWNERS,
    kinds={"python", "matplotlib"},
    code_version="2",
    description=(
        "All systems on all criteria with 95 % intervals, and for each rung of the ladder whether "
        "it is better than the best one below it (p from flipping whole works)."
    ),
)
def leaderboard(store: StoreResource) -> dg.MaterializeResult:
    """Put all answers side by side."""
    from mess_core.evaluation.pipeline import store_leaderboard

    found = store_leaderboard(store.layout)
    return dg.MaterializeResult(
        data_version=_version(found["summary"]),
        metadata={
            "leaderboard": dg.MetadataValue.md(found["markdown"]),
            "rungs": sample(found["rungs"], rows=20),
            "picture": picture(found["png"]),
            "path": dg.MetadataValue.path(str(store.layout.leaderboard / "leaderboard.md")),
        },
    )


def _metric(name: str) -> str:
    """A name that MLflow allows."""
    return "".join(char if char.isalnum() or char in "_-. /" else "_" for char in name)


EVALUATION = [
    splits,
    passages,
    planted_triplets,
    human_triplets,
    retrieval_evaluation,
    human_evaluation,
    leaderboard,
]
