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
