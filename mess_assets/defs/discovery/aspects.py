"""Search aspects derived from layer discovery, and the faithfulness of searches by aspect."""

import time

import dagster as dg

from mess_assets.check_results import ERROR, WARN, check_result
from mess_assets.defs.resources import EncoderResource, StoreResource
from mess_assets.links import listen_url
from mess_assets.op_tags import OWNERS
from mess_assets.plots import bars_png, picture
from mess_assets.tables import column_schema, sample


@dg.asset(
    deps=["probing"],
    group_name="discovery",
    owners=OWNERS,
    kinds={"python", "json"},
    code_version="2",
    description=(
        "The 13 search aspects. Each is resolved to the layers that the inner folds chose for its "
        "targets; its confidence follows from the lower bound of the confidence interval. "
        "Unsupported aspects give the reason."
    ),
)
def aspects(store: StoreResource, encoder: EncoderResource) -> dg.MaterializeResult:
    """Resolve aspects from the stored probing results."""
    layout = encoder.layout(store)
    import pandas as pd

    from mess_core.probing.results import load_discovery, save_aspects

    discovery, made_from = load_discovery(layout.probing)
    resolved = discovery.aspects()
    save_aspects(resolved, layout.probing / "aspects.json", made_from=made_from)
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
                    "lower bound of R² (clipped at -1)",
                )
            ),
            "path": dg.MetadataValue.path(str(layout.probing / "aspects.json")),
        }
    )


@dg.asset_check(
    asset=aspects,
    description="All 13 aspects are present, with weights over layers.",
    blocking=True,
)
def aspects_are_complete(store: StoreResource, encoder: EncoderResource) -> dg.AssetCheckResult:
    from mess_core.probing.results import check_aspects

    return check_result(check_aspects(encoder.layout(store)), ERROR)


@dg.asset(
    deps=["aspects"],
    group_name="discovery",
    owners=OWNERS,
    kinds={"python", "numpy"},
    code_version="1",
    description=(
        "For each aspect, how much nearer search results are to the query in the aspect's targets "
        "than random tracks (faithfulness), and in all other targets (selectivity). Two rankings "
        "are measured on tracks of other works: cosine of the aspect's layers, and its probe "
        "directions. Search uses the better one."
    ),
)
def faithfulness(store: StoreResource, encoder: EncoderResource) -> dg.MaterializeResult:
    """Measure both rankings for every aspect."""
    from mess_core.search.faithfulness import measure_store

    layout = encoder.layout(store)
    began = time.perf_counter()
    table = measure_store(layout)
    bars = {f"{row.aspect}, {row.mode}": row.faithfulness for row in table.itertuples()}
    return dg.MaterializeResult(
        metadata={
            "aspects": sample(table, rows=30),
            "dagster/column_schema": column_schema(table),
            "picture": picture(bars_png(bars, "faithfulness (0 = like random tracks)")),
            "path": dg.MetadataValue.path(str(layout.probing / "faithfulness.parquet")),
            "seconds": time.perf_counter() - began,
        },
    )


@dg.asset_check(asset=faithfulness, description="Of the current matrix, for every probed aspect.")
def faithfulness_is_current(store: StoreResource, encoder: EncoderResource) -> dg.AssetCheckResult:
    from mess_core.search.faithfulness import check_faithfulness

    return check_result(check_faithfulness(encoder.layout(store)), WARN)
