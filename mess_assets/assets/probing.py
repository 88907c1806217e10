"""Layer discovery, and the aspects that follow from it."""

import time

import dagster as dg

from mess_assets.assets.embeddings import embedding_matrix
from mess_assets.assets.targets import proxy_targets
from mess_assets.op_tags import OWNERS
from mess_assets.plots import bars_png, picture
from mess_assets.resources import StoreResource, TrackingResource
from mess_assets.tables import column_schema, sample


class ProbingConfig(dg.Config):
    """How layers are probed."""

    folds: int = 5
    seed: int = 0


@dg.asset(
    deps=[embedding_matrix, proxy_targets],
    group_name="discovery",
    owners=OWNERS,
    kinds={"python", "scikitlearn", "mlflow"},
    code_version="1",
    description=(
        "R² of every target from every layer by ridge regression, out of fold with whole works "
        "held out, penalties chosen in inner folds, intervals by a bootstrap over works, control "
        "targets after Hewitt and Liang (2019). With an `untrained:*` encoder the numbers are "
        "the control, not a finding."
    ),
)
def probing(
    context: dg.AssetExecutionContext,
    config: ProbingConfig,
    store: StoreResource,
    tracking: TrackingResource,
) -> dg.MaterializeResult:
    """Probe the stored matrix and targets."""
    from mess_core.probing.stored import probe_store

    began = time.perf_counter()
    discovery, made_from = probe_store(
        store.layout, folds=config.folds, seed=config.seed, progress=context.log.debug
    )
    seconds = time.perf_counter() - began
    png = (store.layout.probing / "heatmap.png").read_bytes()
    table = discovery.table
    logged = tracking.log(
        context,
        store,
        "layer_discovery",
        params={**discovery.settings, **made_from},
        metrics={
            "seconds": seconds,
            **{f"r2.{row.target}.layer_{row.layer:02d}": row.r2 for row in table.itertuples()},
        },
        artifacts={
            "heatmap.png": png,
            "results.json": (store.layout.probing / "results.json").read_bytes(),
            "results.parquet": (store.layout.probing / "results.parquet").read_bytes(),
        },
    )
    best = table.loc[table.groupby("target")["r2"].idxmax()].sort_values("r2", ascending=False)
    shown = ["target", "layer", "r2", "r2_low", "r2_high", "r2_within", "n", "works"]
    return dg.MaterializeResult(
        data_version=dg.DataVersion(f"{made_from['matrix_sha256'][:16]}-{config.folds}"),
        metadata={
            "picture": picture(png),
            "encoder": made_from["encoder"],
            "best_layers": sample(best[shown], rows=30),
            "dagster/row_count": len(table),
            "dagster/column_schema": column_schema(table),
            "notes": dg.MetadataValue.md("\n".join(f"- {note}" for note in discovery.notes) or "-"),
            "path": dg.MetadataValue.path(str(store.layout.probing)),
            "seconds": seconds,
            **logged,
        },
    )


@dg.asset(
    deps=[probing],
    group_name="discovery",
    owners=OWNERS,
    kinds={"python", "json"},
    code_version="1",
    description=(
        "The 13 search aspects, each resolved to the layer that predicts its targets best, with "
        "a confidence from the lower end of the interval; unsupported ones say why."
    ),
)
def aspects(store: StoreResource) -> dg.MaterializeResult:
    """Resolve aspects from the stored probing results."""
    import pandas as pd

    from mess_core.probing.report import load_discovery, save_aspects

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
            "picture": picture(
                bars_png(
                    {name: max(aspect.r2_low, -1.0) for name, aspect in resolved.items()},
                    "lower end of R² (clipped at -1)",
                )
            ),
            "path": dg.MetadataValue.path(str(store.layout.probing / "aspects.json")),
        }
    )
