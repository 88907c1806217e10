"""Layer discovery on tracks and on segments, and the aspects that follow from it."""

import hashlib
import time
from collections.abc import Mapping
from typing import Any

import dagster as dg

from mess_assets.assets.embeddings import control_matrix, embedding_matrix
from mess_assets.assets.targets import proxy_targets
from mess_assets.links import listen_url
from mess_assets.op_tags import OWNERS
from mess_assets.plots import bars_png, picture
from mess_assets.resources import StoreResource, TrackingResource
from mess_assets.tables import column_schema, sample

EXPERIMENT = "layer_discovery"
# With these a discovery of 13 layers and 22 targets fits into one call to MLflow.
_LOGGED = ("r2", "r2_within", "pearson")


class ProbingConfig(dg.Config):
    """How layers are probed."""

    folds: int = 5
    group_by: str = "work"
    permutations: int = 500
    seed: int = 0
    device: str = "cpu"


class SegmentProbingConfig(dg.Config):
    """How segments are probed."""

    folds: int = 5
    per_track: int = 20
    seed: int = 0
    device: str = "cpu"


@dg.asset(
    deps=[embedding_matrix, proxy_targets, control_matrix],
    group_name="discovery",
    owners=OWNERS,
    kinds={"python", "scikitlearn", "mlflow"},
    code_version="2",
    description=(
        "R² of every target from every layer by ridge regression, out of fold with whole works "
        "held out; penalty, layer and layer weights chosen in inner folds; intervals by a "
        "bootstrap over works, p against permuted works (max over layers), control targets after "
        "Hewitt and Liang (2019), and the untrained encoder, plain audio descriptors and the mean "
        "as baselines. With an `untrained:*` encoder the numbers are the control, not a finding."
    ),
)
def probing(
    context: dg.AssetExecutionContext,
    config: ProbingConfig,
    store: StoreResource,
    tracking: TrackingResource,
) -> dg.MaterializeResult:
    """Probe the stored matrix and targets."""
    from mess_core.probing.pipeline import probe_store, probing_folder

    began = time.perf_counter()
    discovery, made_from = probe_store(
        store.layout,
        folds=config.folds,
        group_by=config.group_by,
        permutations=config.permutations,
        seed=config.seed,
        device=config.device,
        progress=context.log.debug,
    )
    folder = probing_folder(store.layout, config.group_by)
    content = hashlib.sha256()
    for name in ("results.parquet", "summary.parquet", "probes.npy", "placed.parquet"):
        content.update((folder / name).read_bytes())
    return dg.MaterializeResult(
        data_version=dg.DataVersion(content.hexdigest()),
        metadata={
            "encoder": made_from["encoder"],
            **_shown(discovery, folder, time.perf_counter() - began),
            **_log(context, store, tracking, discovery, made_from, folder, began),
        },
    )


@dg.asset(
    deps=[embedding_matrix, proxy_targets],
    group_name="discovery",
    owners=OWNERS,
    kinds={"python", "scikitlearn", "mlflow"},
    code_version="1",
    description=(
        "The same for 5 s segments, a work's segments always on one side, and for curves within "
        "segments: mean R² over their points and R² of the first principal component. Intervals "
        "are over works; no p, since segments of a track are not exchangeable."
    ),
)
def segment_probing(
    context: dg.AssetExecutionContext,
    config: SegmentProbingConfig,
    store: StoreResource,
    tracking: TrackingResource,
) -> dg.MaterializeResult:
    """Probe stored segments."""
    from mess_core.probing.results import load_discovery
    from mess_core.probing.segment_pipeline import probe_segments

    began = time.perf_counter()
    discovery, curves = probe_segments(
        store.layout,
        per_track=config.per_track,
        folds=config.folds,
        seed=config.seed,
        device=config.device,
        progress=context.log.debug,
    )
    folder = store.layout.probing / "segments"
    made_from = load_discovery(folder)[1]
    best = curves.loc[curves.groupby("curve")["chosen"].idxmax()]
    shown = ["curve", "layer", "chosen_r2", "chosen_r2_low", "chosen_r2_high", "chosen_pc1_r2"]
    return dg.MaterializeResult(
        metadata={
            "encoder": made_from["encoder"],
            **_shown(discovery, folder, time.perf_counter() - began),
            "curves": sample(best[[*shown, "n", "works"]], rows=20),
            **_log(context, store, tracking, discovery, made_from, folder, began),
        },
    )


def _shown(discovery: Any, folder: Any, seconds: float) -> dict[str, Any]:
    """Metadata of a discovery that was saved in a folder."""
    from mess_core.probing.results import PICTURES

    summary = discovery.summary.sort_values("chosen_r2", ascending=False)
    columns = [
        "target", "layer", "chosen_r2", "chosen_r2_low", "chosen_r2_high", "chosen_r2_within",
        "weighted_r2", "untrained_r2", "descriptors_r2", "q", "n", "works", "evidence",
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
    """One MLflow run: settings, every layer x target score, tables, pictures, the page."""
    from mess_core.probing.results import PICTURES

    table = discovery.table
    metrics = {
        f"{score}.{row['target']}.layer_{row['layer']:02d}": row[score]
        for row in table[["layer", "target", *_LOGGED]].to_dict("records")
        for score in _LOGGED
    }
    for row in discovery.summary.to_dict("records"):
        metrics[f"chosen_r2.{row['target']}"] = row["chosen_r2"]
    files = [*PICTURES, "heatmap.html", "results.json", "results.parquet", "summary.parquet"]
    return tracking.log(
        context,
        store,
        EXPERIMENT,
        params={**discovery.settings, **made_from},
        metrics={"seconds": time.perf_counter() - began, **metrics},
        artifacts={name: (folder / name).read_bytes() for name in files},
    )


@dg.asset(
    deps=[probing],
    group_name="discovery",
    owners=OWNERS,
    kinds={"python", "json"},
    code_version="1",
    description=(
        "The 13 search aspects, each resolved to the layers that inner folds chose for its "
        "targets, with a confidence from the lower end of the interval; unsupported ones say why."
    ),
)
def aspects(store: StoreResource) -> dg.MaterializeResult:
    """Resolve aspects from the stored probing results."""
    import pandas as pd

    from mess_core.probing.results import load_discovery, save_aspects

    discovery, made_from = load_discovery(store.layout.probing)
    resolved = discovery.aspects()
    save_aspects(resolved, store.layout.probing / "aspects.json", made_from=made_from)
    table = pd.DataFrame([aspect.to_dict() for aspect in resolved.values()])
    table["weights"] = [
        ", ".join(f"{layer}: {weight:.2f}" for layer, weight in aspect.weights.items())
        for aspect in resolved.values()
    ]
    return dg.MaterializeResult(
        metadata={
            "available": int(sum(aspect.available for aspect in resolved.values())),
            "aspects": sample(table, rows=20),
            "dagster/column_schema": column_schema(table),
            "listen": dg.MetadataValue.url(listen_url()),
            "picture": picture(
                bars_png(
                    {name: max(aspect.r2_low, -1.0) for name, aspect in resolved.items()},
                    "lower end of R² (clipped at -1)",
                )
            ),
            "path": dg.MetadataValue.path(str(store.layout.probing / "aspects.json")),
        }
    )


@dg.asset(
    deps=[aspects],
    group_name="discovery",
    owners=OWNERS,
    kinds={"python", "numpy"},
    code_version="1",
    description=(
        "For each aspect, how much nearer the hits of a search are in the aspect's targets than "
        "random ones (faithfulness), and in all others (selectivity): by cosine of its layers and "
        "on its probe directions, on tracks of other works. Search serves what wins."
    ),
)
def faithfulness(store: StoreResource) -> dg.MaterializeResult:
    """Measure both ways of ranking for every aspect."""
    from mess_core.search.faithfulness import measure_store

    began = time.perf_counter()
    table = measure_store(store.layout)
    bars = {f"{row.aspect}, {row.mode}": row.faithfulness for row in table.itertuples()}
    return dg.MaterializeResult(
        metadata={
            "aspects": sample(table, rows=30),
            "dagster/column_schema": column_schema(table),
            "picture": picture(bars_png(bars, "faithfulness (0 = like random tracks)")),
            "path": dg.MetadataValue.path(str(store.layout.probing / "faithfulness.parquet")),
            "seconds": time.perf_counter() - began,
        },
    )
