"""The whole pipeline: which tracks are computed, skipped, failed and resumed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import dagster as dg
import numpy as np
import pytest
import soundfile as sf

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def forward_passes(monkeypatch):
    """Batch sizes of all calls of the model."""
    from mess_core.encoders.base import Encoder

    calls: list[int] = []
    real = Encoder._forward

    def counted(self, waves):
        calls.append(len(waves))
        return real(self, waves)

    monkeypatch.setattr(Encoder, "_forward", counted)
    return calls


def _add_track(bench, name: str, source: int = 0) -> None:
    folder = bench.datasets / "demo"
    original = sorted(folder.glob("demo_*.flac"))[source]
    samples, rate = sf.read(original)
    sf.write(folder / f"{name}.flac", samples[: 8 * rate] * 0.9, rate)


def test_everything_is_materialised_and_checked(built):
    for asset in ("tracks", "proxy_targets", "embedding_matrix", "probing", "aspects"):
        event = built.instance.get_latest_materialization_event(dg.AssetKey(asset))
        assert event is not None, asset
    keys = built.instance.get_dynamic_partitions("tracks")
    assert len(keys) == 12
    assert keys == sorted(keys)
    for key in keys:
        assert built.materialised("embeddings", key) == ["done"]
        assert built.materialised("track_targets", key) == ["done"]
    for index in ("track", "passage"):
        assert (built.layout.indices / index / "latest").is_file()
    checks = built.instance.event_log_storage.get_latest_asset_check_execution_by_key(
        list(_all_check_keys())
    )
    failed = [key for key, record in checks.items() if record.status.value != "SUCCEEDED"]
    assert not failed
    assert len(checks) == len(_all_check_keys())


def _all_check_keys():
    from mess_assets.definitions import defs

    keys = defs.resolve_asset_graph().asset_check_keys
    # The report on targets, the evaluation and training take minutes and are separate jobs.
    separate = {"targets_report", "trained_encoder"} | {
        key.to_user_string()
        for key in defs.resolve_job_def("evaluate").asset_layer.executable_asset_keys
    }
    return {key for key in keys if key.asset_key.to_user_string() not in separate}


def test_a_second_run_computes_nothing(workbench, forward_passes):
    done = workbench.refresh()
    assert (done.success, done.pending, forward_passes) == (True, 0, [])


def test_only_new_tracks_are_embedded(workbench, forward_passes):
    _add_track(workbench, "demo_99_new")
    _add_track(workbench, "demo_00_new")
    done = workbench.refresh()
    assert done.success
    assert done.pending == 2
    assert sum(forward_passes) == 2 * 3  # 8 s: windows at 0, 2.5 and 3 s
    from mess_core.search import Library

    library = Library.open(workbench.root)
    assert len(library.similar("demo_99_new", k=50)) == 13
    for key in workbench.instance.get_dynamic_partitions("tracks"):
        computed = "done" in workbench.materialised("embeddings", key)
        assert computed == key.endswith("_new")


def test_only_changed_audio_is_embedded_again(workbench, forward_passes):
    path = sorted((workbench.datasets / "demo").glob("*.flac"))[3]
    samples, rate = sf.read(path)
    sf.write(path, samples[: 5 * rate], rate)
    assert workbench.refresh(rebuild=False).pending == 1
    assert sum(forward_passes) == 1


def test_encoders_are_stored_side_by_side_and_nothing_is_recomputed(workbench):
    """Switching to another encoder and back changes no file of the first."""
    from mess_assets.defs.resources import EncoderResource
    from mess_core.search import Library
    from mess_core.store.stored_encoders import indexed_encoders
    from mess_core.store.tables import read_json

    def files(layout):
        return {
            str(one): one.read_bytes()
            for folder in (layout.embeddings, layout.indices)
            for one in folder.rglob("*")
            if one.is_file()
        }

    first = workbench.encoder
    before = files(workbench.layout)
    workbench.encoder = EncoderResource(name="untrained:tiny", device="cpu", pooling="mean+std")
    assert workbench.refresh().pending == 12
    other = workbench.encoder.layout(workbench.store)
    assert other.encoder != workbench.layout.encoder
    assert read_json(other.matrix_manifest)["shape"] == [12, 13, 128]
    assert files(workbench.layout) == before
    own = files(other)
    for encoder in (first, workbench.encoder):
        workbench.encoder = encoder
        assert workbench.refresh(rebuild=False).pending == 0
    assert files(workbench.layout) == before
    assert files(other) == own
    assert indexed_encoders(workbench.layout) == sorted([first.folder(), other.encoder])
    found = Library.open(workbench.root, encoder=other.encoder)
    assert found.identity["pooling"] == "mean+std"
    assert Library.open(workbench.root).identity["pooling"] == "mean"


def test_without_overlap_of_windows_stored_targets_serve_and_segments_are_probed(workbench):
    import pandas as pd

    from mess_assets.defs.resources import EncoderResource

    workbench.encoder = EncoderResource(name="untrained:tiny,hop_s=5", device="cpu")
    done = workbench.refresh()
    assert done.success, workbench.lines
    assert not any(name.startswith("track_targets") for name, _, _ in done.runs)
    layout = workbench.encoder.layout(workbench.store)
    scores = pd.read_parquet(str(layout.probing / "segments" / "results.parquet"))
    assert (scores["n"] >= 12).any()
    again = workbench.refresh()
    assert again.pending == 0


def test_several_encoders_share_one_pass_over_the_audio(fresh, monkeypatch):
    from mess_core.encoders import base
    from mess_core.store.matrix import load_matrix

    decoded = []
    real = base.stream_audio

    def counted(path, **options):
        decoded.append(path)
        return real(path, **options)

    monkeypatch.setattr(base, "stream_audio", counted)
    also = fresh.encoder.named("mess-piano")
    assert fresh.refresh(also=[also]).success
    shapes = [load_matrix(one.layout(fresh.store))[2]["shape"] for one in (fresh.encoder, also)]
    assert shapes == [[12, 13, 64], [12, 9, 384]]
    # Once for both, and once for the untrained counterpart of mess-piano.
    assert len(decoded) == 24
    runs = fresh.instance.get_runs(dg.RunsFilter(job_name="tables"))
    assert {one.tags["mess/encoder"] for one in runs} == {"untrained-tiny", "mess-piano"}


@pytest.fixture
def damaged(workbench):
    folder = workbench.datasets / "demo"
    flac, midi = sorted(folder.glob("*.flac"))[2], sorted(folder.glob("*.mid"))[5]
    flac.write_bytes(flac.read_bytes()[:20_000])
    midi.write_bytes(midi.read_bytes()[:200])
    return workbench, flac, midi


def test_failed_tracks_are_reported_and_the_others_complete(damaged):
    bench, flac, midi = damaged
    done = bench.refresh()
    assert not done.success
    outcome = {name.split(":")[0]: ok for name, _, ok in done.runs}
    assert outcome["embeddings"] is False
    assert outcome["track_targets"] is False
    assert outcome["tables, probing, aspects, indices, checks (untrained-tiny)"] is True
    from mess_core.search import Library
    from mess_core.store.failures import failures_table

    failures = failures_table(bench.layout)
    assert set(zip(failures["track_id"], failures["stage"], strict=True)) == {
        (flac.stem, "embeddings"),
        (flac.stem, "track_targets"),
        (midi.stem, "track_targets"),
    }
    assert set(failures["path"]) == {str(flac), str(midi)}
    assert failures["remedy"].str.len().min() > 10
    library = Library.open(bench.root)
    assert len(library.similar(midi.stem, k=50)) == 10
    run_id = next(run_id for name, run_id, _ in done.runs if name.startswith("embeddings"))
    event = next(
        record.event_log_entry.dagster_event
        for record in bench.instance.get_records_for_run(run_id).records
        if record.event_log_entry.dagster_event
        and record.event_log_entry.dagster_event.event_type_value == "STEP_FAILURE"
    )
    data = event.event_specific_data.user_failure_data
    assert flac.stem in data.description
    assert flac.stem in str(data.metadata["failed"].records)


def test_failed_tracks_are_not_retried_until_the_file_changes(damaged, corpus):
    bench, flac, midi = damaged
    bench.refresh(rebuild=False)
    again = bench.refresh(rebuild=False)
    assert again.success
    assert again.pending == 0
    for path in (flac, midi):
        path.write_bytes((corpus / path.name).read_bytes())
    repaired = bench.refresh(rebuild=False)
    assert repaired.success
    assert repaired.pending == 2
    from mess_core.store.failures import failures_table

    assert failures_table(bench.layout).empty


def test_silent_and_midi_only_tracks(workbench):
    folder = workbench.datasets / "demo"
    sf.write(folder / "silent.wav", np.zeros(48_000), 24_000)
    original = sorted(folder.glob("*.mid"))[0]
    (folder / "only_midi.mid").write_bytes(original.read_bytes())
    workbench.refresh()
    from mess_core.store.failures import failures_table
    from mess_core.store.tables import read_table

    failures = failures_table(workbench.layout)
    assert set(failures["track_id"]) == {"silent"}
    assert failures["problem"].str.contains("silent").all()
    table = read_table(workbench.layout.proxy_targets).set_index("track_id")
    row = table.loc["only_midi"]
    assert np.isnan(row["spectral_centroid"])
    assert np.isfinite(row["velocity_mean"])
    assert workbench.materialised("embeddings", "only_midi") == []
    assert workbench.materialised("track_targets", "only_midi") == ["done"]


def test_killed_run_is_resumed(fresh):
    """After kill -9 during embedding, the next run embeds only the remaining tracks."""
    script = (
        "import sys, time\n"
        "import dagster as dg\n"
        "from mess_core.encoders.base import Encoder\n"
        "real = Encoder._forward\n"
        "def slow(self, waves):\n"
        "    time.sleep(0.05); return real(self, waves)\n"
        "Encoder._forward = slow\n"
        "from mess_assets.refresh import refresh\n"
        "from mess_assets.defs.resources import EncoderResource, StoreResource\n"
        "refresh(dg.DagsterInstance.ephemeral(),\n"
        "        store=StoreResource(data_root=sys.argv[1], datasets=''),\n"
        "        encoder=EncoderResource(name='untrained:tiny', device='cpu'), say=print)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(fresh.root)],
        cwd=ROOT,
        env={**os.environ, "MLFLOW_TRACKING_URI": "off"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    sidecars = fresh.layout.embeddings / "demo-emb" / "sidecars"
    deadline = time.monotonic() + 90
    while len(list(sidecars.glob("*.json"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    finished = len(list(sidecars.glob("*.json")))
    assert 3 <= finished < 12
    from mess_core.store import EmbeddingStore

    store = EmbeddingStore(fresh.layout)
    for sidecar in sidecars.glob("*.json"):
        assert np.isfinite(store.read("segments", "demo", sidecar.stem)).all()
    done = fresh.refresh(rebuild=False)
    assert done.success
    keys = fresh.instance.get_dynamic_partitions("tracks")
    computed = [key for key in keys if fresh.materialised("embeddings", key) == ["done"]]
    assert len(computed) == 12 - finished
    parts = [path for path in fresh.root.rglob(".part-*") if path.is_file()]
    assert len(parts) <= 1  # left by the killed writer, and never read


def test_removed_tracks_are_removed_from_tables_and_partitions(workbench):
    for path in (workbench.datasets / "demo").glob("demo_01_steady.*"):
        path.unlink()
    workbench.refresh()
    assert "demo_01_steady" not in workbench.instance.get_dynamic_partitions("tracks")
    from mess_core.search import Library

    library = Library.open(workbench.root)
    assert "demo_01_steady" not in set(library.similar("demo_01_free", k=50)["track_id"])


def test_passages_come_from_the_index_and_not_from_the_current_store(workbench):
    import numpy as np

    from mess_core.search import Library

    before = Library.open(workbench.root).passages("demo_01_steady", start_s=2.5, k=5)
    path = workbench.layout.embedding("segments", "demo", "demo_01_steady")
    with path.open("wb") as file:
        np.save(file, np.zeros((1, 13, 64), dtype=np.float16))
    for path in (workbench.datasets / "demo").glob("demo_02_steady.*"):
        path.unlink()
    from mess_core.store.track_table import refresh_tracks

    refresh_tracks(workbench.layout, workbench.store.sources())
    library = Library.open(workbench.root)
    after = library.passages("demo_01_steady", start_s=2.5, k=5)
    assert after["score"].tolist() == before["score"].tolist()
    # Indexed, but no longer in the track table: found until the index is built again.
    assert len(library.passages("demo_02_steady", start_s=0.0, k=3)) == 3


def test_a_midi_only_library_gets_targets_and_a_message(fresh):
    for path in (fresh.datasets / "demo").glob("*.flac"):
        path.unlink()
    done = fresh.refresh()
    assert done.success
    assert any("no track has audio" in line for line in fresh.lines)
    from mess_core.store.tables import read_table

    table = read_table(fresh.layout.proxy_targets)
    assert table["velocity_mean"].notna().all()
    assert table["spectral_centroid"].isna().all()


def test_a_library_too_small_to_probe_can_be_searched(fresh):
    for path in (fresh.datasets / "demo").glob("demo_0[2-6]*"):
        path.unlink()
    assert fresh.refresh().success
    from mess_core.search import Library

    library = Library.open(fresh.root)
    hits = library.similar("demo_01_steady", {"rubato": 1.0})
    assert hits["track_id"].tolist() == ["demo_01_free"]
    assert "no target could be probed" in hits.attrs["notes"][0]
