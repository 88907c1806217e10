"""Tables as people save them are read, or refused with file, line and remedy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from upath import UPath

from mess_core.datasets import scan_source
from mess_core.datasets.sources import parse_sources, read_tracks
from mess_core.datasets.text_tables import read_text_table
from mess_core.errors import DatasetError

PLAIN = "track_id,composer,title,year\ntake1,Händel,Suite,1985\ntake2,Bach,Partita,\n"


def write(folder, content, encoding="utf-8"):
    path = folder / "metadata.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return UPath(path)


def rows(path):
    found = read_text_table(path, required=("track_id",), known=("composer", "title", "year"))
    return [row for _, row in found.rows], found.notes


@pytest.mark.parametrize(
    ("change", "encoding", "noted"),
    [
        (lambda text: text.replace(",", ";"), "utf-8", 0),
        (lambda text: text.replace(",", "\t"), "utf-8", 0),
        (lambda text: text.replace("\n", "\r\n"), "utf-8-sig", 0),
        (lambda text: text.replace("\n", "\r"), "utf-8", 0),
        (lambda text: text, "latin-1", 1),
        (lambda text: text, "utf-16", 1),
        (lambda text: text.replace("composer", " Composer ").replace("year", "YEAR"), "utf-8", 0),
        (lambda text: text.replace("Partita", " Partita "), "utf-8", 0),
        (lambda text: text + "\n\n,,,\n", "utf-8", 0),
    ],
)
def test_equal_content_is_read_whatever_saved_it(tmp_path, change, encoding, noted):
    expected, _ = rows(write(tmp_path, PLAIN))
    found, notes = rows(write(tmp_path, change(PLAIN), encoding))
    assert found == expected
    assert len(notes) == noted


def test_missing_values_are_nothing(tmp_path):
    found, _ = rows(write(tmp_path, "track_id,composer,title\na,NaN,null\nb,None,n/a\n"))
    assert [row["composer"] for row in found] == ["", ""]
    assert [row["title"] for row in found] == ["", ""]


def test_quoted_delimiters_and_marks_are_kept(tmp_path):
    (row,), _ = rows(write(tmp_path, 'track_id,title\na,"Prelude, ""Raindrop"""\n'))
    assert row["title"] == 'Prelude, "Raindrop"'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,composer\na,b\n", "lacks the column 'track_id'; it has name, composer"),
        ("track_id,title,Title\na,b,c\n", "has the column 'title' twice"),
        ('track_id,title\na,"Sonata\nb,Suite\nc,Partita\n', "line 2: a quotation mark"),
        ('track_id,title\na,"Sonata\nb,Suite\nc,"Partita"\n', "line 2"),
        ("", "empty table"),
        ("\n\n", "empty table"),
    ],
)
def test_what_is_not_certain_is_refused_with_its_line(tmp_path, text, message):
    with pytest.raises(DatasetError, match=message) as caught:
        rows(write(tmp_path, text))
    assert "metadata.csv" in str(caught.value)


def test_unknown_columns_and_long_rows_are_noted(tmp_path):
    found, notes = rows(write(tmp_path, "track_id,mood,title\na,sad,x\nb,gay,y,z\n"))
    assert [row["track_id"] for row in found] == ["a"]
    assert notes == [
        "columns that are not used: mood", "line 3 has 4 fields, the header 3: left out"
    ]  # fmt: skip


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(tmp_path_factory, content):
    path = write(tmp_path_factory.mktemp("table"), b"track_id,title\n" + content)
    try:
        found, _ = rows(path)
    except DatasetError:
        return
    assert all(isinstance(value, str) for row in found for value in row.values())


@pytest.fixture
def takes(tmp_path):
    folder = tmp_path / "takes"
    folder.mkdir()
    for name in ("take1", "take2"):
        (folder / f"{name}.mid").touch()
    return folder


def test_works_are_grouped_whatever_the_case_of_the_header(takes):
    text = "Track_ID; Composer;TITLE;Year\ntake1;Bach;BWV 846;2018.0\ntake2;Bach;BWV 846;nan\n"
    write(takes, text)
    first, second = scan_source(takes, "takes").tracks
    assert first.work_id == second.work_id == "bach:bwv846"
    assert first.year == 2018
    assert second.year is None


def test_a_name_that_is_no_text_is_skipped_and_the_others_go_on(takes):
    (takes / b"K\xfcnstler".decode("utf-8", "surrogateescape")).mkdir()
    for name in (b"liesm\xfc.txt", b"take\xff3.mid", b"K\xfcnstler/take4.mid"):
        (takes / name.decode("utf-8", "surrogateescape")).touch()
    tracks, report, _ = read_tracks(parse_sources(f"takes={takes}"))
    assert tracks["track_id"].tolist() == ["take1", "take2"]
    skipped = {
        one["path"].rpartition("/")[2]: one["reason"] for one in report["datasets"][0]["skipped"]
    }
    assert "rename it" in skipped["take\\xff3.mid"]
    assert "rename it" in skipped["take4.mid"]
    assert "liesm\\xfc.txt" in skipped
    str(report).encode()


def maestro(folder, *, suffix=".midi", slash="/"):
    (folder / "2008").mkdir(parents=True)
    (folder / "2008" / f"a{suffix}").touch()
    header = "canonical_composer,canonical_title,split,year,midi_filename,audio_filename,duration"
    row = f"Bach,BWV 846,train,2008,2008{slash}a.midi,2008{slash}a.wav,60"
    (folder / "maestro-v3.0.0.csv").write_text(f"{header}\n{row}\n")


@pytest.mark.parametrize("suffix", [".midi", ".mid", ".MIDI", ".MID"])
@pytest.mark.parametrize("slash", ["/", "\\"])
def test_maestro_is_found_with_any_ending_and_slash(tmp_path, suffix, slash):
    maestro(tmp_path / "m", suffix=suffix, slash=slash)
    (track,) = scan_source(tmp_path / "m", "m").tracks
    assert track.midi_path.endswith(f"2008/a{suffix}")


def test_maestro_is_found_behind_linked_year_folders(tmp_path):
    maestro(tmp_path / "real")
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "2008").symlink_to(tmp_path / "real" / "2008")
    (linked / "maestro-v3.0.0.csv").write_text((tmp_path / "real/maestro-v3.0.0.csv").read_text())
    assert len(scan_source(linked, "m").tracks) == 1
