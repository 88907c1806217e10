"""The definitions load, are documented, and agree with the configuration files."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import dagster as dg
import yaml

ROOT = Path(__file__).resolve().parents[2]


def _defs():
    from mess_assets.definitions import defs

    return defs


def test_definitions_are_loadable():
    dg.Definitions.validate_loadable(_defs())


def test_every_asset_has_description_owner_group_and_version():
    names = set()
    for spec in _defs().resolve_all_asset_specs():
        names.add(spec.key.to_user_string())
        assert len(spec.description or "") > 40, spec.key
        assert spec.owners, spec.key
        assert spec.kinds, spec.key
        assert spec.group_name != "default", spec.key
        assert spec.code_version, spec.key
    assert names == {
        "tracks",
        "embeddings",
        "track_targets",
        "failures",
        "aligned_targets",
        "proxy_targets",
        "embedding_matrix",
        "control_matrix",
        "probing",
        "segment_probing",
        "aspects",
        "faithfulness",
        "track_index",
        "passage_index",
        "targets_report",
        "work_labels",
        "trained_encoder",
        "splits",
        "passages",
        "single_factor_triplets",
        "human_triplets",
        "retrieval_evaluation",
        "human_evaluation",
        "leaderboard",
        "encoder_comparison",
        "head_diagonal",
        "head_linear_infonce",
        "head_linear_supcon",
        "head_linear_centred",
        "head_regression",
        "head_mlp",
    }


def test_every_asset_has_a_check():
    graph = _defs().resolve_asset_graph()
    checked = {key.asset_key for key in graph.asset_check_keys}
    assert checked == set(graph.get_all_asset_keys())


def test_embeddings_are_pooled_and_tagged_for_a_gpu():
    from mess_assets.defs.features.embeddings import embeddings
    from mess_assets.defs.features.targets import track_targets

    assert embeddings.op.pool == "gpu"
    assert "nvidia.com/gpu" in embeddings.op.tags["dagster-k8s/config"]
    assert track_targets.op.pool != "gpu"


def test_automation_is_off_until_switched_on():
    defs = _defs()
    assert len(defs.sensors) >= 6
    assert all(one.default_status == dg.DefaultSensorStatus.STOPPED for one in defs.sensors)
    assert len(defs.schedules) >= 1
    assert all(one.default_status == dg.DefaultScheduleStatus.STOPPED for one in defs.schedules)


def test_all_configuration_files_name_the_same_module():
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    project = tool["dagster"]
    assert tomllib.loads((ROOT / "mess_assets/dg.toml").read_text()) == tool["dg"]
    assert tool["dg"]["project"]["code_location_target_module"] == project["module_name"]
    workspace = yaml.safe_load((ROOT / "workspace.yaml").read_text())["load_from"][0]
    assert workspace["python_module"]["module_name"] == project["module_name"]
    assert workspace["python_module"]["location_name"] == project["code_location_name"]


def test_core_never_imports_dagster_and_is_cheap_to_import():
    script = (
        "import sys, mess_core\n"
        "assert not {'torch', 'dagster', 'pandas', 'numpy'} & set(sys.modules)\n"
        "import mess_core.search, mess_core.encoders, mess_core.targets, mess_core.cli\n"
        "from mess_core.probing import pipeline, results\n"
        "assert not {'dagster', 'mlflow'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT)


def test_loading_definitions_imports_no_heavy_packages():
    script = "import sys, mess_assets.definitions; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, cwd=ROOT, capture_output=True, text=True
    )
    loaded = set(done.stdout.split())
    assert "mess_assets.definitions" in loaded
    assert not loaded & {"torch", "transformers", "mlflow", "librosa"}


def test_dagster_command_finds_the_project_in_its_root(built, tmp_path):
    """`dagster asset materialize --select probing` runs on an existing store."""
    root = shutil.copytree(built.root, tmp_path / "library")
    before = (root / "probing" / "untrained-tiny" / "results.json").stat().st_mtime_ns
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("DAGSTER", "MESS")) and name != "MLFLOW_TRACKING_URI"
    }
    home = tmp_path / "home"
    home.mkdir()
    done = subprocess.run(
        [Path(sys.executable).with_name("dagster"), "asset", "materialize", "--select", "probing"],
        cwd=ROOT,
        env={
            **environment,
            "MESS_DATA_ROOT": str(root),
            "MESS_ENCODER": "untrained:tiny",
            "MLFLOW_TRACKING_URI": "off",
            "DAGSTER_HOME": str(home),
        },
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert (root / "probing" / "untrained-tiny" / "results.json").stat().st_mtime_ns > before
