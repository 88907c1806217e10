"""Sensors that take new files to the search index, stopped unless automation is switched on.

``new_tracks`` compares the folders with the track table, registers new partitions and requests a
scan. After a successful scan, ``pending_tracks`` requests runs for missing and stale tracks, in
batches, with embeddings and targets in separate runs. After the last of these runs has ended,
successfully or not, ``rebuild_tables`` rebuilds tables and indices once. ``new_judgements``
evaluates systems on new answers of listeners. ``lost_workers`` reports runs whose process was
killed, and Dagster retries them.

Work per track is started by these sensors instead of automation conditions, because
``on_missing`` ignores partition keys that are older than the condition itself. Staleness follows
from files and identities in the store, which Dagster does not see.
"""

import datetime
import hashlib
import json
from collections.abc import Sequence

import dagster as dg

from mess_assets.defs.automation import sensor_interval, sensor_status
from mess_assets.defs.jobs import (
    EVALUATED_AGAIN,
    PER_TRACK,
    describe,
    embed,
    evaluate,
    scan,
    tables,
)
from mess_assets.defs.resources import EncoderResource, StoreResource
from mess_assets.encoder_runs import ENCODER_TAG
from mess_assets.partitions import RANGE_END, RANGE_START, TRACKS, batches, range_tags
from mess_assets.workers import lost_runs

_PATIENCE_S = 600.0
"""Seconds before a scan is requested again for the same difference."""

_LONGEST_RUN = datetime.timedelta(days=2)
"""Runs that appear active for longer count as lost, and no sensor waits for them."""

_FOLLOWS_WITHIN = datetime.timedelta(minutes=10)
"""Time within which the daemon starts the retry of a dead run, or the batches of a scan."""

_SESSION_S = 900.0
"""Seconds without an answer after which a listening session is over."""

WILL_RETRY, RETRIED_AS = "dagster/will_retry", "dagster/auto_retry_run_id"

_Status = dg.DagsterRunStatus
_WAITING = [_Status.QUEUED, _Status.NOT_STARTED]
_WORKING = [_Status.STARTING, _Status.STARTED, _Status.CANCELING]
_ENDED = [_Status.SUCCESS, _Status.FAILURE, _Status.CANCELED]


@dg.sensor(
    job=scan,
    minimum_interval_seconds=sensor_interval(60),
    default_status=sensor_status(),
)
def new_tracks(
    context: dg.SensorEvaluationContext, store: StoreResource
) -> dg.SensorResult | dg.SkipReason:
    """Compare the file names in the folders with the track table, without reading audio."""
    from mess_core.datasets import list_track_ids
    from mess_core.errors import MessError
    from mess_core.store import escape_track_id
    from mess_core.store.tables import read_table

    try:
        path = store.layout.tracks
        table = read_table(path) if path.exists() else None
        known = set() if table is None else set(table["track_id"])
        found = list_track_ids(store.sources(), known_tracks=table)
    except MessError as error:
        return dg.SkipReason(str(error))
    new, gone = [one for one in found if one not in known], sorted(known - set(found))
    if not new and not gone:
        return dg.SkipReason(f"the track table has all {len(found)} tracks")
    if _active(context.instance, scan.name):
        return dg.SkipReason("a scan is in progress")
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


@dg.sensor(
    jobs=PER_TRACK,
    minimum_interval_seconds=sensor_interval(30),
    default_status=sensor_status(),
)
def pending_tracks(
    context: dg.SensorEvaluationContext, store: StoreResource, encoder: EncoderResource
) -> dg.SensorResult | dg.SkipReason:
    """After a scan, request a run of each job for every batch of pending tracks.

    The cursor is the run id of the last scan that was processed; if an evaluation fails, the scan
    is processed again.
    """
    good = dg.RunsFilter(job_name=scan.name, statuses=[_Status.SUCCESS])
    scans = context.instance.get_runs(good, limit=1)
    if not scans or scans[0].run_id == context.cursor:
        return dg.SkipReason("no scan since the last one that was processed")
    last = scans[0].run_id
    order = context.instance.get_dynamic_partitions(TRACKS.name)
    pending = pending_keys(context.instance, store, encoder, order)
    requests = []
    for job in PER_TRACK:
        active = keys_in_active_runs(context.instance, job.name, order)
        wanted = [key for key in pending[job.name] if key not in active]
        for part in batches(wanted, order, excluded=active):
            requests.append(
                dg.RunRequest(
                    run_key=f"{last}-{job.name}-{part[0]}",
                    job_name=job.name,
                    tags={**range_tags(part), ENCODER_TAG: encoder.folder()},
                )
            )
    reason = None if requests else "every track is up to date or in an active run"
    return dg.SensorResult(run_requests=requests, cursor=last, skip_reason=reason)


@dg.sensor(minimum_interval_seconds=sensor_interval(60), default_status=sensor_status())
def lost_workers(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Report runs on this machine whose process was killed, so that Dagster retries them."""
    lost = lost_runs(context.instance)
    if lost:
        context.log.warning(f"runs whose process is gone: {', '.join(lost)}")
    return dg.SkipReason(f"{len(lost)} runs were lost")


@dg.sensor(
    job=tables,
    minimum_interval_seconds=sensor_interval(30),
    default_status=sensor_status(),
)
def rebuild_tables(
    context: dg.SensorEvaluationContext, store: StoreResource, encoder: EncoderResource
) -> dg.SensorResult | dg.SkipReason:
    """Rebuild once after the last run per track, or after a scan that removed tracks.

    Failed and canceled runs count as well: they may have stored results.
    """
    from mess_core.errors import MessError
    from mess_core.store.track_table import outdated_tables

    now = datetime.datetime.now(datetime.UTC)
    if context.cursor is None:
        return dg.SensorResult(skip_reason="watching from now on", cursor=now.isoformat())
    since = datetime.datetime.fromisoformat(context.cursor)
    jobs = [scan, *PER_TRACK]
    for job in (*jobs, tables):
        if _active(context.instance, job.name):
            return dg.SkipReason(f"{job.name} is in progress; waiting for it to end")
    ended = {
        job.name: context.instance.get_run_records(
            dg.RunsFilter(job_name=job.name, statuses=_ENDED, updated_after=since)
        )
        for job in jobs
    }
    for record in (record for records in ended.values() for record in records):
        if _retry_is_due(record, now):
            return dg.SkipReason(f"waiting for the retry of {record.dagster_run.run_id}")
    processed = [*ended[embed.name], *ended[describe.name]]
    reason = "tracks were processed" if processed else None
    try:
        if _batches_are_due(context.instance, store, encoder, ended[scan.name], now):
            return dg.SkipReason("waiting for the batches of the last scan")
        if reason is None and ended[scan.name]:
            reason = outdated_tables(encoder.layout(store))
    except MessError as error:
        return dg.SkipReason(str(error))
    if reason is None:
        return dg.SkipReason("no run has ended since the last rebuild")
    newest = max(record.update_timestamp for records in ended.values() for record in records)
    context.log.info(f"rebuilding: {reason}")
    return dg.SensorResult(
        run_requests=[
            dg.RunRequest(run_key=newest.isoformat(), tags={ENCODER_TAG: encoder.folder()})
        ],
        cursor=newest.isoformat(),
    )


def _retry_is_due(record: dg.RunRecord, now: datetime.datetime) -> bool:
    """Return whether a dead run will be retried and its retry does not exist yet."""
    tags = record.dagster_run.tags
    recent = record.update_timestamp.astimezone(datetime.UTC) > now - _FOLLOWS_WITHIN
    return recent and tags.get(WILL_RETRY) == "true" and RETRIED_AS not in tags


def _batches_are_due(
    instance: dg.DagsterInstance,
    store: StoreResource,
    encoder: EncoderResource,
    scans: Sequence[dg.RunRecord],
    now: datetime.datetime,
) -> bool:
    """Return whether the last scan found pending tracks and no run for them exists yet."""
    good = [one for one in scans if one.dagster_run.status == _Status.SUCCESS]
    if not good:
        return False
    last = max(record.update_timestamp.astimezone(datetime.UTC) for record in good)
    if last < now - _FOLLOWS_WITHIN:
        return False
    for job in PER_TRACK:
        if instance.get_runs(dg.RunsFilter(job_name=job.name, created_after=last), limit=1):
            return False
    return any(pending_keys(instance, store, encoder).values())


def _active(instance: dg.DagsterInstance, job: str) -> list[dg.DagsterRun]:
    """Return the queued and running runs of a job, except those running for days."""
    now = datetime.datetime.now(datetime.UTC)
    waiting = dg.RunsFilter(job_name=job, statuses=_WAITING)
    working = dg.RunsFilter(job_name=job, statuses=_WORKING, updated_after=now - _LONGEST_RUN)
    return [*instance.get_runs(waiting), *instance.get_runs(working)]


def keys_in_active_runs(instance: dg.DagsterInstance, job: str, order: Sequence[str]) -> set[str]:
    """Return the partition keys covered by queued and running runs of a job."""
    position = {key: index for index, key in enumerate(order)}
    found: set[str] = set()
    for run in _active(instance, job):
        first, last = (position.get(run.tags.get(end, "")) for end in (RANGE_START, RANGE_END))
        if first is not None and last is not None:
            found.update(order[first : last + 1])
    return found


def pending_keys(
    instance: dg.DagsterInstance,
    store: StoreResource,
    encoder: EncoderResource,
    order: Sequence[str] | None = None,
    *,
    failed_too: bool = False,
) -> dict[str, list[str]]:
    """Return the partition keys of pending tracks, by the name of the job that computes them.

    Parameters
    ----------
    instance : DagsterInstance
    store, encoder : resources
    order : sequence of str, optional
        Partition keys to consider; default: all.
    failed_too : bool
        Whether to include failed tracks whose inputs have not changed.
    """
    from mess_core.store import escape_track_id
    from mess_core.store.track_table import pending_tracks as pending
    from mess_core.targets import TARGETS_VERSION

    found = pending(
        encoder.layout(store),
        wanted=encoder.identity(),
        targets_version=TARGETS_VERSION,
        failed_too=failed_too,
    )
    known = set(instance.get_dynamic_partitions(TRACKS.name) if order is None else order)
    keys = {track_id: key for track_id in found if (key := escape_track_id(track_id)) in known}
    return {
        job.name: [key for track_id, key in keys.items() if stage in found[track_id]]
        for job, stage in ((embed, "embeddings"), (describe, "track_targets"))
    }


@dg.sensor(
    job=evaluate,
    minimum_interval_seconds=sensor_interval(300),
    default_status=sensor_status(),
)
def new_judgements(
    context: dg.SensorEvaluationContext, store: StoreResource, encoder: EncoderResource
) -> dg.SensorResult | dg.SkipReason:
    """Evaluate systems on listeners' answers again after a listening session has ended."""
    from mess_core.errors import MessError
    from mess_core.evaluation.pipeline import cached_scores
    from mess_core.judgements.response_log import judgements_state

    try:
        state, last = judgements_state(store.layout)
    except MessError as error:
        return dg.SkipReason(str(error))
    if state is None or state == context.cursor:
        return dg.SkipReason("no answers since the last evaluation")
    if datetime.datetime.now(datetime.UTC).timestamp() - last < _SESSION_S:
        return dg.SkipReason("a listening session is in progress; waiting for it to end")
    if not cached_scores(encoder.layout(store), "retrieval-work").table_path.exists():
        return dg.SkipReason("no system has been evaluated yet: run the job `evaluate` once")
    wanted = [dg.AssetKey(name) for name in EVALUATED_AGAIN]
    return dg.SensorResult(
        run_requests=[dg.RunRequest(run_key=state, asset_selection=wanted)], cursor=state
    )
