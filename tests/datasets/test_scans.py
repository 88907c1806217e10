"""Folder layouts become rows of one table, and skipped files are reported with a reason."""

import csv
import json
import unicodedata

import numpy as np
import pytest
import soundfile as sf

from mess_core.datasets import base, configured_sources, layouts, parse_sources, read_tracks
from mess_core.datasets.base import Track, track_table, validate_track_table
from mess_core.datasets.layouts import scan_source, scanner
from mess_core.errors import DatasetError

ROWS = [
    {
        "canonical_composer": "Frédéric Chopin",
        "canonical_title": "Etude Op. 25 No. 11 in A Minor",
        "split": "train",
        "year": "2008",
        "midi_filename": f"2008/take{number}.midi",
        "audio_filename": f"2008/take{number}.wav",
        "duration": "2.5",
    }
    for number in range(4)
]


def _maestro(folder, metadata="csv", audio=".wav"):
    (folder / "2008").mkdir(parents=True)
    if metadata == "csv":
        with (folder / "maestro-v3.0.0.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(ROWS[0]))
            writer.writeheader()
            writer.writerows(ROWS)
    elif metadata == "v3":
        columns = {name: {str(i): row[name] for i, row in enumerate(ROWS)} for name in ROWS[0]}
        (folder / "maestro-v3.0.0.json").write_text(json.dumps(columns))
    else:
        (folder / "maestro-v2.0.0.json").write_text(json.dumps(ROWS))
    for number in (0, 1):
        sf.write(folder / f"2008/take{number}{audio}", 0.1 * np.ones(24_000), 24_000)
    for number in (0, 2):
        (folder / f"2008/take{number}.midi").write_bytes(b"MThd")
    return folder


@pytest.mark.parametrize("metadata", ["csv", "v3", "v2"])
@pytest.mark.parametrize("audio", [".wav", ".flac"])
def test_maestro_in_every_published_form(tmp_path, metadata, audio):
    scan = scan_source(_maestro(tmp_path / "m", metadata, audio), "maestro")
    assert scan.layout == "maestro"
    have = {t.track_id: (t.audio_path is not None, t.midi_path is not None) for t in scan.tracks}
    assert have == {"take0": (True, True), "take1": (True, False), "take2": (False, True)}
    assert scan.tracks[0].work_id == "chopin:op25-11"
    assert scan.tracks[0].year == 2008
    assert [skipped.reason for skipped in scan.skipped] == [
        "neither its audio nor its MIDI is in the folder"
    ]


def test_metadata_cannot_point_outside_its_folder(tmp_path):
    folder = _maestro(tmp_path / "m")
    metadata = folder / "maestro-v3.0.0.csv"
    metadata.write_text(metadata.read_text().replace("2008/take0.midi", "../../etc/passwd"))
    with pytest.raises(DatasetError, match="outside its folder"):
        scan_source(folder, "maestro")


@pytest.mark.parametrize("content", ["", "nonsense\n1\n", "{broken"])
def test_unusable_metadata_names_the_file(tmp_path, content):
    name = "maestro-v3.0.0.json" if content.startswith("{") else "maestro-v3.0.0.csv"
    (tmp_path / name).write_text(content)
    with pytest.raises(DatasetError, match=r"maestro-v3\.0\.0"):
        scan_source(tmp_path, "maestro")


@pytest.mark.parametrize("audio_folder", ["wav_44100_stereo", "wav-44"])
def test_smd_in_both_layouts(tmp_path, audio_folder):
    (tmp_path / "midi").mkdir()
    (tmp_path / audio_folder).mkdir()
    names = ["Chopin_Op028-15_006_20100611-SMD", "Beethoven_Op027No1-02_003_20090916-SMD"]
    for name in [*names, "stray"]:
        (tmp_path / "midi" / f"{name}.mid").write_bytes(b"MThd")
    sf.write(tmp_path / audio_folder / f"{names[0]}.wav", 0.1 * np.ones(100), 24_000)
    scan = scan_source(tmp_path, "smd")
    assert scan.layout == "smd"
    assert {t.track_id: t.work_id for t in scan.tracks} == {
        names[0]: "chopin:op28-15",
        names[1]: "beethoven:op27-1",
    }
    chopin = next(t for t in scan.tracks if t.track_id == names[0])
    assert (chopin.performer, chopin.year) == ("SMD-006", 2010)
    assert chopin.audio_path is not None
    assert [skipped.reason for skipped in scan.skipped] == ["its name is not an SMD performance's"]


def test_folder_pairs_audio_with_midi_and_reads_metadata(tmp_path):
    for name in ("a.wav", "sub/b.flac", "c__anna.mid", "notes.txt", ".hidden.wav"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    (tmp_path / "a.mid").write_bytes(b"x")
    (tmp_path / "metadata.csv").write_text(
        "track_id,composer,title,performer,year\na,Bach,Prelude BWV 846,Glenn,1962\nzz,,,,\n"
    )
    scan = scan_source(tmp_path, "mine")
    by_id = {track.track_id: track for track in scan.tracks}
    assert set(by_id) == {"a", "b", "c__anna"}
    assert by_id["a"].midi_path is not None
    assert (by_id["a"].work_id, by_id["a"].year) == ("bach:bwv846", 1962)
    assert (by_id["c__anna"].work_id, by_id["c__anna"].performer) == ("mine:c", "anna")
    reasons = sorted(skipped.reason for skipped in scan.skipped)
    assert reasons == ["neither audio nor MIDI by its suffix", "row 'zz' has no file"]


def test_equal_names_in_different_folders_are_different_tracks(tmp_path):
    for name in (
        "CD1/01.wav",
        "CD2/01.wav",
        "CD2/01.mid",
        "CD2/02.wav",
        "a/x__ann.wav",
        "x__ann.mid",
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    (tmp_path / "metadata.csv").write_text("track_id,year\n01,1999\nCD2/01,1962\n")
    scan = scan_source(tmp_path, "discs")
    by_id = {track.track_id: track for track in scan.tracks}
    assert set(by_id) == {"CD1/01", "CD2/01", "02", "a/x__ann", "x__ann"}
    assert (by_id["CD2/01"].midi_path is not None, by_id["CD2/01"].year) == (True, 1962)
    assert by_id["CD1/01"].work_id != by_id["CD2/01"].work_id
    assert {by_id[name].work_id for name in ("a/x__ann", "x__ann")} == {"discs:x"}
    (skipped,) = scan.skipped
    assert skipped.reason == "row '01' could be CD1/01 or CD2/01: write the folder too"


@pytest.mark.parametrize("depth", ["archive", "archive/unpacked/again"])
def test_archive_one_folder_deeper_keeps_its_layout(tmp_path, depth):
    _maestro(tmp_path / depth / "maestro-v3.0.0")
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "archive" / "LICENSE").write_text("x")
    scan = scan_source(tmp_path, "maestro")
    assert (scan.layout, len(scan.tracks)) == ("maestro", 3)


@pytest.mark.parametrize("own", ["mine/a.wav", "a.wav"])
def test_data_set_within_a_plain_folder_is_named(tmp_path, own):
    _maestro(tmp_path / "maestro-v3.0.0")
    (tmp_path / own).parent.mkdir(exist_ok=True)
    (tmp_path / own).write_bytes(b"x")
    scan = scan_source(tmp_path, "all")
    assert (scan.layout, len(scan.tracks)) == ("folder", 4)
    reasons = [skipped.reason for skipped in scan.skipped if "maestro-v3.0.0" in skipped.path]
    assert "a data set of its own (maestro)" in reasons[0]


def test_folders_are_data_sets_whatever_their_names(tmp_path):
    names = ("maestro-v3.0.0", "My Takes", "Schöne Stücke", "Чайковский", "my_own", ".hidden")
    for name in (*names, "My-Takes"):
        (tmp_path / "datasets" / name).mkdir(parents=True)
    found = {source.root.rpartition("/")[2]: source.name for source in configured_sources(tmp_path)}
    assert found.pop("Чайковский").startswith("dataset-")
    assert found.pop("My Takes") != found.pop("My-Takes") == "My-Takes"
    assert found == {
        "maestro-v3.0.0": "maestro-v3.0.0",
        "Schöne Stücke": "Schone-Stucke",
        "my_own": "my_own",
    }
    for source in configured_sources(tmp_path):
        assert parse_sources(f"{source.name}={source.root}")[0].name == source.name


def test_two_spellings_of_one_umlaut_are_one_track(tmp_path):
    for form, suffix in (("NFC", "wav"), ("NFD", "mid")):
        (tmp_path / f"{unicodedata.normalize(form, 'Händel')}.{suffix}").write_bytes(b"x")
    (track,) = scan_source(tmp_path, "mine").tracks
    assert track.audio_path is not None
    assert track.midi_path is not None


def test_real_maestro_folder(real_data):
    scan = scan_source(real_data / "maestro-midi", "maestro")
    assert len(scan.tracks) == 599
    assert all(track.midi_path and not track.audio_path for track in scan.tracks)


def test_real_smd_folder(real_data):
    scan = scan_source(real_data / "smd", "smd")
    assert len(scan.tracks) == 50
    assert not scan.skipped
    assert len({track.performer for track in scan.tracks}) == 8


def test_demo_corpus_is_a_folder_with_known_works(corpus):
    scan = scan_source(corpus, "demo")
    assert len(scan.tracks) == 12
    assert not scan.skipped
    assert len({track.work_id for track in scan.tracks}) == 6
    assert {track.performer for track in scan.tracks} == {"steady", "free"}


def test_same_id_in_two_data_sets_is_reported_not_raised(tmp_path, corpus):
    other = tmp_path / "other"
    other.mkdir()
    first = sorted(corpus.glob("*.flac"))[0]
    (other / first.name).write_bytes(first.read_bytes())
    sources = parse_sources(f"demo={corpus},other={other}")
    tracks, report, _ = read_tracks(sources)
    assert len(tracks) == 12
    assert "taken by data set 'demo'" in report["datasets"][1]["skipped"][0]["reason"]


def test_hashes_are_reused_until_a_file_changes(corpus, tmp_path, monkeypatch):
    import mess_core.datasets.sources as module

    folder = tmp_path / "demo"
    folder.mkdir()
    for path in sorted(corpus.glob("*.flac"))[:3]:
        (folder / path.name).write_bytes(path.read_bytes())
    sources = parse_sources(f"demo={folder}")
    _, _, hashes = read_tracks(sources)
    hashed = []
    real = module.file_sha256
    monkeypatch.setattr(module, "file_sha256", lambda path: hashed.append(path) or real(path))
    read_tracks(sources, known_hashes=hashes)
    assert hashed == []
    changed = sorted(folder.iterdir())[0]
    sf.write(changed, 0.1 * np.ones(30_000), 24_000)
    tracks, _, _ = read_tracks(sources, known_hashes=hashes)
    assert hashed == [str(changed)]
    assert tracks["duration_s"].min() == pytest.approx(1.25)


@pytest.mark.parametrize("text", ["maestro", "=x", "a=", "a=x,a=y", "../x=y"])
def test_malformed_sources_are_refused(text):
    with pytest.raises(DatasetError, match="MESS_DATASETS"):
        parse_sources(text)


def test_every_registered_layout_can_be_named_in_the_settings():
    @scanner("pieces_tsv", recognises=lambda root: False)
    def scan(root, dataset): ...

    try:
        for layout in layouts._SCANNERS:
            (source,) = parse_sources(f"a={layout}:/y")
            assert (source.layout, source.root) == (layout, "/y")
    finally:
        del layouts._SCANNERS["pieces_tsv"]
    for impossible in ("c", "pieces.tsv", "two words"):
        with pytest.raises(ValueError, match="identifier"):
            scanner(impossible, recognises=lambda root: False)


def test_missing_configuration_has_a_remedy(tmp_path):
    with pytest.raises(DatasetError, match="mess demo"):
        configured_sources(tmp_path)
    with pytest.raises(DatasetError, match="does not exist"):
        read_tracks(parse_sources("a=/nowhere/at/all"))


def test_schema_names_column_and_value(corpus):
    tracks, _, _ = read_tracks(parse_sources(f"demo={corpus}"))
    tracks.loc[0, "split"] = "holdout"
    with pytest.raises(DatasetError, match=r"'split'.*holdout"):
        validate_track_table(tracks)


def test_a_new_layout_is_one_function(tmp_path):

    (tmp_path / "takes.list").write_text("x")

    @scanner("listed", recognises=lambda root: (root / "takes.list").is_file(), priority=1)
    def scan(root, dataset):
        found = base.Scan(dataset, "listed", str(root))
        found.tracks.append(Track("x", dataset, str(root / "x.wav"), None))
        return found

    try:
        assert scan_source(tmp_path, "new").layout == "listed"
    finally:
        del layouts._SCANNERS["listed"]


def test_paths_in_the_table_are_absolute(corpus, monkeypatch):
    monkeypatch.chdir(corpus.parent)
    tracks, _, _ = read_tracks(parse_sources("demo=demo"))
    assert tracks["audio_path"].str.startswith("/").all()
    assert tracks["midi_path"].str.startswith("/").all()


def test_error_in_one_row_of_metadata_affects_nothing_else(tmp_path):
    for name in ("a", "b", "c", "d", "e"):
        (tmp_path / f"{name}.wav").write_bytes(b"x")
    (tmp_path / "metadata.csv").write_text(
        "track_id,composer,title,split,year\n"
        "a,Bach,Aria,practice,1962\n"
        "b,Bach,Fugue,train,17th\n"
        "c,Bach,Gigue,test,²\n"
        "d\n"
        "e,Bach,Air,train,999999\n"
        "e,Haydn,Air,train,1999\n"
        ",Bach,Air,,\n"
    )
    scan = scan_source(tmp_path, "mine")
    by_id = {track.track_id: track for track in scan.tracks}
    assert [by_id[name].composer for name in "abcde"] == ["Bach", "Bach", "Bach", None, "Bach"]
    assert [by_id[name].year for name in "abcde"] == [1962, None, None, None, None]
    assert [by_id[name].split for name in "abcde"] == [None, "train", "test", None, "train"]
    assert len(track_table({"mine": scan})) == 5
    reasons = " ".join(skipped.reason for skipped in scan.skipped)
    for part in ("'practice'", "'17th'", "'²'", "'999999'", "lists 'e' again", "no track_id"):
        assert part in reasons


def test_error_in_one_row_of_maestro_affects_nothing_else(tmp_path):
    folder = _maestro(tmp_path / "m")
    metadata = folder / "maestro-v3.0.0.csv"
    metadata.write_text(
        metadata.read_text().replace("2008,2008/take0.midi", "MMVIII,2008/take0.midi")
    )
    metadata.write_text(metadata.read_text() + "Chopin\n")
    scan = scan_source(folder, "maestro")
    assert {track.track_id: track.year for track in scan.tracks}["take0"] is None
    assert len(scan.tracks) == 3
    reasons = " ".join(skipped.reason for skipped in scan.skipped)
    assert "'MMVIII'" in reasons
    assert "lacks its file" in reasons
