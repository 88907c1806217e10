"""Asset checks: each one asks `mess_core` what holds, and shows the findings.

Blocking are those whose failure would make downstream results wrong; missing tracks only
warn, since one bad track must not keep the others from being searched.
"""

from typing import Any

import dagster as dg

from mess_assets.assets.embeddings import control_matrix, embedding_matrix, embeddings
from mess_assets.assets.evaluation import (
    human_evaluation,
    human_triplets,
    leaderboard,
    passages,
    planted_triplets,
    retrieval_evaluation,
    splits,
)
from mess_assets.assets.failures import failures
from mess_assets.assets.indices import passage_index, track_index
from mess_assets.assets.probing import aspects, faithfulness, probing, segment_probing
from mess_assets.assets.ranking import RUNG_OF
from mess_assets.assets.targets import (
    aligned_targets,
    proxy_targets,
    targets_report,
    track_targets,
)
from mess_assets.assets.tracks import tracks
from mess_assets.per_track import failure_table
from mess_assets.resources import EncoderResource, StoreResource


def _result(finding: Any, severity: dg.AssetCheckSeverity) -> dg.AssetCheckResult:
    facts = {
        name: value if isinstance(value, int | float | str) else dg.MetadataValue.json(value)
        for name, value in finding.facts.items()
        if value is not None
    }
    return dg.AssetCheckResult(passed=finding.passed, severity=severity, metadata=facts)


WARN, ERROR = dg.AssetCheckSeverity.WARN, dg.AssetCheckSeverity.ERROR


@dg.asset_check(asset=tracks, description="Ids are unique, audio is hashed and not duplicated.")
def tracks_are_distinct(store: StoreResource) -> dg.AssetCheckResult:
    from mess_core.store.track_table import check_tracks

    return _result(check_tracks(store.layout), WARN)


@dg.asset_check(
    asset=embeddings, description="Coverage, staleness, shape and finiteness of every track."
)
def embeddings_are_complete(store: StoreResource, encoder: EncoderResource) -> dg.AssetCheckResult:
    from mess_core.store.embeddings import check_embeddings

    return _result(check_embeddings(store.layout, encoder.identity()), WARN)


@dg.asset_check(
    asset=track_targets, description="No recording is far louder or quieter than its data set."
)
def loudness_is_plausible(store: StoreResource) -> dg.AssetCheckResult:
    from mess_core.targets.proxy_table import check_loudness

    return _result(check_loudness(store.layout), WARN)


@dg.asset_check(asset=failures, description="No track fails.")
def no_track_fails(store: StoreResource) -> dg.AssetCheckResult:
    from mess_core.store.failures import failures_table

    table = failures_table(store.layout)
    metadata: dict[str, Any] = {"failed": int(table["track_id"].nunique())}
    if len(table):
        metadata["tracks"] = failure_table(table.to_dict("records"))
    return dg.AssetCheckResult(passed=table.empty, severity=WARN, metadata=metadata)


@dg.asset_check(
    asset=aligned_targets, description="Every work with several performances was looked at."
)
def works_are_aligned(store: StoreResource) -> dg.AssetCheckResult:
    from mess_core.targets.aligned import check_aligned_targets

    return _result(check_aligned_targets(store.layout), WARN)


@dg.asset_check(
    asset=proxy_targets, description="Version in force, every track there, nothing infinite."
)
def proxy_targets_are_complete(store: StoreResource) -> dg.AssetCheckResult:
    from mess_core.targets import TARGETS_VERSION
    from mess_core.targets.proxy_table import check_proxy_targets

    return _result(check_proxy_targets(store.layout, TARGETS_VERSION), WARN)


@dg.asset_check(
    asset=embedding_matrix, description="Finite, one encoder, equal to the stored vectors."
)
def matrix_matches_store(store: StoreResource) -> dg.AssetCheckResult:
    from mess_core.store.matrix import check_matrix

    return _result(check_matrix(store.layout), WARN)


@dg.asset_check(
    asset=probing, description="Scores are possible, and of the present matrix.", blocking=True
)
def probing_is_current(store: StoreResource) -> dg.AssetCheckResult:
    from mess_core.probing.pipeline import check_probing

    return _result(check_probing(store.layout), ERROR)


@dg.asset_check(
    asset=probing, description="No work and no audio on both sides of a fold.", blocking=True
)
def folds_do_not_leak(store: StoreResource) -> dg.AssetCheckResult:
    from mess_core.probing.folds import check_folds

    return _result(check_folds(store.layout), ERROR)


@dg.asset_check(asset=tracks, description="No work and no audio on both sides of a split.")
def splits_do_not_leak(store: StoreResource) -> dg.AssetCheckResult:
    from mess_core.probing.folds import check_splits

    return _result(check_splits(store.layout), WARN)


@dg.asset_check(asset=probing, description="No target's R² fell far since the last run.")
def r2_has_not_dropped(store: StoreResource) -> dg.AssetCheckResult:
    from mess_core.probing.pipeline import check_r2_drop

    return _result(check_r2_drop(store.layout), WARN)


@dg.asset_check(
    asset=control_matrix, description="Of the present encoder, or none is needed; without, warns."
)
def control_fits_encoder(store: StoreResource) -> dg.AssetCheckResult:
    from mess_core.encoders.control import check_control

    return _result(check_control(store.layout), WARN)


@dg.asset_check(
    asset=segment_probing, description="Scores are possible, and of the present matrix."
)
def segment_probing_is_current(store: StoreResource) -> dg.AssetCheckResult:
    from mess_core.probing.pipeline import check_probing

    return _result(check_probing(store.layout, store.layout.probing / "segments"), WARN)


@dg.asset_check(
    asset=aspects, description="All 13 aspects, with weights over layers.", blocking=True
)
def aspects_are_complete(store: StoreResource) -> dg.AssetCheckResult:
    from mess_core.probing.results import check_aspects

    return _result(check_aspects(store.layout), ERROR)


@dg.asset_check(asset=faithfulness, description="Of the present matrix, for every probed aspect.")
def faithfulness_is_current(store: StoreResource) -> dg.AssetCheckResult:
    from mess_core.search.faithfulness import check_faithfulness

    return _result(check_faithfulness(store.layout), WARN)


@dg.asset_check(asset=track_index, description="Of the present matrix; tracks find themselves.")
def track_index_finds_tracks(store: StoreResource) -> dg.AssetCheckResult:
    from mess_core.search.build import check_track_index

    return _result(check_track_index(store.layout), ERROR)


@dg.asset_check(asset=passage_index, description="Bounds, vectors and tracks fit together.")
def passage_index_is_sound(store: StoreResource) -> dg.AssetCheckResult:
    from mess_core.search.build import check_passage_index

    return _result(check_passage_index(store.layout), ERROR)


@dg.asset_check(asset=targets_report, description="Every target follows its own property.")
def targets_follow_their_property(store: StoreResource) -> dg.AssetCheckResult:
    from mess_core.validation.report import check_targets_report

    return _result(check_targets_report(store.layout), WARN)


@dg.asset_check(
    asset=splits, description="No work, performer or audio on both sides; unchanged.", blocking=True
)
def frozen_splits_do_not_leak(store: StoreResource) -> dg.AssetCheckResult:
    from mess_core.evaluation.leaks import check_frozen_splits

    return _result(check_frozen_splits(store.layout), ERROR)


@dg.asset_check(asset=passages, description="Several performances each, of tracks that are there.")
def passages_are_shared(store: StoreResource) -> dg.AssetCheckResult:
    from mess_core.evaluation.preparation import check_passages

    return _result(check_passages(store.layout), WARN)


@dg.asset_check(asset=planted_triplets, description="Every factor is asked of the same clips.")
def planted_triplets_are_complete(store: StoreResource) -> dg.AssetCheckResult:
    from mess_core.evaluation.preparation import check_planted_triplets

    return _result(check_planted_triplets(store.layout), WARN)


@dg.asset_check(asset=human_triplets, description="Can be judged; each kind has its share.")
def human_triplets_are_balanced(store: StoreResource) -> dg.AssetCheckResult:
    from mess_core.evaluation.preparation import check_human_triplets

    return _result(check_human_triplets(store.layout), WARN)


@dg.asset_check(asset=retrieval_evaluation, description="Shuffled truths are at chance.")
def retrieval_controls_are_at_chance(store: StoreResource) -> dg.AssetCheckResult:
    from mess_core.evaluation.permuted_labels import check_controls

    return _result(check_controls(store.layout, "retrieval-work"), WARN)


@dg.asset_check(asset=human_evaluation, description="Shuffled ratings are at chance.")
def rating_controls_are_at_chance(store: StoreResource) -> dg.AssetCheckResult:
    from mess_core.evaluation.cache import answers_table
    from mess_core.evaluation.permuted_labels import check_controls

    if not answers_table(store.layout.evaluation / "ratings").exists():
        return dg.AssetCheckResult(passed=True, metadata={"ratings": "none given"})
    return _result(check_controls(store.layout, "ratings"), WARN)


@dg.asset_check(asset=leaderboard, description="Every mean lies in its interval; n is told.")
def leaderboard_is_sound(store: StoreResource) -> dg.AssetCheckResult:
    from mess_core.evaluation.leaderboard import check_leaderboard

    return _result(check_leaderboard(store.layout), ERROR)


def _head_check(name: str, rung: str) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=name,
        name=f"{name}_can_be_served",
        description="Loads, is of the present encoder, gives unit vectors.",
    )
    def check(store: StoreResource) -> dg.AssetCheckResult:
        from mess_core.evaluation.pipeline import head_names
        from mess_core.search.served_heads import check_heads

        return _result(check_heads(store.layout, head_names(rung)), WARN)

    return check


CHECKS = [
    tracks_are_distinct,
    embeddings_are_complete,
    loudness_is_plausible,
    no_track_fails,
    works_are_aligned,
    proxy_targets_are_complete,
    matrix_matches_store,
    control_fits_encoder,
    probing_is_current,
    folds_do_not_leak,
    splits_do_not_leak,
    r2_has_not_dropped,
    segment_probing_is_current,
    aspects_are_complete,
    faithfulness_is_current,
    track_index_finds_tracks,
    passage_index_is_sound,
    targets_follow_their_property,
    frozen_splits_do_not_leak,
    passages_are_shared,
    planted_triplets_are_complete,
    human_triplets_are_balanced,
    retrieval_controls_are_at_chance,
    rating_controls_are_at_chance,
    leaderboard_is_sound,
    *(_head_check(name, rung) for name, rung in RUNG_OF.items()),
]
