"""Embeddings per track, the matrix of all tracks, and the untrained control."""

import time
from collections.abc import Iterator

import dagster as dg
from pydantic import Field

from mess_assets.check_results import WARN, check_result
from mess_assets.defs.resources import EncoderResource, StoreResource, TrackingResource
from mess_assets.encoder_runs import encoder_version
from mess_assets.op_tags import GPU_POOL, OWNERS, gpu_tags, worker_lost
from mess_assets.partitions import TRACKS, backfill_policy
from mess_assets.per_track import failure_table, report_outcomes
from mess_assets.plots import coverage_png, picture, similarity_png
from mess_assets.tables import column_schema, sample
from mess_assets.workers import tag_encoder

EMBEDDINGS_CODE_VERSION = "1"


class EmbeddingsConfig(dg.Config):
    """What else to embed in the same pass over the audio."""

    also: list[str] = Field(
        default=[], description="Names or folders of further encoders, which share the decoding."
    )


@dg.asset(
    partitions_def=TRACKS,
    backfill_policy=backfill_policy(),
    output_required=False,
    retry_policy=worker_lost(),
    deps=["tracks"],
    group_name="features",
    owners=OWNERS,
    kinds={"python", "pytorch"},
    pool=GPU_POOL,
    op_tags=gpu_tags(),
    code_version=EMBEDDINGS_CODE_VERSION,
    description=(
        "Hidden states of every encoder layer, mean-pooled over 5 s windows and over the track "
        "(MERT: Li et al., ICLR 2024; `untrained:*` is the control with random weights). "
        "Unchanged audio with the same encoder is not embedded again. A track that fails is "
        "recorded and does not stop the others; the run then ends as failed."
    ),
)
def embeddings(
    context: dg.AssetExecutionContext,
    config: EmbeddingsConfig,
    store: StoreResource,
    encoder: EncoderResource,
    tracking: TrackingResource,
) -> Iterator[dg.AssetMaterialization]:
    """Embed the tracks of this run's partitions into the store."""
    from mess_core.encoders import embed_tracks
    from mess_core.store.track_table import tracks_of

    layout = encoder.layout(store)
    tag_encoder(context, encoder.folder())
    rows, unknown = tracks_of(layout, context.partition_keys)
    if unknown:
        context.log.warning(f"not in the track table (materialise `tracks`): {unknown[:5]}")
    with encoder.reserved() as model:
        # The encoder of this run comes last, so that the partition shows its materialisation.
        models = [encoder.named(name).load(str(model.device)) for name in config.also] + [model]
        context.log.info(f"{', '.join(map(repr, models))}: {len(rows)} tracks")
        done: list[dict] = []
        began = time.perf_counter()

        def recorded() -> Iterator[object]:
            for outcome in embed_tracks(rows, models, layout):
                if outcome.status == "done":
                    done.append(outcome.facts)
                yield outcome

        try:
            yield from report_outcomes(
                context, recorded(), EMBEDDINGS_CODE_VERSION, encoders=len(models)
            )
        finally:
            if done:
                seconds = time.perf_counter() - began
                audio_s = sum(facts["seconds"] * facts["audio_s_per_s"] for facts in done)
                tracking.log(
                    context,
                    store,
                    "feature_extraction",
                    params={
                        **model.identity,
                        "device": str(model.device),
                        "also": ", ".join(one.name for one in models[:-1]),
                    },
                    metrics={
                        "tracks": len(done),
                        "seconds": seconds,
                        "audio_s_per_s": audio_s / seconds,
                    },
                )


@dg.asset_check(
    asset=embeddings, description="Every track has a current, finite embedding of the right shape."
)
def embeddings_are_complete(store: StoreResource, encoder: EncoderResource) -> dg.AssetCheckResult:
    from mess_core.store.embeddings import check_embeddings

    return check_result(check_embeddings(encoder.layout(store), encoder.identity()), WARN)


@dg.asset(
    deps=["tracks", "embeddings"],
    group_name="features",
    owners=OWNERS,
    kinds={"python", "numpy"},
    code_version="1",
    description=(
        "Track vectors of the whole library, [tracks, layers, dim] float32, with the table of "
        "their tracks; refuses to mix encoders. Reads the store, not the event log, so it "
        "includes what every earlier run has stored."
    ),
)
def embedding_matrix(
    context: dg.AssetExecutionContext, store: StoreResource, encoder: EncoderResource
) -> dg.MaterializeResult:
    """Stack the stored track vectors."""
    from mess_core.search.index import unit_layers
    from mess_core.store.matrix import build_matrix, load_matrix
    from mess_core.store.tables import read_table

    layout = encoder.layout(store)
    tag_encoder(context, layout.encoder)
    began = time.perf_counter()
    tracks = read_table(store.layout.tracks)
    manifest = build_matrix(layout, tracks)
    matrix, rows, _ = load_matrix(layout)
    shown = unit_layers(matrix[:200]).reshape(min(len(matrix), 200), -1)
    return dg.MaterializeResult(
        data_version=encoder_version(layout, manifest["matrix_sha256"]),
        metadata={
            "shape": str(manifest["shape"]),
            "encoder": manifest["identity"]["encoder"],
            "dagster/row_count": len(rows),
            "dagster/column_schema": column_schema(rows),
            "without_embedding": len(manifest["without_embedding"]),
            "sample": sample(rows),
            "picture": picture(
                similarity_png(shown @ shown.T / matrix.shape[1], "first 200 tracks")
            ),
            "coverage": picture(coverage_png(tracks, set(rows["track_id"]))),
            "path": dg.MetadataValue.path(str(layout.matrix)),
            "seconds": time.perf_counter() - began,
        },
    )


@dg.asset_check(
    asset=embedding_matrix, description="Finite, of one encoder, equal to the stored vectors."
)
def matrix_matches_store(store: StoreResource, encoder: EncoderResource) -> dg.AssetCheckResult:
    from mess_core.store.matrix import check_matrix

    return check_result(check_matrix(encoder.layout(store)), WARN)


@dg.asset(
    deps=["embedding_matrix"],
    group_name="features",
    owners=OWNERS,
    kinds={"python", "pytorch"},
    pool=GPU_POOL,
    op_tags=gpu_tags(),
    code_version="1",
    description=(
        "Track vectors of the encoder's untrained counterpart (same architecture, random weights). "
        "The difference between their probing scores is what training adds. It costs as much as "
        "the embeddings, once; MESS_CONTROL=off disables it. An untrained encoder needs none."
    ),
)
def control_matrix(
    context: dg.AssetExecutionContext, store: StoreResource, encoder: EncoderResource
) -> dg.MaterializeResult:
    """Embed the library with the untrained counterpart."""
    from mess_core.encoders import build_control_matrix
    from mess_core.store.matrix import load_matrix
    from mess_core.store.tables import read_table

    layout = encoder.layout(store)
    reason = encoder.no_control()
    if reason is not None:
        return dg.MaterializeResult(metadata={"reason": reason})
    began = time.perf_counter()
    _, rows, _ = load_matrix(layout)
    tracks = read_table(store.layout.tracks)
    tracks = tracks[tracks["track_id"].isin(rows["track_id"])]
    with encoder.reserved() as model:
        manifest, failed = build_control_matrix(tracks, model, layout, progress=context.log.debug)
    if failed:
        context.log.warning(f"{len(failed)} tracks failed; probing leaves them out")
    return dg.MaterializeResult(
        data_version=encoder_version(layout, manifest["matrix_sha256"]),
        metadata={
            "shape": str(manifest["shape"]),
            "encoder": manifest["identity"]["encoder"],
            "control_of": manifest["control_of"]["encoder"],
            "failed": failure_table([outcome.facts for outcome in failed]),
            "seconds": time.perf_counter() - began,
        },
    )


@dg.asset_check(
    asset=control_matrix, description="Belongs to the current encoder, or no control is needed."
)
def control_fits_encoder(store: StoreResource, encoder: EncoderResource) -> dg.AssetCheckResult:
    from mess_core.encoders.control import check_control

    return check_result(check_control(encoder.layout(store)), WARN)
