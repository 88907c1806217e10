"""Optional MLflow tracking, whose errors never stop a run.

The store is ``MLFLOW_TRACKING_URI``, or a SQLite file under the data root; ``off``
switches tracking off. Everything is logged through one client with batch calls.
"""

from __future__ import annotations

import logging
import os
import re
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["LoggedRun", "default_tracking_uri", "log_run", "without_password"]

_log = logging.getLogger("mess")
_BATCH = 1000
_PARAM_LENGTH = 500
_SECRET = re.compile(r"(?<=://)([^\s/@:]*):[^\s/]*@")
_MISREAD = frozenset("%?#")


class LoggedRun(NamedTuple):
    """Ids of an MLflow run, as in the URL of its page."""

    experiment_id: str
    run_id: str


def default_tracking_uri(data_root: Any) -> str:
    """Return ``MLFLOW_TRACKING_URI``, or SQLite in ``<data root>/mlflow.db``.

    An object store cannot hold a database: there, tracking is "off" without the variable. So it is
    in a folder whose name a database URI cannot contain.
    """
    if uri := os.environ.get("MLFLOW_TRACKING_URI"):
        return uri
    if "://" in str(data_root):
        return "off"
    if odd := sorted(_MISREAD & set(str(data_root))):
        _log.warning(
            "MLflow is off: the data root %s has %s in its name, which a database URI cannot have; "
            "set MLFLOW_TRACKING_URI to track runs",
            data_root,
            " and ".join(odd),
        )
        return "off"
    return f"sqlite:///{data_root}/mlflow.db"


def log_run(
    experiment: str,
    *,
    uri: str,
    name: str,
    params: Mapping[str, Any],
    metrics: Mapping[str, float],
    artifacts: Mapping[str, bytes] | None = None,
    tags: Mapping[str, str] | None = None,
    series: Sequence[Mapping[str, float]] = (),
) -> LoggedRun | None:
    """Log one finished run.

    Parameters
    ----------
    experiment : str
        Created if it does not exist.
    uri : str
        MLflow tracking URI, or "off".
    name : str
        Run name.
    params, metrics, tags : mapping
        Metrics that are not finite are left out.
    artifacts : mapping of file name to bytes, optional
    series : sequence of mapping
        Metrics in the course of training, each with its ``step``.

    Returns
    -------
    LoggedRun or None
        None if tracking is off or failed, which is logged as a warning.
    """
    if uri == "off":
        return None
    try:
        timed = [(0, metrics), *((int(one["step"]), one) for one in series)]
        return _log_run(experiment, uri, name, params, timed, artifacts or {}, tags or {})
    except Exception as error:  # an error of the tracking server must not lose a result
        _log.warning(
            "MLflow at %s could not log %r: %s: %s",
            without_password(uri),
            name,
            type(error).__name__,
            without_password(str(error)),
        )
        return None


def without_password(text: str) -> str:
    """Return a URI, or a text that contains some, without passwords.

    Examples
    --------
    >>> without_password("cannot reach https://me:p@ss@host:5000/x twice")
    'cannot reach https://me:***@host:5000/x twice'
    """
    return _SECRET.sub(r"\1:***@", text)


def _log_run(
    experiment: str,
    uri: str,
    name: str,
    params: Mapping[str, Any],
    metrics: Sequence[tuple[int, Mapping[str, float]]],
    artifacts: Mapping[str, bytes],
    tags: Mapping[str, str],
) -> LoggedRun:
    import math

    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param, RunTag

    location = None
    if uri.startswith("sqlite:///"):
        database = Path(uri.removeprefix("sqlite:///"))
        database.parent.mkdir(parents=True, exist_ok=True)
        location = (database.parent / "mlartifacts" / experiment).absolute().as_uri()
    client = MlflowClient(tracking_uri=uri)
    found = client.get_experiment_by_name(experiment)
    experiment_id = (
        found.experiment_id
        if found is not None
        else client.create_experiment(experiment, artifact_location=location)
    )
    run = client.create_run(experiment_id, run_name=name, tags=dict(tags))
    run_id = str(run.info.run_id)
    now = int(time.time() * 1000)
    entries = [
        Metric(key, float(value), now, step)
        for step, values in metrics
        for key, value in values.items()
        if key != "step" and math.isfinite(float(value))
    ]
    settings = [Param(key, str(value)[:_PARAM_LENGTH]) for key, value in params.items()][:100]
    # One call takes at most 1,000 entries of all kinds.
    room = _BATCH - len(settings) - 1
    try:
        client.log_batch(run_id, entries[:room], settings, [RunTag("mess", "1")])
        for first in range(room, len(entries), _BATCH):
            client.log_batch(run_id, entries[first : first + _BATCH])
        with tempfile.TemporaryDirectory() as folder:
            for file_name, content in artifacts.items():
                path = Path(folder) / file_name
                path.write_bytes(content)
                client.log_artifact(run_id, str(path))
    except Exception:
        client.set_terminated(run_id, "FAILED")
        raise
    client.set_terminated(run_id)
    return LoggedRun(str(experiment_id), run_id)
