"""A data set that cannot be read now keeps what was computed, and is reported."""

import shutil

import pytest

from mess_core.datasets import list_track_ids, parse_sources, read_tracks, scan_source
from mess_core.datasets.demo import write_demo_corpus
from mess_core.errors import DatasetError
from mess_core.store.layout import Layout
from mess_core.store.tables import read_table
from mess_core.store.track_table import check_tracks, pending_tracks, refresh_tracks, scan_summary
from mess_core.targets import compute_aligned_targets, compute_track_targets, proxy_target_table
from mess_core.targets.registry import TARGETS_VERSION

WANTED = {"encoder": "none", "window_s": 5.0, "hop_s": 2.5}


@pytest.fixture
def library(tmp_path):
    for name, seed in (("one", 0), ("two", 1)):
        write_demo_corpus(tmp_path / name, works=1, players=2, bars=2, seed=seed)
    for path in (tmp_path / "two").iterdir():
        path.rename(path.with_name(path.name.replace("demo_01", "demo_99")))
    metadata = tmp_path / "two" / "metadata.csv"
    metadata.write_text(metadata.read_text().replace("demo_01", "demo_99"))
    layout = Layout(tmp_path / "root", "none")
    sources = parse_sources(f"one={tmp_path}/one,two={tmp_path}/two")
    tracks, _ = refresh_tracks(layout, sources)
    assert len(tracks) == 4
    for computed in (
        compute_track_targets(tracks, layout),
        compute_aligned_targets(tracks, layout),
    ):
        list(computed)
    return layout, sources, tmp_path / "two"


def _unmount(folder):
    shutil.rmtree(folder)


def _empty(folder):
    _unmount(folder)
    folder.mkdir()


def _only_strangers(folder):
    _empty(folder)
    (folder / "lost+found").mkdir()
    (folder / "notes.txt").touch()


@pytest.mark.parametrize("lose", [_unmount, _empty, _only_strangers])
def test_its_tracks_and_results_stay_and_it_is_reported(library, lose):
    layout, sources, folder = library
    before, _ = refresh_tracks(layout, sources)
    targets = proxy_target_table(before, layout)
    lose(folder)
    after, report = refresh_tracks(layout, sources)
    assert after.equals(before)
    assert (report["removed"], report["changed"]) == ([], [])
    assert [one["dataset"] for one in report["problems"]] == ["two"]
    assert any("'two'" in line and "2 tracks stay" in line for line in scan_summary(layout))
    assert not check_tracks(layout).passed
    list(compute_aligned_targets(after, layout))
    assert proxy_target_table(after, layout).equals(targets)
    pending = pending_tracks(layout, wanted=WANTED, targets_version=TARGETS_VERSION)
    assert {name for name, why in pending.items() if "track_targets" in why} == set()
    assert not any(name.startswith("demo_99") for name in pending)
    assert list_track_ids(sources, known_tracks=after) == before["track_id"].tolist()


def test_it_is_read_again_once_it_is_back(library):
    layout, sources, folder = library
    shutil.move(folder, folder.with_name("away"))
    refresh_tracks(layout, sources)
    shutil.move(folder.with_name("away"), folder)
    _, report = refresh_tracks(layout, sources)
    assert report["problems"] == []
    assert check_tracks(layout).passed


@pytest.mark.parametrize("there", [True, False])
def test_nothing_at_all_is_one_clear_error(tmp_path, there):
    folder = tmp_path / "takes"
    if there:
        folder.mkdir()
    with pytest.raises(DatasetError, match=r"no recordings|does not exist") as raised:
        read_tracks(parse_sources(f"takes={folder}"))
    assert raised.value.remedy
    assert str(folder) in str(raised.value)


def test_a_missing_folder_does_not_stop_the_first_scan_of_another(tmp_path):
    write_demo_corpus(tmp_path / "one", works=1, players=2, bars=2)
    sources = parse_sources(f"gone={tmp_path}/gone,one={tmp_path}/one")
    tracks, report, _ = read_tracks(sources)
    assert len(tracks) == 2
    assert [(one["dataset"], one["tracks"]) for one in report["problems"]] == [("gone", 0)]


def test_a_data_set_that_is_no_longer_configured_is_removed(library):
    layout, sources, _ = library
    tracks, report = refresh_tracks(layout, sources[:1])
    assert len(tracks) == 2
    assert len(report["removed"]) == 2


def test_hashes_of_files_that_are_away_are_kept(library):
    layout, sources, folder = library
    before = read_table(layout.audio_hashes)
    shutil.move(folder, folder.with_name("away"))
    refresh_tracks(layout, sources)
    assert set(read_table(layout.audio_hashes)["path"]) == set(before["path"])


def test_an_error_of_the_disk_is_as_a_missing_folder(library, monkeypatch):
    layout, sources, _ = library

    def failing(root, name, **options):
        if name == "two":
            raise OSError(5, "Input/output error")
        return scan_source(root, name, **options)

    monkeypatch.setattr("mess_core.datasets.sources.scan_source", failing)
    _, report = refresh_tracks(layout, sources)
    assert [one["dataset"] for one in report["problems"]] == ["two"]


def test_one_file_in_two_sources_is_read_once(tmp_path):
    write_demo_corpus(tmp_path / "all" / "cd1", works=1, players=2, bars=2)
    sources = parse_sources(f"inner={tmp_path}/all/cd1,outer=folder:{tmp_path}/all")
    tracks, _, hashes = read_tracks(sources)
    assert hashes["path"].is_unique
    assert tracks["audio_sha256"].notna().all()
