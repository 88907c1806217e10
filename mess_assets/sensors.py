"""From a new file to a new hit: three sensors, off until switched on.

``new_tracks`` sees where the folders and the track table differ, registers new partitions and
scans; when a scan succeeds, ``pending_tracks`` starts one run over what is missing or stale;
when the last of these runs has ended, well or not, ``rebuild_tables`` renews tables and indices
once.
"""

import datetime
import hashlib
import json
from collections.abc import Iterator

import dagster as dg

from mess_assets.jobs import per_track, scan, tables
from mess_assets.partitions import TRACKS, range_tags
from mess_assets.resources import EncoderResource, StoreResource

_OFF = dg.DefaultSensorStatus.STOPPED
_PATIENCE_S = 600.0
"""How long a requested scan has before the same difference is asked for again."""

_LONGEST_RUN = datetime.timedelta(days=2)
"""Runs that look active for longer were lost by a daemon, and are not waited for."""

_Status = dg.DagsterRunStatus
_ACTIVE = [
    _Status.QUEUED,
    _Status.NOT_STARTED,
    _Status.STARTING,
    _Status.STARTED,
    _Status.CANCELING,
]
_ENDED = [_Status.SUCCESS, _Status.FAILURE, _Status.CANCELED]


@dg.sensor(job=scan, minimum_interval_seconds=60, default_status=_OFF)
def new_tracks(
    context: dg.SensorEvaluationContext, store: StoreResource
) -> dg.SensorResult | dg.SkipReason:
    """Compare the names in the folders with the track table (reads no audio)."""
    from mess_core.datasets import list_track_ids
    from mess_core.errors import MessError
    from mess_core.store import escape_track_id
    from mess_core.store.tables import read_table

    try:
        found = set(list_track_ids(store.sources()))
        place = store.layout.tracks
        known = set(read_table(place)["track_id"]) if place.exists() else set()
    except MessError as error:
        return dg.SkipReason(str(error))
    new, gone = sorted(found - known), sorted(known - found)
    if not new and not gone:
        return dg.SkipReason(f"the track table has all {len(found)} tracks")
    difference = hashlib.sha256(json.dumps([new, gone]).encode()).hexdigest()
    now = datetime.datetime.now(datetime.UTC).timestamp()
    last = json.loads(context.cursor or "{}")
    if last.get("difference") == difference and now - last["at"] < _PATIENCE_S:
        return dg.SkipReason(f"a scan for these {len(new) + len(gone)} changes was requested")
    registered = set(context.instance.get_dynamic_partitions(TRACKS.name))
    keys = [key for key in map(escape_track_id, new) if key not in registered]
    return dg.SensorResult(
        run_requests=[dg.RunRequest(run_key=f"{difference}-{now:.0f}")],
        dynamic_partitions_requests=[TRACKS.build_add_request(keys)] if keys else [],
        cursor=json.dumps({"difference": difference, "at": now}),
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


@dg.sensor(job=tables, minimum_interval_seconds=30, default_status=_OFF)
def rebuild_tables(
    context: dg.SensorEvaluationContext, store: StoreResource
) -> dg.SensorResult | dg.SkipReason:
    """Rebuild once after the last run of per-track work, or after a scan that took tracks away.

    Failed and canceled runs count: what they stored before gets in.
    """
    from mess_core.errors import MessError
    from mess_core.store.tracks import outdated_tables

    now = datetime.datetime.now(datetime.UTC)
    if context.cursor is None:
        return dg.SensorResult(skip_reason="watching from now on", cursor=now.isoformat())
    since = datetime.datetime.fromisoformat(context.cursor)
    for job in (scan, per_track):
        active = dg.RunsFilter(
            job_name=job.name, statuses=_ACTIVE, created_after=now - _LONGEST_RUN
        )
        if context.instance.get_runs(active, limit=1):
            return dg.SkipReason(f"{job.name} is under way; its end is waited for")
    ended = {
        job.name: context.instance.get_run_records(
            dg.RunsFilter(job_name=job.name, statuses=_ENDED, updated_after=since)
        )
        for job in (scan, per_track)
    }
    reason = "tracks were worked on" if ended[per_track.name] else None
    try:
        if reason is None and ended[scan.name]:
            reason = outdated_tables(store.layout)
    except MessError as error:
        return dg.SkipReason(str(error))
    if reason is None:
        return dg.SkipReason("nothing has ended since the last rebuild")
    newest = max(record.update_timestamp for records in ended.values() for record in records)
    context.log.info(f"rebuilding: {reason}")
    return dg.SensorResult(
        run_requests=[dg.RunRequest(run_key=newest.isoformat())], cursor=newest.isoformat()
    )


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


SENSORS = [new_tracks, pending_tracks, rebuild_tables]
