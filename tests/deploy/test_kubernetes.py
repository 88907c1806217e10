"""The Helm values: forbidden content, and the manifests that Dagster's chart renders from them.

Rendering needs a copy of the chart, named by MESS_DAGSTER_CHART, and `helm-python-sdk`; the last
section of deploy/kubernetes/README.md installs both.
"""

import re
from pathlib import Path

import pytest
import yaml

KUBERNETES = Path(__file__).parents[2] / "deploy" / "kubernetes"
VALUES = KUBERNETES / "values.yaml"
EXTERNAL = KUBERNETES / "values-external-postgres.yaml"
GPU = "nvidia.com/gpu"


def load(*paths: Path) -> dict:
    """Return values files merged as Helm merges several --values."""

    def merge(onto: dict, other: dict) -> dict:
        for key, value in other.items():
            both = isinstance(value, dict) and isinstance(onto.get(key), dict)
            onto[key] = merge(onto[key], value) if both else value
        return onto

    values: dict = {}
    for path in paths:
        merge(values, yaml.safe_load(path.read_text()))
    return values


def leaves(node, path=()):
    """Yield every (path, value) that is neither a mapping nor a list."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from leaves(value, (*path, str(key)))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from leaves(value, (*path, str(index)))
    else:
        yield path, node


@pytest.fixture(scope="module")
def values() -> dict:
    return load(VALUES)


def test_telemetry_and_ingress_are_disabled(values):
    assert values["telemetry"] == {"enabled": False}
    assert values["ingress"] == {"enabled": False}
    assert values["dagsterWebserver"]["service"]["type"] == "ClusterIP"
    assert values["dagsterWebserver"]["enableReadOnly"] is True


@pytest.mark.parametrize("path", [VALUES, EXTERNAL], ids=lambda path: path.stem)
def test_values_contain_no_secret(path):
    secret = re.compile(r"password$|secret_?access|access_?key|token$", re.IGNORECASE)
    found = [p for p, value in leaves(load(path)) if secret.search(p[-1]) and value]
    assert not found


def test_images_have_a_fixed_tag(values):
    images = [
        values["dagsterWebserver"]["image"],
        values["dagsterDaemon"]["image"],
        *(one["image"] for one in values["dagster-user-deployments"]["deployments"]),
    ]
    assert all(re.fullmatch(r"\d+(\.\d+)+", str(image["tag"])) for image in images)


def test_the_dagster_image_has_the_pinned_version(values):
    constraints = (KUBERNETES.parents[1] / "constraints.txt").read_text()
    pinned = re.search(r"^dagster==(\S+)", constraints, re.MULTILINE).group(1)
    assert values["dagsterDaemon"]["image"]["tag"] == pinned
    assert f"--version {pinned}" in (KUBERNETES / "README.md").read_text()


def test_only_op_tags_request_a_gpu():
    assert not [path for path, _ in leaves(load(VALUES)) if GPU in path]


def test_only_crashed_workers_are_retried(values):
    daemon = values["dagsterDaemon"]
    assert daemon["runRetries"]["retryOnAssetOrOpFailure"] is False
    assert daemon["runMonitoring"]["enabled"] is True
    # Otherwise the retry of a crashed run waits for ever for the slot of the crashed run.
    assert daemon["runMonitoring"]["freeSlotsAfterRunEndSeconds"] > 0
    assert values["concurrency"]["pools"] == {"granularity": "op", "defaultLimit": 1}


def test_run_pods_and_code_server_read_the_same_settings(values):
    server = values["dagster-user-deployments"]["deployments"][0]
    runs = values["runLauncher"]["config"]["k8sRunLauncher"]
    for key in ("envConfigMaps", "envSecrets", "volumes", "volumeMounts"):
        assert server[key] == runs[key], key
    config = {one["metadata"]["name"]: one for one in values["extraManifests"]}["mess-env"]
    assert config["data"]["MESS_EXECUTOR"] == "k8s"
    assert all(isinstance(value, str) for value in config["data"].values())
