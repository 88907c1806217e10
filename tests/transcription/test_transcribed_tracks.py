"""Transcribed notes of a library: stored beside it, marked, and never in place of a user's file."""

import numpy as np
import pytest
import soundfile as sf

from mess_core.datasets.demo import Expression, demo_score, perform, write_midi
from mess_core.datasets.sources import parse_sources
from mess_core.datasets.synthesis import synthesise
from mess_core.errors import AudioError
from mess_core.midi.reading import read_performance
from mess_core.store import Layout, read_table
from mess_core.store.failures import failures_table
from mess_core.store.track_table import outdated_tables, refresh_tracks
from mess_core.targets import collect_proxy_targets, compute_track_targets
from mess_core.transcription import Transcriber, transcribe_tracks

NOTES = perform(demo_score(0, bars=2), Expression(), seed=0)


class Known:
    """A model that hears the same notes in every recording, or fails."""

    name = "known 1"

    def __init__(self, error: Exception | None = None) -> None:
        self.error, self.heard = error, []

    def notes(self, path):
        self.heard.append(path)
        if self.error is not None:
            raise self.error
        return NOTES


@pytest.fixture
def library(tmp_path):
    folder = tmp_path / "takes"
    folder.mkdir()
    for name in ("audio only", "both"):
        sf.write(
            folder / f"{name}.flac", synthesise(NOTES) * (0.5 if name == "both" else 1), 24_000
        )
    write_midi(NOTES, folder / "both.mid")
    layout, sources = Layout(tmp_path / "root"), parse_sources(f"takes={folder}")
    return layout, sources, folder


def transcribe(layout, sources, model):
    tracks, _ = refresh_tracks(layout, sources)
    return {one.track_id: one for one in transcribe_tracks(tracks, layout, model)}


def test_only_recordings_without_midi_are_transcribed_and_marked_everywhere(library):
    layout, sources, folder = library
    files = {path: path.read_bytes() for path in folder.iterdir()}
    outcomes = transcribe(layout, sources, Known())
    assert {name: one.status for name, one in outcomes.items()} == {
        "audio only": "done",
        "both": "no audio",
    }
    tracks, _ = refresh_tracks(layout, sources)
    assert dict(zip(tracks["track_id"], tracks["midi_source"], strict=True)) == {
        "audio only": "known 1",
        "both": "file",
    }
    assert {path: path.read_bytes() for path in folder.iterdir()} == files
    list(compute_track_targets(tracks, layout))
    table, _ = collect_proxy_targets(tracks, layout)
    assert table.set_index("track_id")["midi_source"].to_dict() == {
        "audio only": "known 1",
        "both": "file",
    }
    assert table["articulation_ratio"].notna().all()
    path = tracks.set_index("track_id").loc["audio only", "midi_path"]
    assert np.allclose(read_performance(path).onset_s, np.sort(NOTES.onset_s), atol=1e-3)


def test_a_transcription_is_reused_until_the_audio_or_the_model_changes(library):
    layout, sources, folder = library
    transcribe(layout, sources, Known())
    again = Known()
    assert transcribe(layout, sources, again)["audio only"].status == "fresh"
    assert again.heard == []
    sf.write(folder / "audio only.flac", synthesise(NOTES)[5000:], 24_000)
    tracks, _ = refresh_tracks(layout, sources)
    assert tracks.set_index("track_id")["midi_source"].isna()["audio only"]
    assert transcribe(layout, sources, again)["audio only"].status == "done"
    newer = Known()
    newer.name = "known 2"
    assert transcribe(layout, sources, newer)["audio only"].status == "done"


def test_midi_that_is_added_later_takes_precedence_and_outdates_the_tables(library):
    layout, sources, folder = library
    layout = layout.of("mess-piano")
    transcribe(layout, sources, Known())
    tracks, _ = refresh_tracks(layout, sources)
    list(compute_track_targets(tracks, layout))
    collect_proxy_targets(tracks, layout)
    assert outdated_tables(layout) is None
    write_midi(NOTES, folder / "audio only.mid")
    refresh_tracks(layout, sources)
    assert read_table(layout.tracks)["midi_source"].tolist() == ["file", "file"]
    assert outdated_tables(layout) is not None


def test_a_lost_transcription_is_made_again_and_never_pointed_to(library):
    layout, sources, _ = library
    transcribe(layout, sources, Known())
    layout.transcription("takes", "audio only").unlink()
    tracks, _ = refresh_tracks(layout, sources)
    assert tracks.set_index("track_id")["midi_path"].isna()["audio only"]
    assert transcribe(layout, sources, Known())["audio only"].status == "done"


def test_tracks_of_a_data_set_that_cannot_be_read_stay_transcribed(library):
    layout, sources, folder = library
    transcribe(layout, sources, Known())
    refresh_tracks(layout, sources)
    folder.rename(folder.with_name("away"))
    tracks, _ = refresh_tracks(layout, sources)
    assert tracks.set_index("track_id")["midi_source"].to_dict() == {
        "audio only": "known 1",
        "both": "file",
    }


def test_a_renamed_recording_keeps_its_notes(library):
    layout, sources, folder = library
    transcribe(layout, sources, Known())
    refresh_tracks(layout, sources)
    (folder / "audio only.flac").rename(folder / "another name.flac")
    tracks, report = refresh_tracks(layout, sources)
    assert report["renamed"] == [["audio only", "another name"]]
    assert tracks.set_index("track_id")["midi_source"]["another name"] == "known 1"
    assert not layout.transcription("takes", "audio only").exists()


@pytest.mark.parametrize("error", [AudioError("holds no piano notes"), ValueError("broken")])
def test_a_recording_that_cannot_be_transcribed_is_recorded_and_stops_nothing(library, error):
    layout, sources, _ = library
    outcomes = transcribe(layout, sources, Known(error))
    assert outcomes["audio only"].status == "failed"
    failures = failures_table(layout)
    assert failures[["track_id", "stage"]].to_numpy().tolist() == [["audio only", "transcription"]]
    assert not layout.transcription("takes", "audio only").exists()
    transcribe(layout, sources, Known())
    assert failures_table(layout).empty


def test_transkun_finds_synthetic_chords():
    pytest.importorskip("transkun", reason="the extra `transcribe` is not installed")
    onsets = np.array([0.3, 0.3, 0.8, 0.8])
    notes = NOTES.__class__(
        onsets, onsets + 0.4, np.array([48, 64, 50, 65]), np.array([70] * 4), np.empty((0, 2))
    )
    heard = Transcriber("cpu").notes_of(synthesise(notes, sample_rate=44_100))
    found = set(zip(heard.pitch.tolist(), heard.onset_s.round(1).tolist(), strict=True))
    assert {(48, 0.3), (64, 0.3), (50, 0.8), (65, 0.8)} <= found
