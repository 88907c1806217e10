"""Puts the parts together; tests call it with resources of their own."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from mess_assets.assets.embeddings import control_matrix, embedding_matrix, embeddings
from mess_assets.assets.evaluation import EVALUATION
from mess_assets.assets.failures import failures
from mess_assets.assets.indices import passage_index, track_index
from mess_assets.assets.probing import aspects, faithfulness, probing, segment_probing
from mess_assets.assets.ranking import HEADS
from mess_assets.assets.targets import (
    aligned_targets,
    proxy_targets,
    targets_report,
    track_targets,
)
from mess_assets.assets.tracks import tracks
from mess_assets.automation import condition_sensor
from mess_assets.checks import CHECKS
from mess_assets.jobs import EXECUTOR, JOBS
from mess_assets.resources import EncoderResource, StoreResource, TrackingResource
from mess_assets.schedules import SCHEDULES
from mess_assets.sensors import SENSORS

ASSETS = [
    tracks,
    embeddings,
    track_targets,
    failures,
    aligned_targets,
    proxy_targets,
    embedding_matrix,
    control_matrix,
    probing,
    segment_probing,
    aspects,
    faithfulness,
    track_index,
    passage_index,
    targets_report,
    *EVALUATION,
    *HEADS,
]


def build_defs(*, resource_overrides: Mapping[str, Any] | None = None) -> dg.Definitions:
    """All definitions, with some resources replaced."""
    return dg.Definitions(
        assets=ASSETS,
        asset_checks=CHECKS,
        jobs=JOBS,
        schedules=SCHEDULES,
        sensors=[*SENSORS, condition_sensor()],
        executor=EXECUTOR,
        resources={
            "store": StoreResource(),
            "encoder": EncoderResource(),
            "tracking": TrackingResource(),
            **(resource_overrides or {}),
        },
    )
