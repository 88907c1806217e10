"""Tag runs with their process, and report runs whose process has died.

A run whose process was killed together with the server that started it stays "started" in the
event log for ever, since no process is left to report its end. The first step of each run
therefore tags it with host, process id and start time of the process. `lost_runs` reports runs
whose process is gone from this host as failed, and Dagster then retries them. Every run is tagged,
since every asset uses the store (`StoreResource.setup_for_execution`).
"""

import json
import os
import socket

import dagster as dg
import psutil

from mess_assets.encoder_runs import ENCODER_TAG
from mess_assets.executors import configured_executor

WORKER_TAG = ".dagster/mess-worker"
"""Hidden in the UI by its prefix, since only the sensor needs it."""


_HIDDEN = "unknown"


def sign_run(instance: dg.DagsterInstance, run_id: str) -> None:
    """Tag a run with the process that executes it."""
    # With a process per step, processes end before the run, and the executor monitors them.
    alone = configured_executor() is dg.in_process_executor
    worker = {"run": run_id, "alone": alone, **this_worker()}
    instance.add_run_tags(run_id, {WORKER_TAG: json.dumps(worker)})


def tag_encoder(context: dg.AssetExecutionContext, encoder: str | None) -> None:
    """Tag this run with its encoder."""
    if encoder is not None:
        context.instance.add_run_tags(context.run.run_id, {ENCODER_TAG: encoder})


def lost_runs(instance: dg.DagsterInstance) -> list[str]:
    """Report runs of this host whose process is gone as failed, and return their ids."""
    started = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
    lost = []
    for run in started:
        worker = json.loads(run.tags.get(WORKER_TAG, "{}"))
        # A retry inherits the tags of the run that it repeats.
        if worker.get("run") == run.run_id and worker["alone"] and _gone(worker):
            instance.report_run_failed(run, "Its process was killed, or the machine was restarted")
            lost.append(run.run_id)
    return lost


def this_worker() -> dict[str, str | int]:
    """Return host, process id and start time of this process."""
    pid = os.getpid()
    return {"host": socket.gethostname(), "pid": pid, "began": _began(pid)}


def _gone(worker: dict[str, str | int]) -> bool:
    """Return whether a worker of this host is gone; False for workers of other hosts."""
    if worker["host"] != socket.gethostname():
        return False
    began = _began(int(worker["pid"]))
    return began not in {worker["began"], _HIDDEN}


def _began(pid: int) -> str:
    """Return when a process began, in s since 1970; empty if it has ended."""
    try:
        process = psutil.Process(pid)
        return "" if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.2f}"
    except psutil.AccessDenied:
        return _HIDDEN
    except psutil.NoSuchProcess:
        # Where /proc hides other users' processes, the kernel still reports that one exists.
        return _HIDDEN if psutil.pid_exists(pid) else ""
