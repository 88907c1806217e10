"""deploy/compose: published ports, secrets, and whether Dagster accepts the configuration."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "deploy" / "compose"
FILE = COMPOSE / "compose.yaml"
REQUIRED = re.compile(r"\$\{(\w+):\?")


@pytest.fixture(scope="module")
def compose() -> dict:
    return yaml.safe_load(FILE.read_text())


@pytest.fixture(scope="module")
def services(compose) -> dict:
    return compose["services"]


def environment(service: dict) -> dict:
    return service.get("environment", {})


def examples() -> dict[str, str]:
    lines = (COMPOSE / "env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_required_settings_are_in_the_example_without_a_value():
    required = set(REQUIRED.findall(FILE.read_text()))
    assert set(examples()) == required
    assert not [name for name, value in examples().items() if value.strip("'")]


def test_optional_settings_of_the_example_are_used():
    optional = re.findall(r"^# (\w+)=", (COMPOSE / "env.example").read_text(), re.MULTILINE)
    assert set(optional) <= set(re.findall(r"\$\{(\w+):-", FILE.read_text()))


def test_no_secret_has_a_default():
    secret = re.compile(r"PASSWORD|SECRET|ACCESS_KEY|HASH")
    used = re.findall(r"\$\{(\w+)(:?[-?]?)", FILE.read_text())
    assert {mark for name, mark in used if secret.search(name)} == {":?"}
    for service in yaml.safe_load(FILE.read_text())["services"].values():
        for name, value in environment(service).items():
            if secret.search(name):
                assert REQUIRED.fullmatch(str(value).rstrip("}")), name


def test_only_the_proxy_is_published_and_on_loopback_only(services):
    published = {name: one["ports"] for name, one in services.items() if "ports" in one}
    assert set(published) == {"proxy"}
    assert all(port.startswith("127.0.0.1:") for port in published["proxy"])
    assert not [n for n, one in services.items() if one.get("network_mode") or "expose" in one]
    assert [name for name, one in services.items() if "outside" in one["networks"]] == ["proxy"]


def test_images_are_pinned(services):
    for name, service in services.items():
        image = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", service["image"])
        assert re.fullmatch(r"[\w./-]+:\d+(\.\d+)+", image), name
    assert re.search(r"^FROM python:\d+\.\d+\.\d+-", (COMPOSE / "Dockerfile").read_text(), re.M)


def test_only_services_that_read_the_store_hold_its_keys(services):
    holders = {n for n, one in services.items() if "AWS_SECRET_ACCESS_KEY" in environment(one)}
    assert holders == {"bucket", "code", "listen"}
    settings = [environment(services[n])["MESS_DATA_ROOT"] for n in sorted(holders)]
    assert len(set(settings)) == 1


def test_services_have_health_checks_and_wait_for_them(services):
    unchecked = {"bucket", "proxy"}
    assert {n for n, one in services.items() if "healthcheck" not in one} == unchecked
    for name, service in services.items():
        for needed, how in service.get("depends_on", {}).items():
            condition = "service_completed_successfully" if needed == "bucket" else None
            assert how["condition"] == (condition or "service_healthy"), (name, needed)


def test_mess_runs_without_root_and_capabilities(services):
    own = [one for one in services.values() if one["image"].startswith("mess:")]
    assert len(own) == 7
    assert all(one["cap_drop"] == ["ALL"] for one in own)
    assert re.search(r"^USER 10001:10001$", (COMPOSE / "Dockerfile").read_text(), re.MULTILINE)


def test_the_viewer_is_read_only_and_optional(services):
    assert "--read-only" in services["viewer"]["command"]
    assert services["viewer"]["profiles"] == ["viewer"]
    assert "--read-only" not in services["webserver"]["command"]


def test_files_that_are_mounted_or_copied_exist(services):
    for service in services.values():
        for volume in service.get("volumes", []):
            if volume.startswith("."):
                assert (COMPOSE / volume.split(":")[0]).is_file(), volume
    for line in (COMPOSE / "Dockerfile").read_text().splitlines():
        if line.startswith("COPY "):
            assert all((ROOT / name).exists() for name in line.split()[1:-1]), line


def test_dagster_libraries_belong_to_the_dagster_release():
    constraints = (ROOT / "constraints.txt").read_text()
    pins = dict(re.findall(r"^([\w-]+)==(\S+)", constraints, re.M))
    _, minor, patch = pins["dagster"].split(".")
    # For example, dagster 1.13.27 belongs to 0.29.27.
    for name in ("dagster-k8s", "dagster-postgres"):
        assert pins[name] == f"0.{int(minor) + 16}.{patch}"


def test_dagster_accepts_the_instance_and_the_workspace(tmp_path, monkeypatch):
    pytest.importorskip("dagster_postgres", reason="needs dagster-postgres")
    from dagster._core.instance.ref import InstanceRef
    from dagster._core.workspace.load import location_origins_from_yaml_paths

    for name in ("HOST", "DB", "USERNAME", "PASSWORD"):
        monkeypatch.setenv(f"DAGSTER_PG_{name}", f"the-{name.lower()}")
    shutil.copy(COMPOSE / "dagster.yaml", tmp_path)
    instance = InstanceRef.from_dir(str(tmp_path))
    assert "PostgresStorage" in instance.storage_data.class_name
    assert instance.settings["telemetry"] == {"enabled": False}
    assert instance.settings["nux"] == {"enabled": False}
    assert instance.settings["run_retries"]["retry_on_asset_or_op_failure"] is False
    # Otherwise the retry of a crashed run waits for ever for the slot of the crashed run.
    assert instance.settings["run_monitoring"]["free_slots_after_run_end_seconds"] > 0
    [origin] = location_origins_from_yaml_paths([str(COMPOSE / "workspace.yaml")])
    assert (origin.location_name, origin.host, origin.port) == ("mess", "code", 4000)


def test_the_code_server_loads_the_definitions_of_the_project(services):
    command = services["code"]["command"]
    module = command[command.index("-m") + 1]
    assert module == "mess_assets.definitions"
    assert importlib.util.find_spec("mess_assets") or (ROOT / "mess_assets").is_dir()


def test_the_files_follow_the_compose_specification():
    parser = pytest.importorskip("compose_spec", reason="needs compose-spec")
    for path in (FILE, COMPOSE / "compose.gpu.yaml"):
        text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", path.read_text())
        filled = yaml.safe_load(REQUIRED.sub("x1", text).replace("x1}", "x1"))
        known = {key: value for key, value in filled.items() if not key.startswith("x-")}
        read = parser.PyCompose.from_yaml(yaml.safe_dump(known)).to_dict()
        assert set(read["services"]) == set(filled["services"])


def test_compose_accepts_the_files():
    """Docker's own parser reads the files; this starts nothing and needs no daemon."""
    docker = shutil.which("docker")
    known = docker and subprocess.run([docker, "compose", "version"], capture_output=True)
    if not known or known.returncode:
        pytest.skip("needs `docker compose`")
    filled = dict.fromkeys(examples(), "x1")
    both = ["-f", "compose.yaml", "-f", "compose.gpu.yaml"]
    done = subprocess.run(
        [docker, "compose", *both, "config", "--format", "json"],
        cwd=COMPOSE,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **filled},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["services"]["proxy"]["ports"][0]["host_ip"] == "127.0.0.1"
    refused = subprocess.run(
        [docker, "compose", "--env-file", "env.example", "config"],
        cwd=COMPOSE,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
        capture_output=True,
    )
    assert refused.returncode != 0
