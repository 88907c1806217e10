"""`mess backfill`: shows pending tracks, asks for confirmation, runs, and can be resumed."""

import os
import signal

import pytest
import soundfile as sf
from click.testing import CliRunner

from mess_assets.backfill import backfill
from mess_core.encoders.base import Encoder
from mess_core.store.failures import failures_table


@pytest.fixture
def invoke(fresh, tmp_path, monkeypatch):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MESS_DEVICE", "cpu")

    def run(*arguments, **options):
        return CliRunner().invoke(
            backfill, ["--data", str(fresh.root), "--no-rebuild", *arguments], **options
        )

    return run


def _sidecars(bench):
    return sorted(path.stem for path in bench.layout.embeddings.glob("*-emb/sidecars/*.json"))


def test_backfill_shows_confirms_runs_and_resumes(invoke, fresh, monkeypatch):
    shown = invoke("--dry-run", "--batch", "5")
    assert "embeddings: 12 tracks in 3 runs" in shown.output
    assert "track_targets: 12 tracks in 3 runs" in shown.output
    assert invoke(input="n\n").exit_code == 1
    assert _sidecars(fresh) == []

    real, calls = Encoder._forward, []

    def interrupted(self, waves):
        calls.append(len(waves))
        if len(calls) == 8:
            os.kill(os.getpid(), signal.SIGINT)
        return real(self, waves)

    monkeypatch.setattr(Encoder, "_forward", interrupted)
    stopped = invoke("--yes", "--stage", "embeddings", "--batch", "5")
    assert stopped.exit_code == 1
    assert "run the same command again" in stopped.output
    done = _sidecars(fresh)
    assert 0 < len(done) < 12
    calls[:] = [0] * 100
    assert f"embeddings: {12 - len(done)} tracks" in invoke("--dry-run").output
    resumed = invoke("--yes", "--stage", "embeddings")
    assert resumed.exit_code == 0, resumed.output
    assert len(_sidecars(fresh)) == 12
    again = invoke("--yes", "--stage", "embeddings")
    assert "Nothing to do" in again.output


def test_only_selected_tracks_are_computed(invoke, fresh):
    named = ("--stage", "embeddings", "--track", "demo_02_steady")
    done = invoke("--yes", *named)
    assert done.exit_code == 0, done.output
    assert _sidecars(fresh) == ["demo_02_steady"]
    assert "embeddings: 1 tracks" in invoke("--dry-run", "--all", *named).output
    unknown = invoke("--dry-run", "--dataset", "nowhere")
    assert "no data set 'nowhere'" in unknown.output


def test_failed_tracks_are_retried_on_request(invoke, fresh):
    path = fresh.datasets / "demo" / "demo_01_steady.flac"
    sf.write(path, [0.0] * 48_000, 24_000)
    named = ("--yes", "--stage", "embeddings", "--track", "demo_01_steady")
    first = invoke(*named)
    assert "1 tracks failed: mess tracks --failed" in first.output
    assert "Nothing to do" in invoke(*named).output
    assert "embeddings: 1 tracks" in invoke(*named, "--failed", "--dry-run").output
    assert len(failures_table(fresh.layout)) == 1  # a dry run deletes no record
    assert "embeddings: 1 tracks" in invoke(*named, "--failed").output
    assert failures_table(fresh.layout)["track_id"].tolist() == ["demo_01_steady"]
