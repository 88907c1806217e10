"""Which process works on a run, so that one that has died is noticed by the others.

A run whose process was killed together with the server that started it stays "started" for
ever in the event log: nobody is left to report its end. The first step of each run therefore
tags it with host, process id and the process's start time, and `lost_runs` reports those that are
gone from this host; Dagster's own retry then takes the run up again.
"""

import json
import os
import socket

import dagster as dg
import psutil

from mess_assets.executors import configured_executor

WORKER_TAG = ".dagster/mess-worker"
"""Hidden in the UI, by its prefix: it is for the sensor, and would fill the list of runs."""


_HIDDEN = "unknown"


def sign(context: dg.AssetExecutionContext) -> None:
    """Tag this run with the process that works on it."""
    run_id = context.run.run_id
    # A step in a process of its own ends before its run, and is its executor's to watch.
    alone = configured_executor() is dg.in_process_executor
    worker = {"run": run_id, "alone": alone, **this_worker()}
    context.instance.add_run_tags(run_id, {WORKER_TAG: json.dumps(worker)})


def lost_runs(instance: dg.DagsterInstance) -> list[str]:
    """Report runs of this host whose process is gone as failed; returns their ids."""
    started = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
    lost = []
    for run in started:
        worker = json.loads(run.tags.get(WORKER_TAG, "{}"))
        # A retry is born with its parent's tags.
        if worker.get("run") == run.run_id and worker["alone"] and _gone(worker):
            instance.report_run_failed(run, "Its process is gone: killed, or the machine restarted")
            lost.append(run.run_id)
    return lost


def this_worker() -> dict[str, str | int]:
    """Host, process id and start of this process."""
    pid = os.getpid()
    return {"host": socket.gethostname(), "pid": pid, "began": _began(pid)}


def _gone(worker: dict[str, str | int]) -> bool:
    """Whether a worker of this host is gone; of another host this process knows nothing."""
    if worker["host"] != socket.gethostname():
        return False
    began = _began(int(worker["pid"]))
    return began not in {worker["began"], _HIDDEN}


def _began(pid: int) -> str:
    """When a process began, in s since 1970; empty if there is none any more."""
    try:
        process = psutil.Process(pid)
        return "" if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.2f}"
    except psutil.AccessDenied:
        return _HIDDEN
    except psutil.NoSuchProcess:
        # Where /proc hides other users' processes, the kernel still tells that there is one.
        return _HIDDEN if psutil.pid_exists(pid) else ""
