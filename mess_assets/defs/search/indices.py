"""Search indices of tracks and passages, stored as versioned artifacts."""

import time

import dagster as dg

from mess_assets.check_results import ERROR, check_result
from mess_assets.defs.resources import EncoderResource, StoreResource
from mess_assets.encoder_runs import encoder_version
from mess_assets.links import listen_url
from mess_assets.op_tags import OWNERS
from mess_assets.plots import bars_png, picture
from mess_assets.tables import column_schema, sample


@dg.asset(
    deps=["embedding_matrix"],
    group_name="search",
    owners=OWNERS,
    kinds={"python", "faiss"},
    code_version="1",
    description=(
        "Exact FAISS index of tracks: all layers, each L2-normalised, side by side; aspect "
        "weights go into the query, so scores are exact sums of per-layer cosines."
    ),
)
def track_index(store: StoreResource, encoder: EncoderResource) -> dg.MaterializeResult:
    """Index the track vectors and point ``latest`` to the new version."""
    from mess_core.search.build import build_track_index
    from mess_core.store.matrix import load_matrix

    layout = encoder.layout(store)
    began = time.perf_counter()
    matrix, rows, manifest = load_matrix(layout)
    built = build_track_index(
        layout,
        matrix,
        rows,
        manifest["identity"],
        matrix_sha256=manifest["matrix_sha256"],
    )
    per_work = rows["work_id"].value_counts().head(20)
    return dg.MaterializeResult(
        data_version=encoder_version(layout, built["version"]),
        metadata={
            "version": built["version"],
            "vectors": built["vectors"],
            "dim": built["dim"],
            "encoder": manifest["identity"]["encoder"],
            "sample": sample(rows),
            "picture": picture(
                bars_png({str(k): float(v) for k, v in per_work.items()}, "performances of a work")
            ),
            "listen": dg.MetadataValue.url(listen_url()),
            "path": dg.MetadataValue.path(str(layout.indices / "track" / built["version"])),
            "seconds": time.perf_counter() - began,
        },
    )


@dg.asset_check(asset=track_index, description="Of the current matrix; tracks retrieve themselves.")
def track_index_finds_tracks(store: StoreResource, encoder: EncoderResource) -> dg.AssetCheckResult:
    from mess_core.search.build import check_track_index

    return check_result(check_track_index(encoder.layout(store)), ERROR)


@dg.asset(
    deps=["embedding_matrix", "embeddings", "aspects"],
    group_name="search",
    owners=OWNERS,
    kinds={"python", "faiss"},
    code_version="2",
    description=(
        "FAISS index of 5 s passages on the layer that represents the aspects best, with start "
        "and end of every passage in seconds. Exact or approximate depending on the number of "
        "passages; its recall is measured."
    ),
)
def passage_index(store: StoreResource, encoder: EncoderResource) -> dg.MaterializeResult:
    """Index every stored segment and point ``latest`` to the new version."""
    from mess_core.search.artifact import load_artifact
    from mess_core.search.build import build_passage_index
    from mess_core.store.matrix import load_matrix

    layout = encoder.layout(store)
    began = time.perf_counter()
    _, rows, manifest = load_matrix(layout)
    built = build_passage_index(layout, rows, manifest["identity"])
    measured = built["measured"]
    _, passages, _ = load_artifact(layout.indices, "passage")
    per_track = passages["track_id"].value_counts().head(20)
    return dg.MaterializeResult(
        data_version=encoder_version(layout, built["version"]),
        metadata={
            "version": built["version"],
            "vectors": built["vectors"],
            "layer": built["made_from"]["layer"],
            "layer_reason": built["made_from"]["layer_reason"],
            "kind": measured["kind"],
            "recall_at_10": measured["recall_at_10"],
            "fell_back": measured["fell_back"] or "no",
            "sample": sample(passages),
            "picture": picture(
                bars_png({str(k): float(v) for k, v in per_track.items()}, "passages of a track")
            ),
            "listen": dg.MetadataValue.url(listen_url()),
            "dagster/column_schema": column_schema(passages),
            "path": dg.MetadataValue.path(str(layout.indices / "passage" / built["version"])),
            "seconds": time.perf_counter() - began,
        },
    )


@dg.asset_check(asset=passage_index, description="Bounds, vectors and tracks are consistent.")
def passage_index_is_sound(store: StoreResource, encoder: EncoderResource) -> dg.AssetCheckResult:
    from mess_core.search.build import check_passage_index

    return check_result(check_passage_index(encoder.layout(store)), ERROR)
