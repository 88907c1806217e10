"""Tags and names that several assets share, each with its reason."""

import os
from typing import Any

import dagster as dg

from mess_assets.executors import configured_executor

OWNERS = ["team:mess"]

GPU_POOL = "gpu"
"""Pool with one slot per GPU: two runs never load a model on one GPU at once."""

CPU_POOL = "cpu"
"""Pool of its own, so that CPU stages run beside GPU stages."""

DEVICE_TAG = "mess/device"
"""On runs and steps: limits of the run queue go by it."""


def gpu_tags() -> dict[str, Any]:
    """Op tags of a step that uses a GPU.

    ``MESS_STEP_GPUS`` says how many a cluster shall reserve for it (default 1; 0 where there
    are none: a scheduler waits for ever for what it does not have). The executors of Kubernetes
    and Ray read their own entry; without them both only describe.
    """
    gpus = int(os.environ.get("MESS_STEP_GPUS") or "1")
    tags: dict[str, Any] = {DEVICE_TAG: "gpu"}
    if gpus:
        limits = {"nvidia.com/gpu": str(gpus)}
        tags["dagster-k8s/config"] = {"container_config": {"resources": {"limits": limits}}}
    tags["dagster-ray/config"] = {"num_cpus": 1, "num_gpus": gpus}
    return tags


CPU_TAGS = {DEVICE_TAG: "cpu"}


def worker_lost() -> dg.RetryPolicy | None:
    """Do a step again whose process was killed, where an executor starts one for each step.

    Tracks that fail end the step with a failure that forbids retries. A run that has one process
    for all its steps is retried as a whole, by the daemon.
    """
    if configured_executor() is dg.in_process_executor:
        return None
    return dg.RetryPolicy(max_retries=2, delay=5)
