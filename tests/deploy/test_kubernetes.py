"""The Helm values: what they may not contain, and what Dagster's chart makes of them.

Rendering needs a copy of the chart, named by MESS_DAGSTER_CHART, and `helm-python-sdk`; the last
section of deploy/kubernetes/README.md gets both.
"""

import json
import os
import re
from pathlib import Path

import pytest
import yaml

KUBERNETES = Path(__file__).parents[2] / "deploy" / "kubernetes"
VALUES = KUBERNETES / "values.yaml"
EXTERNAL = KUBERNETES / "values-external-postgres.yaml"
GPU = "nvidia.com/gpu"


def load(*paths: Path) -> dict:
    """Merged as Helm merges several --values."""

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
    """Every (path, value) that is neither a mapping nor a list."""
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


def test_nothing_is_reported_or_exposed(values):
    assert values["telemetry"] == {"enabled": False}
    assert values["ingress"] == {"enabled": False}
    assert values["dagsterWebserver"]["service"]["type"] == "ClusterIP"
    assert values["dagsterWebserver"]["enableReadOnly"] is True


@pytest.mark.parametrize("path", [VALUES, EXTERNAL], ids=lambda path: path.stem)
def test_no_secret_stands_in_the_values(path):
    secret = re.compile(r"password$|secret_?access|access_?key|token$", re.IGNORECASE)
    found = [p for p, value in leaves(load(path)) if secret.search(p[-1]) and value]
    assert not found


def test_images_have_a_tag_that_stays(values):
    images = [
        values["dagsterWebserver"]["image"],
        values["dagsterDaemon"]["image"],
        *(one["image"] for one in values["dagster-user-deployments"]["deployments"]),
    ]
    assert all(re.fullmatch(r"\d+(\.\d+)+", str(image["tag"])) for image in images)


def test_dagsters_image_is_of_the_pinned_version(values):
    constraints = (KUBERNETES.parents[1] / "constraints.txt").read_text()
    pinned = re.search(r"^dagster==(\S+)", constraints, re.MULTILINE).group(1)
    assert values["dagsterDaemon"]["image"]["tag"] == pinned
    assert f"--version {pinned}" in (KUBERNETES / "README.md").read_text()


def test_only_op_tags_ask_for_a_gpu():
    assert not [path for path, _ in leaves(load(VALUES)) if GPU in path]


def test_only_crashed_workers_are_tried_again(values):
    daemon = values["dagsterDaemon"]
    assert daemon["runRetries"]["retryOnAssetOrOpFailure"] is False
    assert daemon["runMonitoring"]["enabled"] is True
    # Else the retry of a crashed run waits for ever for the slot that the crashed one held.
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


# --- rendered -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def render():
    """Values files to (every manifest, the chart's schema applied)."""
    folder = os.environ.get("MESS_DAGSTER_CHART")
    if not folder:
        pytest.skip("needs MESS_DAGSTER_CHART, the folder of Dagster's chart")
    helm = pytest.importorskip("helm_python", reason="needs helm-python-sdk to render the chart")

    def rendered(*paths: Path) -> list[dict]:
        values = load(*paths)
        with helm.Chart.load(folder) as chart:
            chart.validate_schema(values)
            texts = chart.render(values, name="dagster", namespace="mess")
        manifests = (
            yaml.safe_load_all(text) for name, text in texts.items() if name.endswith(".yaml")
        )
        return [one for several in manifests for one in several if one]

    return rendered


@pytest.fixture(scope="module")
def manifests(render) -> list[dict]:
    return render(VALUES)


def the(manifests: list[dict], kind: str, name: str) -> dict:
    [found] = [m for m in manifests if m["kind"] == kind and m["metadata"]["name"] == name]
    return found


@pytest.mark.parametrize("extra", [(), (EXTERNAL,)], ids=["own-postgres", "external-postgres"])
def test_every_manifest_is_valid(render, extra):
    validate = pytest.importorskip("kubernetes_validate", reason="needs kubernetes-validate")
    rendered = render(VALUES, *extra)
    assert len(rendered) > 20
    for manifest in rendered:
        validate.validate(manifest, "1.31", strict=True)
    assert any(m["kind"] == "StatefulSet" for m in rendered) is (not extra)


def test_no_secret_and_no_cluster_role_is_made(manifests):
    kinds = {manifest["kind"] for manifest in manifests}
    assert not kinds & {"Secret", "ClusterRole", "ClusterRoleBinding", "Ingress"}
    rules = [rule for m in manifests if m["kind"] == "Role" for rule in m["rules"]]
    granted = {resource for rule in rules for resource in rule["resources"]}
    assert "secrets" not in granted
    assert "*" not in granted


def test_a_read_only_webserver_stands_beside(manifests):
    spec = the(manifests, "Deployment", "dagster-dagster-webserver-read-only")
    [container] = spec["spec"]["template"]["spec"]["containers"]
    assert "--read-only" in " ".join(container["command"])


def test_policies_select_the_pods_they_are_for(manifests):
    def pods(selector: dict) -> int:
        wanted = dict(selector.get("matchLabels", {}))
        options = {e["key"]: e["values"] for e in selector.get("matchExpressions", [])}
        labels = [
            m["spec"]["template"]["metadata"]["labels"]
            for m in manifests
            if m["kind"] == "Deployment"
        ]
        return sum(
            all(one.get(k) == v for k, v in wanted.items())
            and all(one.get(k) in v for k, v in options.items())
            for one in labels
        )

    server = the(manifests, "NetworkPolicy", "mess-code-server")["spec"]
    assert pods(server["podSelector"]) == 1
    assert pods(server["ingress"][0]["from"][0]["podSelector"]) == 3
    assert pods(the(manifests, "NetworkPolicy", "mess-webserver")["spec"]["podSelector"]) == 2


@pytest.fixture
def instance(manifests, tmp_path, monkeypatch):
    """The instance that the daemon would load, without connecting to PostgreSQL."""
    for name in ("dagster_postgres", "dagster_k8s"):
        pytest.importorskip(name, reason=f"needs {name.replace('_', '-')}")
    from dagster._core.instance.ref import InstanceRef

    monkeypatch.setenv("DAGSTER_PG_PASSWORD", "unused")
    text = the(manifests, "ConfigMap", "dagster-instance")["data"]["dagster.yaml"]
    (tmp_path / "dagster.yaml").write_text(text)
    return InstanceRef.from_dir(str(tmp_path))


def test_dagster_accepts_the_instance(instance):
    assert instance.settings["telemetry"]["enabled"] is False
    assert instance.settings["run_retries"] == {
        "enabled": True,
        "max_retries": 3,
        "retry_on_asset_or_op_failure": False,
    }
    assert instance.settings["concurrency"]["pools"] == {"default_limit": 1, "granularity": "op"}
    assert instance.settings["concurrency"]["runs"]["tag_concurrency_limits"] == [
        {"key": "mess/device", "value": "gpu", "limit": 1}
    ]


def test_a_gpu_step_becomes_a_pod_with_a_gpu_and_a_run_does_not(instance, monkeypatch):
    validate = pytest.importorskip("kubernetes_validate", reason="needs kubernetes-validate")
    import kubernetes
    from dagster import DagsterRun
    from dagster_k8s import launcher as launchers
    from dagster_k8s.container_context import K8sContainerContext
    from dagster_k8s.job import construct_dagster_k8s_job, get_user_defined_k8s_config

    # There is no cluster to talk to, and nothing is sent.
    monkeypatch.setattr(launchers, "load_kubernetes_config", lambda **_: None)
    monkeypatch.setattr(launchers.DagsterKubernetesClient, "production_client", lambda **_: None)
    launcher = instance.run_launcher
    op_tags = {
        "dagster-k8s/config": json.dumps(
            {"container_config": {"resources": {"limits": {GPU: "1"}}}}
        )
    }
    run = K8sContainerContext.create_for_run(DagsterRun(job_name="tables"), launcher, True)
    step = run.merge(K8sContainerContext(run_k8s_config=get_user_defined_k8s_config(op_tags)))
    for context, gpus in ((run, None), (step, "1")):
        job = construct_dagster_k8s_job(
            job_config=context.get_k8s_job_config("registry.example.org/mess:0.1.0", launcher),
            args=["dagster", "api", "execute_step"],
            job_name="step",
            user_defined_k8s_config=context.run_k8s_config,
        )
        manifest = kubernetes.client.ApiClient().sanitize_for_serialization(job)
        validate.validate(manifest, "1.31", strict=True)
        pod = manifest["spec"]["template"]["spec"]
        [container] = pod["containers"]
        assert container["resources"]["limits"].get(GPU) == gpus
        assert container["resources"]["limits"]["memory"] == "16Gi"
        assert {"configMapRef": {"name": "mess-env"}} in container["envFrom"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["volumes"][-1]["persistentVolumeClaim"]["claimName"] == "mess-recordings"
