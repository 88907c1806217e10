"""Titles that the notes contradict are found; where both agree, nothing is."""

from dataclasses import replace

import pandas as pd

from mess_core.datasets.label_comparison import compare_labels
from mess_core.midi.note_sketches import NO_NOTES, sketches_of
from tests.fixtures.pieces import piece


def library():
    tracks = [
        ("a1", "liszt:s161-7", "Tarantella", piece(1)),
        ("a2", "liszt:s161-7", "Tarantella", piece(1, tempo=1.3)),
        ("b1", "liszt:venezia", "Venezia e Napoli", piece(1, first=300)),
        ("c1", "chopin:nocturne", "Nocturne in Db", piece(3)),
        ("c2", "chopin:nocturne", "Nocturne in Db", piece(3, tempo=0.9)),
        ("c3", "chopin:nocturne", "Nocturne in Db", piece(4)),
        ("d1", "balakirev:islamey", "Islamey", piece(4, tempo=1.1)),
        ("d2", "balakirev:islamey", "Islamey", piece(5)),
        ("e1", "bach:bwv846", "Prelude", None),
    ]
    table = pd.DataFrame([one[:3] for one in tracks], columns=["track_id", "work_id", "title"])
    return table, [NO_NOTES if one[3] is None else sketches_of(one[3]) for one in tracks]


def test_disagreements_of_titles_and_notes_are_found():
    found = compare_labels(*library())
    other_title = found[found["finding"] == "other title, same music"]
    pairs = {
        frozenset(one)
        for one in zip(other_title["work_id"], other_title["other_work"], strict=True)
    }
    assert pairs == {
        frozenset({"liszt:s161-7", "liszt:venezia"}),
        frozenset({"chopin:nocturne", "balakirev:islamey"}),
    }
    assert set(other_title["confidence"]) == {"high"}
    (wrong,) = found[found["finding"] == "same title, other music"].itertuples()
    assert wrong.track_id == "c3"
    assert wrong.confidence == "medium"  # its music has another title


def test_agreement_is_an_empty_table():
    table, sketches = library()
    rows = [0, 1, 3, 4, 8]
    found = compare_labels(table.iloc[rows], [sketches[row] for row in rows])
    assert found.empty
    assert "confidence" in found
    assert compare_labels(table.iloc[:0], []).empty


def test_music_under_another_title_is_found_in_another_key():
    table, sketches = library()
    other = piece(1)
    sketches[2] = sketches_of(replace(other, pitch=other.pitch - 2))
    found = compare_labels(table, sketches)
    (row,) = found[found["other_work"].eq("liszt:venezia")].itertuples()
    assert (row.work_id, row.semitones, row.confidence) == ("liszt:s161-7", -2, "high")
