"""The track table knows shared music; folds keep it together; a person's corrections count."""

import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mess_core.datasets.demo import write_midi
from mess_core.datasets.sources import parse_sources
from mess_core.datasets.synthesis import Notes
from mess_core.errors import DatasetError
from mess_core.evaluation.leaks import split_leaks
from mess_core.evaluation.splits import Fold, Split, make_split, work_groups
from mess_core.store.layout import Layout
from mess_core.store.music import check_labels, library_sketches, store_labels
from mess_core.store.tables import read_table
from mess_core.store.track_table import refresh_tracks
from tests.fixtures.pieces import piece

TITLES = {"one": "Tarantella", "two": "Venezia", "three": "Islamey", "four": "Feux"}


@pytest.fixture
def library(tmp_path):
    """Four tracks; "one" and "two" are one music under two titles."""
    folder = tmp_path / "takes"
    folder.mkdir()
    for name, seed, tempo in (("one", 1, 1.0), ("two", 1, 1.2), ("three", 2, 1.0), ("four", 3, 1)):
        found = piece(seed, tempo=tempo)
        notes = (found.onset_s, found.offset_s, found.pitch, found.velocity, np.empty((0, 2)))
        write_midi(Notes(*notes), folder / f"{name}.mid")
    rows = [{"track_id": name, "composer": "Someone", "title": t} for name, t in TITLES.items()]
    pd.DataFrame(rows).to_csv(folder / "metadata.csv", index=False)
    layout = Layout(tmp_path / "data")
    return layout, parse_sources(f"takes={folder}")


def test_tracks_that_share_music_are_one_group_whatever_their_titles(library):
    layout, sources = library
    tracks, _ = refresh_tracks(layout, sources)
    music = dict(zip(tracks["track_id"], tracks["music"], strict=True))
    assert music["one"] == music["two"]
    assert len(set(music.values())) == 3
    groups = dict(zip(tracks["track_id"], work_groups(tracks), strict=True))
    assert groups["one"] == groups["two"]
    assert len(set(groups.values())) == 3
    split = make_split(tracks, folds=3)
    assert not split_leaks(tracks, split)
    assert split.fold_of()["one"] == split.fold_of()["two"]


def test_a_split_by_titles_alone_is_caught(library):
    layout, sources = library
    tracks, _ = refresh_tracks(layout, sources)
    fold = Fold(train=("one", "three"), test=("two", "four"))
    leaks = split_leaks(tracks, Split("work", 0, (fold,), {}))
    assert [one.kind for one in leaks] == ["music"]


def test_files_are_read_once_and_again_when_changed(library, monkeypatch):
    from mess_core.store import music

    layout, sources = library
    read = []
    original = music.note_sketches
    monkeypatch.setattr(
        music, "note_sketches", lambda paths: read.append(len(paths)) or original(paths)
    )
    tracks, _ = refresh_tracks(layout, sources)
    refresh_tracks(layout, sources)
    assert read == [4]
    path = tracks["midi_path"].iloc[0]
    os.utime(path, (1, 1))
    again = library_sketches(layout, tracks)
    assert read == [4, 1]
    assert all(len(one) for one in again)


def test_an_unreadable_file_shares_nothing(library):
    layout, sources = library
    tracks, _ = refresh_tracks(layout, sources)
    path = tracks.set_index("track_id").loc["two", "midi_path"]
    Path(path).write_bytes(b"MThd")
    tracks, _ = refresh_tracks(layout, sources)
    assert pd.isna(tracks.set_index("track_id").loc["two", "music"])


def test_disagreements_are_stored_and_a_correction_settles_them(library):
    layout, sources = library
    refresh_tracks(layout, sources)
    (found,) = store_labels(layout).itertuples()
    assert {found.track_id, found.other} == {"one", "two"}
    assert re.fullmatch(r"0:\d\d-[34]:\d\d = 0:\d\d-[34]:\d\d", found.stretches)
    assert not check_labels(layout).passed
    work = read_table(layout.tracks).set_index("track_id").loc["one", "work_id"]
    layout.work_overrides.write_text(f"\ufefftrack_id, work_id\ntwo, {work}\ngone,{work}\n")
    tracks, report = refresh_tracks(layout, sources)
    assert tracks.set_index("track_id").loc["two", "work_id"] == work
    assert report["unknown_overrides"] == ["gone"]
    assert store_labels(layout).empty
    assert check_labels(layout).passed


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("track,work\na,b\n", "lacks the column 'track_id'; it has track, work"),
        ("track_id;work_id\none;\n", "line 2"),
        ("track_id,work_id\none,a\none,b\n", "line 3"),
        ('track_id,work_id\n"one,a\n', "line 2: a quotation mark is not closed"),
        ("", "empty table"),
    ],
)
def test_a_wrong_file_of_corrections_names_the_line(library, text, message):
    layout, sources = library
    refresh_tracks(layout, sources)
    layout.work_overrides.write_text(text)
    with pytest.raises(DatasetError, match=message):
        refresh_tracks(layout, sources)
