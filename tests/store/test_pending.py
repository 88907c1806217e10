"""What still has to be computed is told from hashes, failures included."""

import shutil

import pytest

from mess_core.datasets import parse_sources
from mess_core.encoders import embed_tracks
from mess_core.store import Layout
from mess_core.store.tracks import pending_tracks, refresh_tracks
from mess_core.targets import TARGETS_VERSION, compute_track_targets


@pytest.fixture
def library(tmp_path, corpus):
    folder = tmp_path / "takes"
    folder.mkdir()
    for name in ("demo_01_player1", "demo_02_player1", "demo_03_player1"):
        for suffix in (".flac", ".mid"):
            shutil.copy(corpus / f"{name}{suffix}", folder)
    return Layout(tmp_path / "root"), folder


def _scan(library):
    layout, folder = library
    return refresh_tracks(layout, parse_sources(f"takes={folder}"))


def _pending(library, encoder, version=TARGETS_VERSION):
    return pending_tracks(library[0], wanted=encoder.identity, targets_version=version)


def _work(library, encoder):
    tracks, _ = _scan(library)
    statuses = [one.status for one in embed_tracks(tracks, encoder, library[0])]
    return statuses + [one.status for one in compute_track_targets(tracks, library[0])]


def test_pending_shrinks_to_nothing_and_follows_changes(library, encoder):
    _, report = _scan(library)
    assert len(report["added"]) == 3
    assert len(_pending(library, encoder)) == 3
    assert _work(library, encoder) == ["done"] * 6
    assert _pending(library, encoder) == {}
    assert _work(library, encoder) == ["fresh"] * 6
    assert len(_pending(library, encoder, version="another")) == 3


def test_a_changed_midi_file_is_noticed(library, encoder, corpus):
    _work(library, encoder)
    shutil.copy(corpus / "demo_05_player2.mid", library[1] / "demo_01_player1.mid")
    _scan(library)
    assert list(_pending(library, encoder)) == ["demo_01_player1"]
    assert sorted(_work(library, encoder)) == ["done"] + ["fresh"] * 5
    assert _pending(library, encoder) == {}


def test_failures_wait_for_the_file_to_change(library, encoder, corpus):
    from mess_core.store import EmbeddingStore

    _work(library, encoder)
    bad = library[1] / "demo_02_player1.flac"
    bad.write_bytes(bad.read_bytes()[:9000])
    (library[1] / "demo_03_player1.mid").write_bytes(b"MThd")
    _, report = _scan(library)
    assert report["changed"] == ["demo_02_player1"]
    assert len(_pending(library, encoder)) == 2
    assert sorted(_work(library, encoder)).count("failed") == 3
    assert _pending(library, encoder) == {}
    # The embedding of audio that is gone is not served.
    assert EmbeddingStore(library[0]).sidecar("takes", "demo_02_player1") is None
    shutil.copy(corpus / bad.name, bad)
    shutil.copy(corpus / "demo_03_player1.mid", library[1])
    _scan(library)
    assert len(_pending(library, encoder)) == 2
    _work(library, encoder)
    assert _pending(library, encoder) == {}


def test_damaged_records_are_made_again_and_stop_nobody(library, encoder):
    _work(library, encoder)
    layout = library[0]
    layout.embedding_sidecar("takes", "demo_01_player1").write_text("{half")
    layout.track_targets("takes", "demo_02_player1").write_text("")
    assert set(_pending(library, encoder)) == {"demo_01_player1", "demo_02_player1"}
    assert sorted(_work(library, encoder)) == ["done"] * 2 + ["fresh"] * 4
    assert _pending(library, encoder) == {}


def test_values_beyond_float16_fail_only_their_track(library, encoder, monkeypatch):
    from dataclasses import replace

    real, bad = type(encoder).embed, "demo_02_player1"

    def overflowing(self, opened):
        embedding = real(self, opened)
        return (
            replace(embedding, segments=embedding.segments * 1e9)
            if bad in str(opened.path)
            else embedding
        )

    monkeypatch.setattr(type(encoder), "embed", overflowing)
    tracks, _ = _scan(library)
    outcomes = {one.track_id: one for one in embed_tracks(tracks, encoder, library[0])}
    assert outcomes[bad].status == "failed"
    assert "not finite" in outcomes[bad].facts["problem"]
    assert [one.status for one in outcomes.values()].count("done") == 2


def test_failures_of_removed_tracks_are_forgotten(library, encoder):
    from mess_core.store.failures import failures_table

    (library[1] / "demo_01_player1.flac").write_bytes(b"no audio")
    _work(library, encoder)
    assert set(failures_table(library[0])["track_id"]) == {"demo_01_player1"}
    for path in library[1].glob("demo_01_player1.*"):
        path.unlink()
    _scan(library)
    assert failures_table(library[0]).empty


def test_names_that_cannot_be_keys_are_skipped_with_a_reason(library):
    model = library[1] / "demo_01_player1.mid"
    for name in ("é" * 60, "two words ~ 100%", "-leading.dots..."):
        shutil.copy(model, library[1] / f"{name}.mid")
    tracks, report = _scan(library)
    assert {"two words ~ 100%", "-leading.dots..."} <= set(tracks["track_id"])
    assert "é" * 60 not in set(tracks["track_id"])
    reasons = [skipped["reason"] for skipped in report["datasets"][0]["skipped"]]
    assert any("once escaped" in reason for reason in reasons)
    assert [one.status for one in compute_track_targets(tracks, library[0])] == ["done"] * 5
