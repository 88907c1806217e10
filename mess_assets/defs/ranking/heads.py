"""Learned heads: one asset per model."""

import time
from typing import Any

import dagster as dg

from mess_assets.check_results import WARN, check_result
from mess_assets.defs.automation import NIGHTLY
from mess_assets.defs.resources import EncoderResource, StoreResource, TrackingResource
from mess_assets.op_tags import CPU_POOL, CPU_TAGS, OWNERS
from mess_assets.plots import bars_png, picture

MODEL_OF = {
    "head_diagonal": "diagonal",
    "head_linear_infonce": "linear, InfoNCE",
    "head_linear_supcon": "linear, SupCon",
    "head_linear_centred": "linear, centred",
    "head_regression": "regression",
    "head_mlp": "MLP",
}
"""Maps assets to models; `mess_core.evaluation.systems.MODELS` defines their training."""


def _head_asset(name: str, model: str) -> dg.AssetsDefinition:
    @dg.asset(
        name=name,
        deps=["splits", "passages", "single_factor_triplets"],
        automation_condition=NIGHTLY,
        group_name="ranking",
        owners=OWNERS,
        kinds={"python", "pytorch"},
        pool=CPU_POOL,
        op_tags=CPU_TAGS,
        code_version="2",
        description=(
            f"Heads of the model “{model}” for content and for expression, trained on frozen "
            "vectors of the whole library and used by `mess search --head`. Their scores on "
            "test folds are in `retrieval_evaluation`."
        ),
    )
    def head(
        context: dg.AssetExecutionContext,
        store: StoreResource,
        encoder: EncoderResource,
        tracking: TrackingResource,
    ) -> dg.MaterializeResult:
        from mess_core.evaluation.head_training import train_model
        from mess_core.evaluation.pipeline import Evaluation

        began = time.perf_counter()
        layout = encoder.layout(store)
        trained = train_model(Evaluation(layout, say=context.log.info), model)
        metadata: dict[str, Any] = {
            "heads": dg.MetadataValue.json(
                {
                    name: {k: v for k, v in one.items() if k != "history"}
                    for name, one in trained.items()
                }
            ),
            "picture": picture(
                bars_png(
                    {name: one.get("validation", 0.0) for name, one in trained.items()},
                    "soft accuracy on inner validation works",
                )
            ),
            "path": dg.MetadataValue.path(str(layout.heads)),
        }
        if not all(one["reused"] for one in trained.values()):
            metadata |= tracking.log(
                context,
                store,
                "ranking",
                params={"model": model},
                metrics={
                    f"{name}.{field}": float(one[field])
                    for name, one in trained.items()
                    for field in ("validation", "epoch")
                    if field in one
                },
            )
        metadata["seconds"] = time.perf_counter() - began
        versions = "-".join(str(one.get("version", "none")) for one in trained.values())
        return dg.MaterializeResult(data_version=dg.DataVersion(versions), metadata=metadata)

    return head


def _head_check(name: str, model: str) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=name,
        name=f"{name}_can_be_served",
        description="Loads, belongs to the current encoder, and returns unit vectors.",
    )
    def check(store: StoreResource, encoder: EncoderResource) -> dg.AssetCheckResult:
        from mess_core.evaluation.head_training import head_names
        from mess_core.search.served_heads import check_heads

        return check_result(check_heads(encoder.layout(store), head_names(model)), WARN)

    return check


HEADS = [_head_asset(name, model) for name, model in MODEL_OF.items()]

CHECKS = [_head_check(name, model) for name, model in MODEL_OF.items()]
