"""Owners, pools, op tags and the retry policy that several assets share."""

import os
from typing import Any

import dagster as dg

from mess_assets.executors import configured_executor

OWNERS = ["team:mess"]

GPU_POOL = "gpu"
"""Pool with one slot per GPU, so that two runs never load a model on one GPU at once."""

CPU_POOL = "cpu"
"""Separate pool, so that CPU stages run beside GPU stages."""

DEVICE_TAG = "mess/device"
"""Tag of runs and steps that the limits of the run queue refer to."""


def gpu_tags() -> dict[str, Any]:
    """Return the op tags of a step that uses a GPU.

    ``MESS_STEP_GPUS`` is the number of GPUs that a cluster reserves for the step (default 1). Set
    it to 0 on a cluster without GPUs, where the step would wait for ever. The executors of
    Kubernetes and Ray each read their own entry; other executors ignore both.
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
    """Return a policy that retries a step whose process was killed, or None.

    It is needed where the executor starts a process per step. Failed tracks end the step with a
    failure that forbids retries. A run with one process for all its steps is retried as a whole
    by the daemon.
    """
    if configured_executor() is dg.in_process_executor:
        return None
    return dg.RetryPolicy(max_retries=2, delay=5)
