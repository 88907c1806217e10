"""The values for Dagster's own Helm chart, rendered with it."""

import json
import os
from pathlib import Path

import pytest
import yaml

from tests.deploy.test_kubernetes import EXTERNAL, GPU, VALUES, load

CHART = os.environ.get("MESS_DAGSTER_CHART", "")
if not CHART:
    pytest.skip(
        "set MESS_DAGSTER_CHART to a folder: helm pull --untar dagster/dagster",
        allow_module_level=True,
    )


@pytest.fixture(scope="module")
def render():
    """Function from values files to all rendered manifests, validated with the chart's schema."""
    helm = pytest.importorskip("helm_python", reason="needs helm-python-sdk to render the chart")

    def rendered(*paths: Path) -> list[dict]:
        values = load(*paths)
        with helm.Chart.load(CHART) as chart:
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


def test_no_secret_and_no_cluster_role_is_created(manifests):
    kinds = {manifest["kind"] for manifest in manifests}
    assert not kinds & {"Secret", "ClusterRole", "ClusterRoleBinding", "Ingress"}
    rules = [rule for m in manifests if m["kind"] == "Role" for rule in m["rules"]]
    granted = {resource for rule in rules for resource in rule["resources"]}
    assert "secrets" not in granted
    assert "*" not in granted


def test_there_is_a_read_only_webserver(manifests):
    spec = the(manifests, "Deployment", "dagster-dagster-webserver-read-only")
    [container] = spec["spec"]["template"]["spec"]["containers"]
    assert "--read-only" in " ".join(container["command"])


def test_network_policies_select_the_intended_pods(manifests):
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
    """The instance as the daemon loads it, without a connection to PostgreSQL."""
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


def test_pods_of_gpu_steps_get_a_gpu_and_pods_of_runs_do_not(instance, monkeypatch):
    validate = pytest.importorskip("kubernetes_validate", reason="needs kubernetes-validate")
    import kubernetes
    from dagster import DagsterRun
    from dagster_k8s import launcher as launchers
    from dagster_k8s.container_context import K8sContainerContext
    from dagster_k8s.job import construct_dagster_k8s_job, get_user_defined_k8s_config

    # No cluster is needed, since nothing is sent.
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
