"""Works with several performances: which are rendered, how, and what a second call does."""

import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from mess_core.datasets import parse_sources, read_tracks, shared_works
from mess_core.datasets.demo import write_midi
from mess_core.datasets.shared_works import write_shared_works
from mess_core.datasets.synthesis import Notes, synthesise
from mess_core.errors import DatasetError
from mess_core.midi.reading import read_performance

FONTS = ("a.sf2", "b.sf2")


@pytest.fixture
def played(monkeypatch):
    """Render with the small synthesiser; the soundfonts that were named."""
    used = []

    def play(notes, soundfont, *, sample_rate):
        used.append(soundfont)
        return synthesise(notes, sample_rate=sample_rate)

    monkeypatch.setattr(shared_works, "check_soundfont", lambda _: None)
    monkeypatch.setattr(shared_works, "play_soundfont", play)
    return used


@pytest.fixture
def files(tmp_path):
    """Two performances of one work and one of another; all begin after two seconds."""
    rows = []
    for track, work, count in (("x/1", "w", 60), ("x/2", "w", 60), ("x/3", "v", 60)):
        path = tmp_path / f"{track.replace('/', '-')}.mid"
        onset = 2.0 + 0.5 * np.arange(count)
        pitch = 60 + np.arange(count) % 12
        velocity = np.full(count, 40 if track == "x/1" else 90)
        write_midi(Notes(onset, onset + 0.4, pitch, velocity, np.empty((0, 2))), path)
        rows.append({"track_id": track, "midi_path": str(path), "work_id": work,
                     "composer": "c", "title": work})  # fmt: skip
    return pd.DataFrame(rows)


def test_only_works_with_company_are_rendered_from_their_first_note(files, played, tmp_path):
    out = tmp_path / "corpus"
    table = write_shared_works(files, out, FONTS, seconds=10.0, jobs=1)
    assert table["track_id"].tolist() == ["x_1", "x_2"]
    assert set(table["soundfont"]) <= set(FONTS)
    for track in table["track_id"]:
        assert sf.info(out / f"{track}.flac").duration <= 10.0
        notes = read_performance(out / f"{track}.mid")
        assert notes.onset_s[0] == pytest.approx(0.0, abs=0.01)
        assert notes.onset_s[-1] < 10.0
    tracks, _, _ = read_tracks(parse_sources(f"corpus={out}"))
    assert tracks["work_id"].nunique() == 1
    assert tracks["midi_path"].notna().all()


def test_the_level_of_a_performance_is_kept(files, played, tmp_path):
    write_shared_works(files, tmp_path / "corpus", FONTS[:1], seconds=10.0, jobs=1)
    soft, loud = (sf.read(tmp_path / "corpus" / f"x_{one}.flac")[0] for one in (1, 2))
    assert np.sqrt(np.mean(loud**2)) > 1.5 * np.sqrt(np.mean(soft**2))


def test_a_second_call_renders_what_is_missing(files, played, tmp_path):
    out = tmp_path / "corpus"
    write_shared_works(files, out, FONTS, seconds=12.0, jobs=1)
    (out / "x_2.flac").unlink()
    played.clear()
    write_shared_works(files, out, FONTS, seconds=12.0, jobs=1)
    assert len(played) == 1


def test_a_folder_with_a_corpus_of_other_settings_is_refused(files, played, tmp_path):
    write_shared_works(files, tmp_path / "corpus", FONTS, seconds=12.0, jobs=1)
    with pytest.raises(DatasetError, match="corpus of other settings"):
        write_shared_works(files, tmp_path / "corpus", FONTS, seconds=13.0, jobs=1)


def test_an_unreadable_performance_is_left_out_and_named(files, played, tmp_path):
    lines = []
    more = pd.concat([files, files[files["track_id"] == "x/1"].assign(track_id="x/4")])
    broken = tmp_path / "broken.mid"
    broken.write_bytes(b"MThd")
    more.loc[more["track_id"] == "x/4", "midi_path"] = str(broken)
    table = write_shared_works(more, tmp_path / "c", FONTS, seconds=12.0, jobs=1, say=lines.append)
    assert table["track_id"].tolist() == ["x_1", "x_2"]
    assert any("broken.mid" in line for line in lines)


def test_without_company_there_is_nothing_to_render(files, played, tmp_path):
    with pytest.raises(DatasetError, match="no work has two performances"):
        write_shared_works(files.iloc[1:], tmp_path / "corpus", FONTS, jobs=1)
