"""Encoders side by side, on the tracks that all of them have."""

from collections.abc import Iterator

import dagster as dg
from pydantic import Field

from mess_assets.check_results import WARN, check_result
from mess_assets.defs.resources import StoreResource, TrackingResource
from mess_assets.op_tags import CPU_POOL, CPU_TAGS, OWNERS
from mess_assets.plots import picture
from mess_assets.tables import sample, table_version


class EncoderComparisonConfig(dg.Config):
    """Which encoders to compare, and how."""

    encoders: list[str] = Field(default=[], description="Folder names; empty: all that are stored.")
    folds: int = 5
    seed: int = 0
    device: str = "cpu"


@dg.asset(
    deps=["probing", "faithfulness", "leaderboard"],
    output_required=False,
    group_name="evaluation",
    owners=OWNERS,
    kinds={"python", "scikitlearn", "mlflow"},
    pool=CPU_POOL,
    op_tags=CPU_TAGS,
    code_version="1",
    description=(
        "All stored encoders on the same tracks, folds and penalties, beside their untrained "
        "counterparts and audio descriptors: R² of the chosen layer with intervals, paired "
        "differences with a false discovery rate, pairs combined, faithfulness, retrieval, costs. "
        "Skipped if fewer than two encoders are stored."
    ),
)
def encoder_comparison(
    context: dg.AssetExecutionContext,
    config: EncoderComparisonConfig,
    store: StoreResource,
    tracking: TrackingResource,
) -> Iterator[dg.MaterializeResult]:
    """Compare the stored encoders."""
    from mess_core.errors import TooLittleError
    from mess_core.evaluation.side_by_side import compare_stored_encoders
    from mess_core.evaluation.side_by_side_report import profiles_figure, save_side_by_side
    from mess_core.probing.layer_probing import ProbingSettings

    settings = ProbingSettings(
        folds=config.folds, seed=config.seed, device=config.device, permutations=0
    )
    layout = store.layout
    try:
        found = compare_stored_encoders(
            layout, config.encoders, settings=settings, say=context.log.info
        )
    except TooLittleError as error:
        context.log.warning(str(error))
        return
    save_side_by_side(layout, found)
    scores = found.tables["scores"]
    page = layout.comparison_page
    figure = profiles_figure(found)
    yield dg.MaterializeResult(
        data_version=table_version(scores),
        metadata={
            "encoders": ", ".join(found.encoders),
            "tracks": found.tracks,
            "works": found.works,
            "r2": sample(found.pivot("r2").reset_index(), rows=30),
            "r2_within": sample(found.pivot("r2_within").reset_index(), rows=30),
            "significant": int(found.tables["differences"]["significant"].sum()),
            "costs": sample(found.tables["costs"], rows=20),
            "profiles": picture(figure),
            "notes": dg.MetadataValue.md("\n".join(f"- {note}" for note in found.notes) or "-"),
            "page": dg.MetadataValue.path(str(page)),
            "seconds": found.seconds,
            **tracking.log(
                context,
                store,
                "encoder_comparison",
                params={"encoders": ", ".join(found.encoders), **settings.to_dict()},
                metrics={
                    f"r2.{_metric(row.system)}.{row.target}": row.r2 for row in scores.itertuples()
                },
                artifacts={page.name: page.read_bytes(), "profiles.png": figure},
            ),
        },
    )


@dg.asset_check(
    asset=encoder_comparison, description="Of the present embeddings of all its encoders."
)
def comparison_is_current(store: StoreResource) -> dg.AssetCheckResult:
    from mess_core.evaluation.side_by_side_report import check_side_by_side

    return check_result(check_side_by_side(store.layout), WARN)


def _metric(system: str) -> str:
    """Return the name of a system in characters that MLflow allows."""
    return "".join(char if char.isalnum() or char in "_-. " else "_" for char in system)
