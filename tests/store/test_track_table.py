"""Pending tracks are determined from hashes, including those of failures."""

import shutil

import pytest
import soundfile as sf

from mess_core.datasets import parse_sources
from mess_core.encoders import embed_tracks
from mess_core.errors import AudioError, EncoderError
from mess_core.store import Layout
from mess_core.store.track_table import outdated_tables, pending_tracks, refresh_tracks
from mess_core.targets import TARGETS_VERSION, compute_track_targets


@pytest.fixture
def library(tmp_path, corpus):
    folder = tmp_path / "takes"
    folder.mkdir()
    for name in ("demo_01_steady", "demo_02_steady", "demo_03_steady"):
        shutil.copy(corpus / f"{name}.mid", folder)
        samples, rate = sf.read(corpus / f"{name}.flac", frames=72_000)
        sf.write(folder / f"{name}.flac", samples, rate)
    return Layout(tmp_path / "root", "untrained-tiny"), folder


def _scan(library):
    layout, folder = library
    return refresh_tracks(layout, parse_sources(f"takes={folder}"))


def _pending(library, encoder, version=TARGETS_VERSION, **identity):
    wanted = {**encoder.identity, **identity}
    return pending_tracks(library[0], wanted=wanted, targets_version=version)


def _compute(library, encoder):
    tracks, _ = _scan(library)
    statuses = [one.status for one in embed_tracks(tracks, encoder, library[0])]
    return statuses + [one.status for one in compute_track_targets(tracks, library[0])]


def test_pending_shrinks_to_nothing_and_follows_changes(library, encoder):
    _, report = _scan(library)
    assert len(report["added"]) == 3
    assert len(_pending(library, encoder)) == 3
    assert _compute(library, encoder) == ["done"] * 6
    assert _pending(library, encoder) == {}
    assert _compute(library, encoder) == ["fresh"] * 6
    assert len(_pending(library, encoder, version="another")) == 3


def test_a_changed_midi_file_is_noticed(library, encoder, corpus):
    _compute(library, encoder)
    shutil.copy(corpus / "demo_05_free.mid", library[1] / "demo_01_steady.mid")
    _scan(library)
    assert list(_pending(library, encoder)) == ["demo_01_steady"]
    assert sorted(_compute(library, encoder)) == ["done"] + ["fresh"] * 5
    assert _pending(library, encoder) == {}


def test_failures_wait_for_the_file_to_change(library, encoder, corpus):
    from mess_core.store import EmbeddingStore

    _compute(library, encoder)
    bad = library[1] / "demo_02_steady.flac"
    bad.write_bytes(bad.read_bytes()[:9000])
    (library[1] / "demo_03_steady.mid").write_bytes(b"MThd")
    _, report = _scan(library)
    assert report["changed"] == ["demo_02_steady"]
    assert len(_pending(library, encoder)) == 2
    assert sorted(_compute(library, encoder)).count("failed") == 3
    assert _pending(library, encoder) == {}
    # The embedding of audio that no longer exists is not served.
    assert EmbeddingStore(library[0]).sidecar("takes", "demo_02_steady") is None
    shutil.copy(corpus / bad.name, bad)
    shutil.copy(corpus / "demo_03_steady.mid", library[1])
    _scan(library)
    assert len(_pending(library, encoder)) == 2
    _compute(library, encoder)
    assert _pending(library, encoder) == {}


def test_damaged_records_are_computed_again(library, encoder):
    _compute(library, encoder)
    layout = library[0]
    layout.embedding_sidecar("takes", "demo_01_steady").write_text("{half")
    layout.track_targets("takes", "demo_02_steady").write_text("")
    assert set(_pending(library, encoder)) == {"demo_01_steady", "demo_02_steady"}
    assert sorted(_compute(library, encoder)) == ["done"] * 2 + ["fresh"] * 4
    assert _pending(library, encoder) == {}


def test_values_beyond_float16_fail_only_their_track(library, encoder, monkeypatch):
    from dataclasses import replace

    real, bad = type(encoder).embed, "demo_02_steady"

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


def test_failures_of_removed_tracks_are_cleared(library, encoder):
    from mess_core.store.failures import failures_table

    (library[1] / "demo_01_steady.flac").write_bytes(b"no audio")
    _compute(library, encoder)
    assert set(failures_table(library[0])["track_id"]) == {"demo_01_steady"}
    for path in library[1].glob("demo_01_steady.*"):
        path.unlink()
    _scan(library)
    assert failures_table(library[0]).empty


def test_names_that_cannot_be_keys_are_skipped_with_a_reason(library):
    model = library[1] / "demo_01_steady.mid"
    for name in ("é" * 60, "two words ~ 100%", "-leading.dots..."):
        shutil.copy(model, library[1] / f"{name}.mid")
    tracks, report = _scan(library)
    assert {"two words ~ 100%", "-leading.dots..."} <= set(tracks["track_id"])
    assert "é" * 60 not in set(tracks["track_id"])
    reasons = [skipped["reason"] for skipped in report["datasets"][0]["skipped"]]
    assert any("once escaped" in reason for reason in reasons)
    assert [one.status for one in compute_track_targets(tracks, library[0])] == ["done"] * 5


def _break(library, *suffixes, name="demo_02_steady"):
    for suffix in suffixes:
        (library[1] / f"{name}{suffix}").write_bytes(b"MThd and no more")


def test_failures_depend_on_the_encoder_and_the_version(library, encoder):
    _break(library, ".flac", ".mid")
    assert _compute(library, encoder).count("failed") == 2
    # Both sources of the targets have failed: neither is retried endlessly.
    assert _pending(library, encoder) == {}
    assert _pending(library, encoder, dtype="float16")["demo_02_steady"].keys() == {"embeddings"}
    assert "demo_02_steady" in _pending(library, encoder, version="another")


def test_embeddings_of_an_older_version_are_stale(library, encoder):
    _compute(library, encoder)
    newer = {**encoder.identity, "version": "0"}
    reasons = pending_tracks(library[0], wanted=newer, targets_version=TARGETS_VERSION)
    assert len(reasons) == 3
    assert all(one == {"embeddings": "other version: '1', not '0'"} for one in reasons.values())


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError("stale file handle"),
        RuntimeError("CUDA error"),
        EncoderError("does not fit", transient=True),
    ],
    ids=lambda error: type(error).__name__,
)
def test_memory_and_device_errors_are_retried(library, encoder, monkeypatch, error):
    def failing(*_):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(type(encoder), "embed", failing)
        patch.setattr("mess_core.targets.tracks.load_audio", failing)
        assert _compute(library, encoder) == ["failed"] * 6
    assert len(_pending(library, encoder)) == 3
    assert sorted(_compute(library, encoder)) == ["done"] * 6
    assert _pending(library, encoder) == {}


def test_unexpected_errors_fail_one_track_only(library, encoder, monkeypatch):
    class Odd(Exception):
        pass

    real = type(encoder).embed

    def sometimes(self, opened):
        if "demo_02" in str(opened.path):
            raise Odd("an unexpected kind of error")
        return real(self, opened)

    monkeypatch.setattr(type(encoder), "embed", sometimes)
    assert _compute(library, encoder).count("failed") == 1
    assert _pending(library, encoder) == {}


def test_missing_midi_files_are_recorded_not_raised(library, encoder, corpus):
    _compute(library, encoder)
    tracks, _ = _scan(library)
    midi = library[1] / "demo_03_steady.mid"
    midi.unlink()
    assert list(_pending(library, encoder)) == ["demo_03_steady"]
    outcomes = list(compute_track_targets(tracks, library[0]))
    assert [one.status for one in outcomes] == ["fresh", "fresh", "failed"]
    assert _pending(library, encoder) == {}
    shutil.copy(corpus / midi.name, midi)
    assert list(_pending(library, encoder)) == ["demo_03_steady"]


def test_one_unreadable_audio_does_not_stop_the_scan(library, encoder, monkeypatch):
    import mess_core.datasets.sources as module

    real = module.file_sha256

    def refusing(path):
        if "demo_02" in str(path):
            raise AudioError("cannot be read (input/output error)", path=path)
        return real(path)

    monkeypatch.setattr(module, "file_sha256", refusing)
    tracks, _ = _scan(library)
    assert len(tracks) == 3
    by_id = tracks.set_index("track_id")["audio_sha256"]
    assert by_id.isna().to_dict() == {
        "demo_01_steady": False,
        "demo_02_steady": True,
        "demo_03_steady": False,
    }
    monkeypatch.undo()
    assert _compute(library, encoder) == ["done"] * 6


def test_tables_of_other_tracks_or_metadata_are_outdated(library, encoder):
    from mess_core.store.matrix import build_matrix
    from mess_core.store.tables import read_table

    layout, folder = library
    _compute(library, encoder)
    assert outdated_tables(layout) is None
    build_matrix(layout, read_table(layout.tracks))
    assert outdated_tables(layout) is None
    (folder / "metadata.csv").write_text("track_id,performer\ndemo_01_steady,Clara\n")
    _scan(library)
    assert "other metadata" in outdated_tables(layout)
    for path in folder.glob("demo_03_steady.*"):
        path.unlink()
    _scan(library)
    assert "demo_03_steady" in outdated_tables(layout)


def test_temporary_read_errors_delete_nothing(library, encoder, monkeypatch):
    """The stored embedding stays, and the file is not retried endlessly."""
    import mess_core.encoders.extraction as extraction
    from mess_core.store import EmbeddingStore
    from mess_core.store.failures import MAX_ATTEMPTS, failures_table

    _compute(library, encoder)
    tracks, _ = _scan(library)

    def refusing(path):
        raise AudioError("cannot be read (input/output error)", path=path, transient=True)

    real = extraction.file_sha256
    monkeypatch.setattr(extraction, "file_sha256", refusing)
    for _ in range(MAX_ATTEMPTS + 1):
        assert {one.status for one in embed_tracks(tracks, encoder, library[0])} == {"failed"}
    assert failures_table(library[0])["attempts"].tolist() == [MAX_ATTEMPTS + 1] * 3
    assert EmbeddingStore(library[0]).sidecar("takes", "demo_01_steady") is not None
    library[0].embedding_sidecar("takes", "demo_01_steady").unlink()
    assert _pending(library, encoder) == {}  # not retried, although the embedding is missing
    monkeypatch.setattr(extraction, "file_sha256", real)
    statuses = [one.status for one in embed_tracks(tracks, encoder, library[0])]
    assert sorted(statuses) == ["done", "fresh", "fresh"]
    assert failures_table(library[0]).empty
