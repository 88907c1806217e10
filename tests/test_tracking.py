"""Tracking logs its input, and never raises."""

import logging

import numpy as np
import pytest

from mess_core.tracking import default_tracking_uri, log_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Folder of one store for all tests, since creating it takes seconds."""
    return tmp_path_factory.mktemp("mlflow")


def test_a_run_can_be_read_back(folder):
    from mlflow import MlflowClient

    uri = f"sqlite:///{folder}/mlflow.db"
    _, run_id = log_run(
        "layer_discovery",
        uri=uri,
        name="a run",
        params={"folds": 5},
        metrics={"r2": 0.5, "missing": float("nan"), "many": np.float32(2.0)},
        artifacts={"heatmap.png": b"png"},
        tags={"dagster_run_id": "x"},
    )
    run = MlflowClient(uri).get_run(run_id)
    assert run.data.params == {"folds": "5"}
    assert run.data.metrics == {"r2": 0.5, "many": 2.0}
    assert run.data.tags["dagster_run_id"] == "x"
    assert run.info.status == "FINISHED"
    assert list((folder / "mlartifacts").rglob("heatmap.png"))


def test_a_whole_discovery_is_one_call(folder, monkeypatch):
    from mlflow import MlflowClient

    calls = []
    plain = MlflowClient.log_batch

    def counted(self, *args, **kwargs):
        calls.append(len(args[1]))
        return plain(self, *args, **kwargs)

    monkeypatch.setattr(MlflowClient, "log_batch", counted)
    metrics = {f"r2.target{index % 66}.layer_{index // 66:02d}": 0.1 for index in range(13 * 66)}
    settings = {f"setting{index}": index for index in range(20)}
    uri = f"sqlite:///{folder}/mlflow.db"
    _, run_id = log_run("layer_discovery", uri=uri, name="n", params=settings, metrics=metrics)
    assert calls == [13 * 66]
    run = MlflowClient(uri).get_run(run_id)
    assert len(run.data.metrics) == 13 * 66
    assert len(run.data.params) == 20
    log_run(
        "e", uri=uri, name="n", params=settings, metrics=dict.fromkeys(map(str, range(1500)), 1)
    )
    assert sum(calls[1:]) == 1500


def test_interrupted_run_is_marked_failed(folder, monkeypatch):
    from mlflow import MlflowClient

    def broken(*_args, **_kwargs):
        raise OSError("no space left")

    monkeypatch.setattr(MlflowClient, "log_artifact", broken)
    uri = f"sqlite:///{folder}/mlflow.db"
    assert log_run("broken", uri=uri, name="n", params={}, metrics={}, artifacts={"a": b""}) is None
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("broken")
    assert client.search_runs([experiment.experiment_id])[0].info.status == "FAILED"


def test_passwords_are_never_logged(caplog, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with caplog.at_level(logging.WARNING):
        for uri in ("http://me:s3cret@127.0.0.1:9/", "postgresql://me:s3cret@127.0.0.1:9/db"):
            assert log_run("e", uri=uri, name="n", params={}, metrics={}) is None
    assert "could not log" in caplog.text
    assert "s3cret" not in caplog.text


@pytest.mark.parametrize("name", ["100%41", "why?", "a#b"])
def test_a_root_that_no_database_uri_can_name_is_not_tracked(tmp_path, name, monkeypatch, caplog):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert default_tracking_uri(tmp_path / name) == "off"
    assert "MLFLOW_TRACKING_URI" in caplog.text
    assert default_tracking_uri(tmp_path / "Müller & Söhne").startswith("sqlite:///")


def test_errors_are_logged_as_warnings(tmp_path, caplog):
    (tmp_path / "file").write_text("not a folder")
    with caplog.at_level(logging.WARNING):
        for uri in (f"sqlite:///{tmp_path}/file/mlflow.db", "no-such-scheme://x"):
            assert log_run("e", uri=uri, name="n", params={}, metrics={}) is None
    assert len([one for one in caplog.records if "could not log" in one.message]) == 2
    assert log_run("e", uri="off", name="n", params={}, metrics={}) is None


def test_default_store_is_in_the_data_root(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert default_tracking_uri("/data") == "sqlite:////data/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://server")
    assert default_tracking_uri("/data") == "http://server"
