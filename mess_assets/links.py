"""Links between the pages of Dagster, MLflow and the listening page.

The addresses are those that a browser uses, so behind a proxy they are the proxy's names:
``MESS_DAGSTER_URL``, ``MESS_MLFLOW_URL``, ``MESS_LISTEN_URL``.
"""

import os
from urllib.parse import quote

_DEFAULTS = {
    "MESS_DAGSTER_URL": "http://127.0.0.1:3000",
    "MESS_MLFLOW_URL": "http://127.0.0.1:5000",
    "MESS_LISTEN_URL": "http://127.0.0.1:8765",
}


def dagster_run_url(run_id: str) -> str:
    """Return the URL of a Dagster run."""
    return f"{_base('MESS_DAGSTER_URL')}/runs/{quote(run_id)}"


def mlflow_run_url(experiment_id: str, run_id: str) -> str:
    """Return the URL of an MLflow run."""
    return f"{_base('MESS_MLFLOW_URL')}/#/experiments/{quote(experiment_id)}/runs/{quote(run_id)}"


def listen_url(track_id: str | None = None) -> str:
    """Return the URL of the listening page, with a track selected if given."""
    chosen = "" if track_id is None else f"?track={quote(track_id, safe='')}"
    return f"{_base('MESS_LISTEN_URL')}/{chosen}"


def _base(name: str) -> str:
    return (os.environ.get(name) or _DEFAULTS[name]).rstrip("/")
