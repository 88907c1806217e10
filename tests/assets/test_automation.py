"""The automation switch, automation conditions, lost workers, executors and links."""

import datetime
import json
import multiprocessing
import os
import socket
import subprocess
import sys
import uuid
from pathlib import Path

import dagster as dg
import pytest

from mess_assets import executors, links, op_tags
from mess_assets.defs import automation
from mess_assets.defs.sensors import keys_in_active_runs
from mess_assets.partitions import range_tags
from mess_assets.workers import WORKER_TAG, lost_runs, this_worker
from mess_core.tracking import without_password

ROOT = Path(__file__).resolve().parents[2]


def test_one_switch_starts_everything():
    script = (
        "from mess_assets.definitions import defs\n"
        "from dagster import DefaultSensorStatus as S, DefaultScheduleStatus as T\n"
        "assert {one.default_status for one in defs.sensors} == {S.RUNNING}, defs.sensors\n"
        "assert {one.default_status for one in defs.schedules} == {T.RUNNING}\n"
        "assert defs.schedules[0].execution_timezone == 'Europe/Vienna'\n"
    )
    environment = {**os.environ, "MESS_AUTOMATION": "on", "MESS_TIMEZONE": "Europe/Vienna"}
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT, env=environment)


def test_invalid_settings_are_rejected(monkeypatch):
    monkeypatch.setenv("MESS_AUTOMATION", "yes")
    with pytest.raises(ValueError, match="MESS_AUTOMATION"):
        automation.switched_on()
    monkeypatch.setenv("MESS_EXECUTOR", "slurm")
    with pytest.raises(ValueError, match="in_process, multiprocess, k8s, ray"):
        executors.configured_executor()


def test_the_report_is_not_requested_before_its_upstream_table():
    from mess_assets.definitions import load_definitions

    selection = dg.AssetSelection.assets("targets_report")
    with dg.DagsterInstance.ephemeral() as instance:
        first = dg.evaluate_automation_conditions(
            load_definitions(), instance, asset_selection=selection
        )
    assert first.total_requested == 0


def _at(day, hour=5, minute=1):
    return datetime.datetime(2026, 3, day, hour, minute, tzinfo=datetime.UTC)


def test_the_evaluation_runs_at_night_and_only_if_something_has_changed():
    version = ["a"]

    @dg.asset
    def source():
        return dg.MaterializeResult(data_version=dg.DataVersion(version[0]))

    @dg.asset(deps=[source], automation_condition=automation.NIGHTLY)
    def middle():
        return dg.MaterializeResult(data_version=dg.DataVersion(f"middle {version[0]}"))

    @dg.asset(deps=[middle], automation_condition=automation.NIGHTLY)
    def last():
        return dg.MaterializeResult(data_version=dg.DataVersion(f"last {version[0]}"))

    defs = dg.Definitions([source, middle, last])
    cursor = None

    with dg.DagsterInstance.ephemeral() as instance:

        def requested(now):
            nonlocal cursor
            found = dg.evaluate_automation_conditions(
                defs, instance, evaluation_time=now, cursor=cursor
            )
            cursor = found.cursor
            return found.total_requested

        def materialise(*assets):
            dg.materialize([source, middle, last], selection=[*assets], instance=instance)

        materialise(source)
        assert requested(_at(1, 12)) == 0  # not by day
        assert requested(_at(2)) == 2  # both are missing: one run materialises both
        materialise(middle, last)
        assert requested(_at(2, 6)) == 0
        assert requested(_at(3)) == 0
        materialise(source)  # materialised again, with the same data version
        assert requested(_at(3, 12)) == 0
        assert requested(_at(4)) == 0
        version[0] = "b"
        materialise(source)
        assert requested(_at(4, 12)) == 0
        assert requested(_at(5)) == 2
        materialise(middle, last)
        assert requested(_at(6)) == 0


@pytest.mark.parametrize(("gpus", "requested"), [("0", False), ("2", True)])
def test_steps_request_gpus_of_a_cluster_if_there_are_any(monkeypatch, gpus, requested):
    monkeypatch.setenv("MESS_STEP_GPUS", gpus)
    tags = op_tags.gpu_tags()
    assert ("dagster-k8s/config" in tags) is requested
    assert tags["dagster-ray/config"]["num_gpus"] == int(gpus)


def _run(instance, status="STARTED", job="embed", **tags):
    run_id = str(uuid.uuid4())
    worker = tags.pop("worker", None)
    if worker is not None:
        tags[WORKER_TAG] = json.dumps({"run": run_id, "alone": True, **this_worker(), **worker})
    run = dg.DagsterRun(job_name=job, run_id=run_id, status=dg.DagsterRunStatus[status], tags=tags)
    instance.add_run(run)
    return run


def test_only_runs_whose_process_is_gone_are_lost():
    process = multiprocessing.get_context("fork").Process(target=int)
    process.start()
    process.join()
    with dg.DagsterInstance.ephemeral() as instance:
        dead = _run(instance, worker={"pid": process.pid})
        reused = _run(instance, worker={"began": "1"})
        _run(instance, worker={})  # this very process
        _run(instance, worker={"pid": process.pid, "host": "elsewhere"})
        _run(instance, worker={"pid": process.pid, "run": "its parent's"})
        _run(instance, worker={"pid": process.pid, "alone": False})
        _run(instance, "SUCCESS", worker={"pid": process.pid})
        _run(instance)
        assert set(lost_runs(instance)) == {dead.run_id, reused.run_id}
        assert instance.get_run_by_id(dead.run_id).status == dg.DagsterRunStatus.FAILURE
        assert lost_runs(instance) == []
    assert this_worker() == this_worker()
    assert this_worker()["host"] == socket.gethostname()


def test_tracks_in_queued_and_running_runs_are_active():
    order = [f"k{index}" for index in range(9)]
    with dg.DagsterInstance.ephemeral() as instance:
        _run(instance, "NOT_STARTED", **range_tags(order[1:3]))
        _run(instance, "STARTED", **range_tags(order[6:7]))
        _run(instance, "SUCCESS", **range_tags(order[7:9]))
        _run(instance, "STARTED", job="describe", **range_tags(order[0:9]))
        assert keys_in_active_runs(instance, "embed", order) == {"k1", "k2", "k6"}


def test_links_use_the_configured_addresses(monkeypatch):
    assert links.dagster_run_url("ab") == "http://127.0.0.1:3000/runs/ab"
    monkeypatch.setenv("MESS_MLFLOW_URL", "https://mlflow.example.org/")
    assert links.mlflow_run_url("3", "ab") == "https://mlflow.example.org/#/experiments/3/runs/ab"
    assert links.listen_url("a b/ü?") == "http://127.0.0.1:8765/?track=a%20b%2F%C3%BC%3F"


def test_passwords_are_removed_from_uris():
    shown = without_password("postgresql://me:secret@host:5432/db")
    assert shown == "postgresql://me:***@host:5432/db"
    assert without_password("sqlite:////data/mlflow.db") == "sqlite:////data/mlflow.db"


def test_runs_queued_for_days_are_active(monkeypatch):
    """A run queued for days is not lost, but a run without updates for days is."""
    from mess_assets.defs import sensors

    monkeypatch.setattr(sensors, "_LONGEST_RUN", datetime.timedelta(0))
    order = ["a", "b", "c"]
    with dg.DagsterInstance.ephemeral() as instance:
        _run(instance, "NOT_STARTED", **range_tags(order[:1]))
        _run(instance, "STARTED", **range_tags(order[1:]))
        assert keys_in_active_runs(instance, "embed", order) == {"a"}
