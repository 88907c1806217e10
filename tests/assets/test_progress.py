"""Progress counts tracks, failures and hours of audio, and its time left comes true."""

from types import SimpleNamespace

import pandas as pd
import pytest

from mess_assets.progress import Stage, shown

TRACKS = pd.DataFrame({"track_id": list("abcd"), "duration_s": [3600.0, 600.0, 600.0, 1200.0]})
BATCH = SimpleNamespace(asset="embeddings", span=list("abcd"))


def event(key):
    materialised = SimpleNamespace(is_step_materialization=True, partition=key)
    return SimpleNamespace(dagster_event=materialised, level=20)


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("mess_assets.progress.time.perf_counter", lambda: now[0])
    return now


def test_time_left_follows_the_hours_of_audio_and_not_the_number_of_tracks(clock):
    stage = Stage("embeddings", {"long": 1.0, "short": 0.1, "other": 0.1})
    assert stage.left_s is None
    stage.begin()
    clock[0] = 100.0
    stage.add("long")
    assert stage.left_s == pytest.approx(20.0)
    assert "0.60 h of audio per min" in str(stage)
    stage.end()
    clock[0] = 500.0  # while another stage runs
    assert stage.left_s == pytest.approx(20.0)


def test_without_a_terminal_a_line_comes_every_half_minute_and_at_the_end(clock):
    lines = []
    with shown([BATCH], TRACKS, lines.append, terminal=False) as progress:
        heard = progress.listener("embeddings")
        with progress.running("embeddings"):
            for step, key in enumerate("abc", start=1):
                clock[0] = 20.0 * step
                heard(event(key))
            heard(SimpleNamespace(dagster_event=None, level=40))
    assert "embeddings 2/4" in lines[0]
    assert "left" in lines[0]
    assert "embeddings 4/4, 1 failed" in lines[-1]
    assert 2 <= len(lines) <= 3


def test_bars_are_drawn_on_a_terminal(capsys):
    with (
        shown([BATCH], TRACKS, pytest.fail, terminal=True) as progress,
        progress.running("embeddings"),
    ):
        progress.listener("embeddings")(event("a"))
    assert "embeddings" in capsys.readouterr().err


def test_with_several_encoders_a_track_is_done_after_the_last(clock):
    stage = Stage("embeddings", {"one": 1.0, "two": 1.0}, encoders=2)
    stage.begin()
    for step, key in enumerate(("one", "one", "two"), start=1):
        clock[0] = 10.0 * step
        stage.add(key)
    assert (stage.done, stage.heard_h) == (1, 1.5)
    assert stage.left_s == pytest.approx(10.0)
