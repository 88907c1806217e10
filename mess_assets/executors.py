"""The executor of runs, chosen by ``MESS_EXECUTOR``; assets do not depend on it."""

import os

import dagster as dg

EXECUTORS = ("in_process", "multiprocess", "k8s", "ray")


def configured_executor() -> dg.ExecutorDefinition:
    """Return the executor that ``MESS_EXECUTOR`` names.

    ``in_process`` (default) runs all steps in the process of the run, since a process per step
    costs seconds and loads the model again. ``multiprocess`` uses several cores of one machine,
    ``k8s`` starts a pod per step, ``ray`` a task per step.

    Raises
    ------
    ValueError
        If there is no such executor, or its package is not installed.
    """
    name = os.environ.get("MESS_EXECUTOR") or "in_process"
    if name == "in_process":
        return dg.in_process_executor
    if name == "multiprocess":
        return dg.multiprocess_executor
    if name not in EXECUTORS:
        raise ValueError(f"MESS_EXECUTOR must be one of {', '.join(EXECUTORS)}, not {name!r}")
    try:
        if name == "k8s":
            from dagster_k8s import k8s_job_executor

            return k8s_job_executor
        from dagster_ray import ray_executor

        # Only settings are sent with a step. Secrets stay in the environment of the nodes, since
        # Ray shows to everybody what is sent.
        settings = [name for name in os.environ if name.startswith("MESS_")]
        return ray_executor.configured({"ray": {"env_vars": settings, "num_cpus": 1}}, name="ray")
    except ImportError as error:
        raise ValueError(
            f"MESS_EXECUTOR={name} needs pip install 'mess[{name}]' ({error})"
        ) from error
