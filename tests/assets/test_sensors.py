"""Sensors: a new file leads to a partition, one scan, one batch and one rebuild."""

import datetime
import json
import os
import uuid
from pathlib import Path

import dagster as dg
import pytest
import soundfile as sf

from mess_assets.defs.sensors import (
    RETRIED_AS,
    WILL_RETRY,
    new_judgements,
    new_tracks,
    pending_keys,
    rebuild_tables,
)
from mess_assets.partitions import RANGE_END, RANGE_START, contiguous


def _evaluate(bench, cursor=None):
    context = dg.build_sensor_context(
        instance=bench.instance, resources={"store": bench.store}, cursor=cursor
    )
    return new_tracks(context)


def test_sensor_registers_exactly_the_new_tracks(workbench):
    assert isinstance(_evaluate(workbench), dg.SkipReason)
    folder = workbench.datasets / "demo"
    for name in ("zz_b", "zz_a"):
        samples, rate = sf.read(sorted(folder.glob("demo_*.flac"))[0])
        sf.write(folder / f"{name}.flac", samples[: 6 * rate] * (0.5 + 0.1 * len(name)), rate)
    result = _evaluate(workbench)
    assert result.dynamic_partitions_requests[0].partition_keys == ["zz_a", "zz_b"]
    assert len(result.run_requests) == 1
    # Registered, but not scanned yet: the scan is requested again only after a while.
    workbench.instance.add_dynamic_partitions("tracks", ["zz_a", "zz_b"])
    assert "was requested" in _evaluate(workbench, result.cursor).skip_message
    long_ago = json.dumps({**json.loads(result.cursor), "at": 0})
    again = _evaluate(workbench, long_ago)
    assert again.dynamic_partitions_requests == []
    assert again.run_requests[0].run_key.split("-")[0] == result.run_requests[0].run_key[:64]
    workbench.refresh()
    assert "has all 14 tracks" in _evaluate(workbench, again.cursor).skip_message


def test_a_removed_file_requests_a_scan_and_a_rebuild(workbench):
    from mess_core.store.track_table import outdated_tables, refresh_tracks

    for path in (workbench.datasets / "demo").glob("demo_01_steady.*"):
        path.unlink()
    assert len(_evaluate(workbench).run_requests) == 1
    refresh_tracks(workbench.layout, workbench.store.sources())
    assert "demo_01_steady" in outdated_tables(workbench.layout)
    since = _since()
    _ended_run(workbench, "scan", dg.DagsterRunStatus.SUCCESS)
    assert len(_rebuild(workbench, since).run_requests) == 1


def _since():
    return (datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=5)).isoformat()


def _ended_run(bench, job, status, **tags):
    run = dg.DagsterRun(job_name=job, run_id=str(uuid.uuid4()), status=status, tags=tags)
    bench.instance.add_run(run)
    return run


def _rebuild(bench, cursor):
    context = dg.build_sensor_context(
        instance=bench.instance,
        resources={"store": bench.store, "encoder": bench.encoder},
        cursor=cursor,
    )
    return rebuild_tables(context)


@pytest.mark.parametrize("status", ["SUCCESS", "FAILURE", "CANCELED"])
def test_tables_are_rebuilt_once_however_the_last_run_ended(workbench, status):
    first = _rebuild(workbench, None)
    assert not first.run_requests
    assert "no run has ended" in _rebuild(workbench, first.cursor).skip_message
    for _ in range(2):
        _ended_run(workbench, "embed", dg.DagsterRunStatus[status])
    result = _rebuild(workbench, _since())
    assert len(result.run_requests) == 1
    assert "no run has ended" in _rebuild(workbench, result.cursor).skip_message


@pytest.mark.parametrize("status", ["NOT_STARTED", "STARTING", "STARTED", "CANCELING"])
@pytest.mark.parametrize("job", ["scan", "embed", "describe"])
def test_rebuild_waits_for_every_active_run(workbench, job, status):
    _ended_run(workbench, "embed", dg.DagsterRunStatus.SUCCESS)
    _ended_run(workbench, job, dg.DagsterRunStatus[status])
    assert f"{job} is in progress" in _rebuild(workbench, _since()).skip_message


def test_rebuild_waits_for_the_retry_of_a_killed_run(workbench):
    failure = dg.DagsterRunStatus.FAILURE
    killed = _ended_run(workbench, "embed", failure, **{WILL_RETRY: "true"})
    assert f"retry of {killed.run_id}" in _rebuild(workbench, _since()).skip_message
    workbench.instance.add_run_tags(killed.run_id, {RETRIED_AS: str(uuid.uuid4())})
    assert len(_rebuild(workbench, _since()).run_requests) == 1


def test_without_data_sets_the_scan_is_skipped_with_a_reason(tmp_path):
    from mess_assets.defs.resources import StoreResource

    context = dg.build_sensor_context(
        instance=dg.DagsterInstance.ephemeral(),
        resources={"store": StoreResource(data_root=str(tmp_path), datasets="")},
    )
    assert "no data set is configured" in new_tracks(context).skip_message


def test_pending_keys_are_tracks_without_results(workbench):
    workbench.refresh(rebuild=False)  # the copied table still contains the original paths
    pending = pending_keys(workbench.instance, workbench.store, workbench.encoder)
    assert pending == {"embed": [], "describe": []}
    sidecar = workbench.layout.embedding_sidecar("demo", "demo_02_steady")
    sidecar.unlink()
    workbench.layout.track_targets("demo", "demo_04_free").unlink()
    pending = pending_keys(workbench.instance, workbench.store, workbench.encoder)
    assert pending == {"embed": ["demo_02_steady"], "describe": ["demo_04_free"]}


def test_scan_then_pending_then_rebuild(fresh):
    """The sensors in the order in which the daemon evaluates them."""
    from mess_assets.definitions import load_definitions
    from mess_assets.defs import sensors

    defs = load_definitions({"store": fresh.store, "encoder": fresh.encoder})
    scan = defs.resolve_job_def("scan").execute_in_process(instance=fresh.instance)
    assert scan.success
    resources = {"store": fresh.store, "encoder": fresh.encoder}

    def evaluate_pending(cursor):
        with dg.build_sensor_context(
            instance=fresh.instance, resources=resources, cursor=cursor
        ) as context:
            return sensors.pending_tracks(context)

    first = evaluate_pending(None)
    requests = first.run_requests
    assert "was processed" in evaluate_pending(first.cursor).skip_message
    assert [(one.job_name, one.tags[RANGE_START], one.tags[RANGE_END]) for one in requests] == [
        (job, "demo_01_free", "demo_06_steady") for job in ("embed", "describe")
    ]
    assert "batches of the last scan" in _rebuild(fresh, _since()).skip_message
    for one in requests:
        run = defs.resolve_job_def(one.job_name).execute_in_process(
            instance=fresh.instance, tags=one.tags
        )
        assert run.success
    assert len(_rebuild(fresh, _since()).run_requests) == 1
    assert defs.resolve_job_def("tables").execute_in_process(instance=fresh.instance).success


def test_contiguous_bridges_small_gaps_only():
    order = [f"k{index:03d}" for index in range(100)]
    assert contiguous(["k050", "k001", "k002", "k010"], order) == [
        ["k001", "k002", "k010"],
        ["k050"],
    ]
    assert contiguous([], order) == []


def test_answers_are_evaluated_once_after_the_listening_session(tmp_path):
    from mess_assets.defs.resources import EncoderResource, StoreResource

    store = StoreResource(data_root=str(tmp_path))
    encoder = EncoderResource(name="untrained:tiny")

    def evaluate(cursor=None):
        with dg.DagsterInstance.ephemeral() as instance:
            context = dg.build_sensor_context(
                instance=instance, resources={"store": store, "encoder": encoder}, cursor=cursor
            )
            return new_judgements(context)

    assert "no answers" in evaluate().skip_message
    folder = store.layout.judgements
    folder.mkdir(parents=True)
    answers = Path(str(folder)) / "abcdefgh0123.jsonl"
    answers.write_text("{}\n")
    assert "a listening session is in progress" in evaluate().skip_message
    os.utime(answers, (0, 0))
    assert "no system has been evaluated" in evaluate().skip_message
    scores = encoder.layout(store).evaluation / "retrieval-work.parquet"
    scores.parent.mkdir(parents=True)
    scores.write_bytes(b"")
    found = evaluate()
    (request,) = found.run_requests
    assert {key.to_user_string() for key in request.asset_selection} == {
        "human_evaluation",
        "leaderboard",
    }
    assert "no answers since" in evaluate(found.cursor).skip_message
    answers.write_text("{}\n{}\n")
    os.utime(answers, (0, 0))
    assert evaluate(found.cursor).run_requests[0].run_key != request.run_key
