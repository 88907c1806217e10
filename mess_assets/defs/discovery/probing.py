"""Layer discovery on tracks and on segments."""

import hashlib
import time
from collections.abc import Mapping
from typing import Any

import dagster as dg

from mess_assets.check_results import ERROR, WARN, check_result
from mess_assets.defs.resources import EncoderResource, StoreResource, TrackingResource
from mess_assets.encoder_runs import encoder_version
from mess_assets.op_tags import OWNERS
from mess_assets.plots import picture
from mess_assets.tables import column_schema, sample

EXPERIMENT = "layer_discovery"
# Few enough that the scores of 13 layers and 22 targets fit into one call to MLflow.
_LOGGED = ("r2", "r2_within", "pearson")


class ProbingConfig(dg.Config):
    """Settings of layer discovery on tracks."""

    folds: int = 5
    group_by: str = "work"
    permutations: int = 500
    seed: int = 0
    device: str = "cpu"


class SegmentProbingConfig(dg.Config):
    """Settings of layer discovery on segments."""

    folds: int = 5
    per_track: int = 20
    seed: int = 0
    device: str = "cpu"


@dg.asset(
    deps=["embedding_matrix", "proxy_targets", "control_matrix"],
    group_name="discovery",
    owners=OWNERS,
    kinds={"python", "scikitlearn", "mlflow"},
    code_version="3",
    description=(
        "R² of every target from every layer by ridge regression, out of fold with whole works "
        "held out; penalty, layer and layer weights are chosen in inner folds. Confidence "
        "intervals by a bootstrap over works, p-values from permuted works (maximum over layers), "
        "control targets after Hewitt and Liang (2019). Baselines: the untrained encoder, audio "
        "descriptors, and the mean. With an `untrained:*` encoder the scores are the control."
    ),
)
def probing(
    context: dg.AssetExecutionContext,
    config: ProbingConfig,
    store: StoreResource,
    encoder: EncoderResource,
    tracking: TrackingResource,
) -> dg.MaterializeResult:
    """Probe the stored matrix and targets."""
    from mess_core.probing.pipeline import probe_store, probing_folder

    layout = encoder.layout(store)
    began = time.perf_counter()
    discovery, made_from = probe_store(
        layout,
        folds=config.folds,
        group_by=config.group_by,
        permutations=config.permutations,
        seed=config.seed,
        device=config.device,
        progress=context.log.debug,
    )
    folder = probing_folder(layout, config.group_by)
    content = hashlib.sha256()
    for name in ("results.parquet", "summary.parquet", "probes.npy", "placed.parquet"):
        content.update((folder / name).read_bytes())
    return dg.MaterializeResult(
        data_version=encoder_version(layout, content.hexdigest()),
        metadata={
            "encoder": made_from["encoder"],
            **_discovery_metadata(discovery, folder, time.perf_counter() - began),
            **_log(context, store, tracking, discovery, made_from, folder, began),
        },
    )


@dg.asset_check(
    asset=probing, description="Scores are in range and of the current matrix.", blocking=True
)
def probing_is_current(store: StoreResource, encoder: EncoderResource) -> dg.AssetCheckResult:
    from mess_core.probing.pipeline import check_probing

    return check_result(check_probing(encoder.layout(store)), ERROR)


@dg.asset_check(
    asset=probing, description="No work or audio is on both sides of a fold.", blocking=True
)
def folds_do_not_leak(store: StoreResource, encoder: EncoderResource) -> dg.AssetCheckResult:
    from mess_core.probing.folds import check_folds

    return check_result(check_folds(encoder.layout(store)), ERROR)


@dg.asset_check(asset=probing, description="No target's R² has dropped much since the last run.")
def r2_has_not_dropped(store: StoreResource, encoder: EncoderResource) -> dg.AssetCheckResult:
    from mess_core.probing.pipeline import check_r2_drop

    return check_result(check_r2_drop(encoder.layout(store)), WARN)


@dg.asset(
    deps=["embedding_matrix", "proxy_targets"],
    group_name="discovery",
    owners=OWNERS,
    kinds={"python", "scikitlearn", "mlflow"},
    code_version="2",
    description=(
        "Layer discovery on 5 s segments, with all segments of a work on one side of a fold, and "
        "on curves within segments: mean R² over curve points, and R² of the first principal "
        "component. Confidence intervals are over works. There is no p-value, since segments of "
        "a track are not exchangeable."
    ),
)
def segment_probing(
    context: dg.AssetExecutionContext,
    config: SegmentProbingConfig,
    store: StoreResource,
    encoder: EncoderResource,
    tracking: TrackingResource,
) -> dg.MaterializeResult:
    """Probe the stored segments and their curves."""
    from mess_core.probing.results import load_discovery
    from mess_core.probing.segment_pipeline import probe_segments

    layout = encoder.layout(store)
    began = time.perf_counter()
    discovery, curves = probe_segments(
        layout,
        per_track=config.per_track,
        folds=config.folds,
        seed=config.seed,
        device=config.device,
        progress=context.log.debug,
    )
    folder = layout.probing / "segments"
    made_from = load_discovery(folder)[1]
    best = curves.loc[curves.groupby("curve")["chosen"].idxmax()]
    shown = ["curve", "layer", "chosen_r2", "chosen_r2_low", "chosen_r2_high", "chosen_pc1_r2"]
    return dg.MaterializeResult(
        metadata={
            "encoder": made_from["encoder"],
            **_discovery_metadata(discovery, folder, time.perf_counter() - began),
            "curves": sample(best[[*shown, "n", "works"]], rows=20),
            **_log(context, store, tracking, discovery, made_from, folder, began),
        },
    )


@dg.asset_check(asset=segment_probing, description="Scores are in range and of the current matrix.")
def segment_probing_is_current(
    store: StoreResource, encoder: EncoderResource
) -> dg.AssetCheckResult:
    from mess_core.probing.pipeline import check_probing

    layout = encoder.layout(store)
    return check_result(check_probing(layout, layout.probing / "segments"), WARN)


def _discovery_metadata(discovery: Any, folder: Any, seconds: float) -> dict[str, Any]:
    """Return the metadata of a discovery that was saved in a folder."""
    from mess_core.probing.results import PICTURES

    summary = discovery.summary.sort_values("chosen_r2", ascending=False)
    columns = [
        "target", "layer", "chosen_r2", "chosen_r2_low", "chosen_r2_high", "chosen_r2_within",
        "weighted_r2", "untrained_r2", "untrained_gain", "untrained_gain_low",
        "untrained_gain_high", "descriptors_r2", "q", "n", "works", "evidence", "learned",
    ]  # fmt: skip
    pictures = {
        name.removesuffix(".png"): picture((folder / name).read_bytes()) for name in PICTURES
    }
    return {
        "picture": pictures.pop("heatmap"),
        "layers_picture": pictures["layers"],
        "within_picture": pictures["within"],
        "page": dg.MetadataValue.path(str(folder / "heatmap.html")),
        "targets": sample(summary[columns], rows=30),
        "with_evidence": int(summary["evidence"].sum()),
        "findings": int(summary["finding"].sum()),
        "dagster/row_count": len(discovery.table),
        "dagster/column_schema": column_schema(discovery.table),
        "notes": dg.MetadataValue.md("\n".join(f"- {note}" for note in discovery.notes) or "-"),
        "path": dg.MetadataValue.path(str(folder)),
        "seconds": seconds,
    }


def _log(
    context: dg.AssetExecutionContext,
    store: StoreResource,
    tracking: TrackingResource,
    discovery: Any,
    made_from: Mapping[str, Any],
    folder: Any,
    began: float,
) -> dict[str, Any]:
    """Log settings, every layer x target score, tables, plots and the page as one MLflow run."""
    from mess_core.probing.results import PICTURES

    table = discovery.table
    metrics = {
        f"{score}.{row['target']}.layer_{row['layer']:02d}": row[score]
        for row in table[["layer", "target", *_LOGGED]].to_dict("records")
        for score in _LOGGED
    }
    for row in discovery.summary.to_dict("records"):
        metrics[f"chosen_r2.{row['target']}"] = row["chosen_r2"]
        metrics[f"untrained_gain.{row['target']}"] = row["untrained_gain"]
        metrics[f"untrained_gain_low.{row['target']}"] = row["untrained_gain_low"]
    files = [*PICTURES, "heatmap.html", "results.json", "results.parquet", "summary.parquet"]
    return tracking.log(
        context,
        store,
        EXPERIMENT,
        params={**discovery.settings, **made_from},
        metrics={"seconds": time.perf_counter() - began, **metrics},
        artifacts={name: (folder / name).read_bytes() for name in files},
    )
