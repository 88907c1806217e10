"""Nothing is made again from the same, and whatever changes is noticed."""

import pytest

from mess_core.store.built_from import is_current, made_from, record_built
from mess_core.store.layout import Layout
from mess_core.store.tables import write_json


@pytest.fixture
def layout(tmp_path):
    made = Layout(tmp_path, "mess-piano")
    version = made.indices / "track" / "v1" / "index.faiss"
    for path in (made.tracks, made.proxy_targets, made.matrix, version):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("content")
    (made.indices / "track" / "latest").write_text("v1")
    write_json(made.embedding_sidecar("takes", "a"), {"sha256": "1"})
    write_json(made.track_targets("takes", "a"), {"values": {}})
    record_built(made, made_from(made))
    return made


def test_the_same_is_current(layout):
    assert is_current(layout)
    assert not is_current(layout.of("other"))


@pytest.mark.parametrize(
    "change",
    [
        lambda it, _: it.tracks.write_text("other"),
        lambda it, _: it.work_overrides.write_text("track_id,work_id\n"),
        lambda it, _: write_json(it.embedding_sidecar("takes", "a"), {"sha256": "2"}),
        lambda it, _: write_json(it.embedding_sidecar("takes", "b"), {"sha256": "1"}),
        lambda it, _: it.track_targets("takes", "a").unlink(),
        lambda it, _: write_json(it.failure("track_targets", "b"), {"problem": "x"}),
        lambda it, _: it.proxy_targets.unlink(),
        lambda it, _: (it.indices / "track" / "latest").unlink(),
        lambda it, _: (it.indices / "track" / "v1" / "index.faiss").unlink(),
        lambda it, _: it.matrix.unlink(),
        lambda _, patch: patch.setenv("MESS_CONTROL", "off"),
        lambda _, patch: patch.setattr("mess_core.store.built_from._code", lambda: "newer"),
    ],
)
def test_whatever_results_are_made_from_is_noticed(layout, change, monkeypatch):
    change(layout, monkeypatch)
    assert not is_current(layout)


def test_where_the_data_are_and_the_number_of_processes_change_nothing(layout, monkeypatch):
    monkeypatch.setenv("MESS_WORKERS", "7")
    monkeypatch.setenv("MESS_DEVICE", "cuda:1")
    assert is_current(layout)
