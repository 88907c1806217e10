"""Tracks are embedded on a GPU while their targets are computed; both end together."""

import os
import signal
import threading

import dagster as dg
import pytest
from click.testing import CliRunner

from mess_assets import side_by_side as stages
from mess_assets.backfill import backfill
from mess_assets.defs.resources import EncoderResource
from mess_assets.side_by_side import end_if_asked, side_by_side
from mess_core.encoders.base import Encoder
from mess_core.store.failures import failures_table
from mess_core.targets import tracks
from tests.fixtures.workbench import Workbench


@pytest.fixture
def small(fresh):
    """Data root with four tracks and nothing computed yet."""
    for path in (fresh.datasets / "demo").glob("demo_*.*"):
        if path.stem[:7] not in ("demo_01", "demo_02"):
            path.unlink()
    return fresh


@pytest.fixture
def with_gpu(monkeypatch):
    """As if the encoder had a GPU."""
    monkeypatch.setattr(EncoderResource, "on_gpu", lambda self: True)


def test_functions_run_at_the_same_time():
    both = threading.Barrier(2, timeout=10)
    side_by_side(both.wait, both.wait)


def test_others_are_asked_to_end_if_the_first_fails():
    ended, started = [], threading.Event()

    def first():
        started.wait(10)
        end_if_asked()  # only the others
        raise ValueError("first")

    def other():
        started.set()
        try:
            for _ in range(10_000):
                end_if_asked()
                threading.Event().wait(0.001)
        except dg.DagsterExecutionInterruptedError:
            ended.append("interrupted")

    with pytest.raises(ValueError, match="first"):
        side_by_side(first, other)
    assert ended == ["interrupted"]
    side_by_side(lambda: None, lambda: ended.append("again"))
    assert ended == ["interrupted", "again"]


def test_a_failure_of_another_is_raised_after_the_first_has_ended():
    done = []

    def failing():
        raise ValueError("other")

    with pytest.raises(ValueError, match="other"):
        side_by_side(lambda: done.append("first"), failing)
    assert done == ["first"]


def test_runs_of_both_stages_overlap_and_all_tracks_are_done(small, tmp_path, with_gpu):
    home = tmp_path / "home"
    home.mkdir()
    bench = Workbench(small.root, dg.DagsterInstance.local_temp(str(home)))
    done = bench.refresh(rebuild=False, batch=2)
    assert done.success, bench.lines
    assert done.pending == 4
    spans = {}
    for job in ("embed", "describe"):
        records = bench.instance.get_run_records(dg.RunsFilter(job_name=job))
        assert len(records) == 2
        spans[job] = min(one.start_time for one in records), max(one.end_time for one in records)
    assert spans["embed"][0] < spans["describe"][1]
    assert spans["describe"][0] < spans["embed"][1]
    assert bench.refresh(rebuild=False).pending == 0
    assert failures_table(bench.layout).empty


@pytest.fixture
def command(small, tmp_path, with_gpu, monkeypatch):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MESS_DEVICE", "cpu")
    # As a command starts: what other tests ran in this process may have left another handler.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield ["--data", str(small.root), "--no-rebuild", "--yes"]
    signal.signal(signal.SIGINT, before)


def _described(bench):
    return sorted(path.stem for path in (bench.root / "proxy_targets" / "demo").glob("*.json"))


def _assert_stopped_and_resumed(command, bench, tmp_path):
    stopped = CliRunner().invoke(backfill, command)
    assert stopped.exit_code == 1
    assert "run the same command again" in stopped.output
    assert "track_targets failed" not in stopped.output
    assert len(_described(bench)) < 4
    with dg.DagsterInstance.from_config(str(tmp_path / "home")) as instance:
        assert all(run.is_finished for run in instance.get_runs())
        assert len(instance.get_runs(dg.RunsFilter(job_name="describe"))) == 1
    resumed = CliRunner().invoke(backfill, command)
    assert resumed.exit_code == 0, resumed.output
    assert len(_described(bench)) == 4
    assert "Nothing to do" in CliRunner().invoke(backfill, command).output


def test_an_interrupt_of_embedding_ends_the_targets_too(command, small, tmp_path, monkeypatch):
    sent, real = threading.Event(), Encoder._forward

    def interrupted(self, waves):
        if not sent.is_set():
            sent.set()
            os.kill(os.getpid(), signal.SIGINT)
        return real(self, waves)

    monkeypatch.setattr(Encoder, "_forward", interrupted)
    _hold_targets(monkeypatch, sent)
    _assert_stopped_and_resumed(command, small, tmp_path)


def test_an_interrupt_while_only_targets_are_left_ends_them(command, small, tmp_path, monkeypatch):
    sent, real = threading.Event(), stages.wait

    def wait(*args, **options):
        if not sent.is_set():
            threading.Timer(0.3, _interrupt, [sent]).start()
        return real(*args, **options)

    monkeypatch.setattr(stages, "wait", wait)
    _hold_targets(monkeypatch, sent)
    _assert_stopped_and_resumed(command, small, tmp_path)


def _interrupt(sent):
    sent.set()
    os.kill(os.getpid(), signal.SIGINT)


def _hold_targets(monkeypatch, sent):
    """Compute targets only after the signal has been sent, and a little more slowly."""
    real = tracks._compute

    def held(*args, **options):
        sent.wait(60)
        threading.Event().wait(0.2)
        return real(*args, **options)

    monkeypatch.setattr(tracks, "_compute", held)
