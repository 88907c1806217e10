"""The job that trains the small encoder."""

import dagster as dg
import numpy as np

from mess_assets.definitions import load_definitions
from mess_assets.defs.resources import StoreResource, TrackingResource
from mess_core.datasets.demo import write_midi
from mess_core.datasets.synthesis import Notes
from mess_core.encoders import load_encoder


def _job(tmp_path, uri="off"):
    resources = {
        "store": StoreResource(data_root=str(tmp_path / "data")),
        "tracking": TrackingResource(uri=uri),
    }
    return load_definitions(resources).resolve_job_def("train_encoder")


def test_without_a_folder_the_job_trains_nothing_and_says_so(tmp_path, caplog):
    result = _job(tmp_path).execute_in_process()
    assert result.success
    assert not result.asset_materializations_for_node("trained_encoder")


def test_the_job_trains_an_encoder_and_logs_its_course(tmp_path):
    from mlflow import MlflowClient

    for work in range(3):
        rng = np.random.default_rng(work)
        onset = np.cumsum(rng.uniform(0.15, 0.3, 120))
        pitch = 40 + np.cumsum(rng.integers(-5, 6, 120)) % 40
        notes = Notes(onset, onset + 0.1, pitch, rng.integers(30, 100, 120), np.empty((0, 2)))
        (tmp_path / "midi").mkdir(exist_ok=True)
        write_midi(notes, tmp_path / "midi" / f"work{work}__a.mid")
    uri, out = f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "mine"
    config = {
        "midi": str(tmp_path / "midi"),
        "out": str(out),
        "excerpts": 1,
        "steps": 2,
        "check_every": 1,
        "workers": 1,
        "precision": "float32",
    }
    result = _job(tmp_path, uri).execute_in_process(
        run_config={"ops": {"trained_encoder": {"config": config}}}
    )
    (made,) = result.asset_materializations_for_node("trained_encoder")
    assert made.metadata["works"] == dg.IntMetadataValue(3)
    (checked,) = result.get_asset_check_evaluations()
    assert checked.passed
    assert load_encoder(out, device="cpu").name.startswith("mine@")
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("pretraining")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.data.params["steps"] == "2"
    assert run.data.metrics["works"] == 3
    assert [one.step for one in client.get_metric_history(run.info.run_id, "onset_f")] == [1, 2]
