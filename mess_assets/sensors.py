"""From a new file to a new hit: three sensors, off until switched on.

``new_tracks`` sees files that the track table does not have, registers their partitions and
scans; when a scan succeeds, ``pending_tracks`` starts one run over what is missing or stale;
when that run ends, well or not, ``rebuild_tables`` renews tables and indices once.
"""

import hashlib
from collections.abc import Iterator

import dagster as dg

from mess_assets.jobs import per_track, scan, tables
from mess_assets.partitions import TRACKS, range_tags
from mess_assets.resources import EncoderResource, StoreResource

_OFF = dg.DefaultSensorStatus.STOPPED


@dg.sensor(job=scan, minimum_interval_seconds=60, default_status=_OFF)
def new_tracks(
    context: dg.SensorEvaluationContext, store: StoreResource
) -> dg.SensorResult | dg.SkipReason:
    """Look for tracks that have no partition yet (reads names only, no audio)."""
    from mess_core.datasets import list_track_ids
    from mess_core.errors import MessError
    from mess_core.store import escape_track_id

    try:
        found = list_track_ids(store.sources())
    except MessError as error:
        return dg.SkipReason(str(error))
    known = set(context.instance.get_dynamic_partitions(TRACKS.name))
    new = sorted({escape_track_id(track_id) for track_id in found} - known)
    if not new:
        return dg.SkipReason(f"no new tracks among {len(found)}")
    run_key = hashlib.sha256("\n".join(new).encode()).hexdigest()
    return dg.SensorResult(
        run_requests=[dg.RunRequest(run_key=f"{run_key}-{len(known)}")],
        dynamic_partitions_requests=[TRACKS.build_add_request(new)],
    )


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS,
    monitored_jobs=[scan],
    request_job=per_track,
    default_status=_OFF,
)
def pending_tracks(
    context: dg.RunStatusSensorContext, store: StoreResource, encoder: EncoderResource
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """After a scan: one run for every contiguous stretch of tracks that lack something."""
    keys = pending_keys(context.instance, store, encoder)
    if not keys:
        yield dg.SkipReason("every track is up to date")
        return
    for stretch in contiguous(keys, context.instance.get_dynamic_partitions(TRACKS.name)):
        yield dg.RunRequest(
            run_key=f"{context.dagster_run.run_id}-{stretch[0]}", tags=range_tags(stretch)
        )


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS,
    monitored_jobs=[per_track],
    request_job=tables,
    default_status=_OFF,
)
def rebuild_tables(
    context: dg.RunStatusSensorContext,
) -> dg.RunRequest | dg.SkipReason:
    """After per-track work without failures: rebuild what depends on it."""
    return _rebuild(context)


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.FAILURE,
    monitored_jobs=[per_track],
    request_job=tables,
    default_status=_OFF,
)
def rebuild_tables_despite_failures(
    context: dg.RunStatusSensorContext,
) -> dg.RunRequest | dg.SkipReason:
    """After per-track work in which some tracks failed: the others still get in."""
    return _rebuild(context)


def _rebuild(context: dg.RunStatusSensorContext) -> dg.RunRequest | dg.SkipReason:
    active = context.instance.get_runs(
        dg.RunsFilter(
            job_name=per_track.name,
            statuses=[dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTED],
        ),
        limit=1,
    )
    if active:
        return dg.SkipReason("more per-track work is under way; the last run rebuilds")
    return dg.RunRequest(run_key=context.dagster_run.run_id)


def pending_keys(
    instance: dg.DagsterInstance, store: StoreResource, encoder: EncoderResource
) -> list[str]:
    """Partition keys of tracks that lack an up-to-date embedding or targets."""
    from mess_core.store import escape_track_id
    from mess_core.store.tracks import pending_tracks as pending
    from mess_core.targets import TARGETS_VERSION

    found = pending(store.layout, wanted=encoder.load().identity, targets_version=TARGETS_VERSION)
    known = set(instance.get_dynamic_partitions(TRACKS.name))
    return [key for track_id in found if (key := escape_track_id(track_id)) in known]


def contiguous(keys: list[str], order: list[str] | tuple[str, ...]) -> list[list[str]]:
    """Split keys into stretches that are neighbours in `order`.

    A partition range covers everything between its ends; what is up to date in between costs
    only a look, so gaps of up to 20 keys are bridged.
    """
    position = {key: index for index, key in enumerate(order)}
    stretches: list[list[str]] = []
    for key in sorted(keys, key=lambda one: position[one]):
        if stretches and position[key] - position[stretches[-1][-1]] <= 20:
            stretches[-1].append(key)
        else:
            stretches.append([key])
    return stretches


SENSORS = [new_tracks, pending_tracks, rebuild_tables, rebuild_tables_despite_failures]
