"""Passage filters, queries with audio files, and explanations."""

import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from mess_core.errors import AudioError, SearchError
from mess_core.search import Library
from mess_core.search.explain import explain_hit
from mess_core.search.passages import allowed_tracks

TRACKS = pd.DataFrame(
    {
        "track_id": ["a", "b", "c", "d"],
        "dataset": "x",
        "composer": ["Chopin", "Chopin", "Liszt", None],
        "work_id": ["w1", "w1", "w2", None],
        "performer": ["p", "q", "p", None],
        "year": [2004, 2006, 2006, None],
        "split": ["train", "test", "test", None],
    }
)
INDEXED = {"a", "b", "c", "d"}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {"b", "c", "d"}),
        ({"include_own": True}, {"a", "b", "c", "d"}),
        ({"same_work": True}, {"b"}),
        ({"same_work": True, "include_own": True}, {"a", "b"}),
        ({"other_performer": True}, {"b"}),
        ({"where": {"composer": "Liszt"}}, {"c"}),
        ({"where": {"year": [2004, 2006]}}, {"b", "c"}),
        ({"where": {"composer": "Chopin", "split": "test"}}, {"b"}),
    ],
)
def test_filters_select_the_allowed_tracks(options, expected):
    assert allowed_tracks(TRACKS, INDEXED, "a", **options) == expected


def test_tracks_removed_from_the_table_are_hits_unless_filtered():
    assert allowed_tracks(TRACKS, {*INDEXED, "gone"}, "a") == {"b", "c", "d", "gone"}
    assert allowed_tracks(TRACKS, {*INDEXED, "gone"}, "a", where={"split": "test"}) == {"b", "c"}
    assert allowed_tracks(TRACKS, {"a", "b"}, "gone") == {"a", "b"}
    with pytest.raises(SearchError, match="'gone' has no work_id"):
        allowed_tracks(TRACKS, INDEXED, "gone", same_work=True)


def test_invalid_filters_raise_clear_errors():
    with pytest.raises(SearchError, match="cannot be filtered by 'audio_path'"):
        allowed_tracks(TRACKS, INDEXED, "a", where={"audio_path": "/etc"})
    with pytest.raises(SearchError, match="'d' has no work_id"):
        allowed_tracks(TRACKS, INDEXED, "d", same_work=True)
    with pytest.raises(SearchError, match="'d' has no performer"):
        allowed_tracks(TRACKS, INDEXED, "d", other_performer=True)
    with pytest.raises(SearchError, match="no track passes"):
        allowed_tracks(TRACKS, INDEXED, "a", where={"composer": "Liszt", "split": "train"})


@pytest.fixture(scope="module")
def library(built):
    return Library.open(built.root)


def test_filters_find_every_passage_that_they_allow(library):
    first = library.tracks.iloc[0]
    same = library.passages(first["track_id"], 3.0, k=50, same_work=True)
    others = set(library.tracks.loc[library.tracks["work_id"] == first["work_id"], "track_id"])
    assert set(same["track_id"]) == others - {first["track_id"]}
    player = library.passages(first["track_id"], 3.0, k=50, where={"performer": "free"})
    assert len(player)
    performers = library.tracks.set_index("track_id")["performer"]
    assert set(performers[player["track_id"]]) == {"free"}
    rival = library.passages(first["track_id"], 3.0, k=50, other_performer=True)
    assert first["performer"] not in set(performers[rival["track_id"]])
    for _, hits in same.groupby("track_id"):
        spans = hits.sort_values("start_s")
        assert (spans["start_s"].to_numpy()[1:] >= spans["end_s"].to_numpy()[:-1] - 1e-9).all()


@pytest.mark.parametrize("aspects", [None, {"tempo": 1.0}])
@pytest.mark.parametrize("mode", ["cosine", "subspace"])
def test_whole_tracks_are_filtered_equally_in_both_modes(library, aspects, mode):
    first = library.tracks.iloc[0]
    options = {"aspects": aspects, "mode": mode if aspects else "auto", "k": 50}
    everything = library.similar(first["track_id"], **options)
    filtered = library.similar(first["track_id"], where={"performer": "free"}, **options)
    performers = library.tracks.set_index("track_id")["performer"]
    expected = everything[performers[everything["track_id"]].to_numpy() == "free"]
    assert filtered["track_id"].tolist() == expected["track_id"].tolist()
    np.testing.assert_allclose(filtered["score"], expected["score"], atol=1e-9)
    same = library.similar(first["track_id"], same_work=True, **options)
    assert set(library.tracks.set_index("track_id")["work_id"][same["track_id"]]) == {
        first["work_id"]
    }


def test_an_audio_file_of_the_library_finds_itself(library, encoder, corpus):
    first = str(library.tracks["track_id"].iloc[0])
    path = corpus / f"{first}.flac"
    whole = library.query_audio(path, k=3, encoder=encoder)
    assert whole["track_id"][0] == first
    assert whole["score"][0] == pytest.approx(1, abs=1e-5)
    by_aspect = library.query_audio(path, aspects={"tempo": 0.5, "dynamics": -0.2}, k=12)
    assert by_aspect["score"].tolist() == pytest.approx(
        (by_aspect["tempo"] + by_aspect["dynamics"]).tolist(), abs=1e-5
    )
    part = library.query_audio(path, start_s=2.6, k=3, encoder=encoder)
    assert part["track_id"][0] == first
    assert part["start_s"][0] == part.attrs["query"]["start_s"] == 2.5
    assert part["score"][0] == pytest.approx(1, abs=1e-3)
    assert part.attrs["query"]["path"] == str(path)


def test_invalid_audio_queries_raise_clear_errors(library, encoder, corpus, tmp_path):
    first = str(library.tracks["track_id"].iloc[0])
    with pytest.raises(SearchError, match="outside the recording"):
        library.query_audio(corpus / f"{first}.flac", start_s=900, encoder=encoder)
    with pytest.raises(AudioError):
        library.query_audio(tmp_path / "none.flac", encoder=encoder)
    sf.write(tmp_path / "short.wav", np.zeros(100), 24_000)
    with pytest.raises(AudioError, match="short"):
        library.query_audio(tmp_path / "short.wav", encoder=encoder)
    from mess_core.encoders import load_encoder

    other = load_encoder("untrained:tiny", device="cpu", window_s=2.0, hop_s=2.0)
    with pytest.raises(SearchError, match="another window_s"):
        library.query_audio(corpus / f"{first}.flac", encoder=other)
    with pytest.raises(SearchError, match="k must be"):
        library.query_audio(corpus / f"{first}.flac", k=0, encoder=encoder)


def test_explanations_have_percentiles_and_values(library):
    first = str(library.tracks["track_id"].iloc[0])
    hit = str(library.similar(first, {"tempo": 1.0}, k=1)["track_id"][0])
    found = library.explain(first, hit)
    assert set(found["aspect"]) == set(library.aspects)
    assert found["percentile"].between(0, 100).all()
    assert found.loc[found["aspect"] == "tempo", "percentile"].iloc[0] == 100
    assert (np.diff(found["percentile"]) <= 0).all()
    itself = library.explain(first, first)
    assert itself["similarity"].to_numpy() == pytest.approx(1)
    assert itself["apart_sd"].dropna().to_numpy() == pytest.approx(0)
    with pytest.raises(SearchError, match="not in the index"):
        library.explain(first, "nobody")


def test_explained_values_come_from_the_target_table(library):
    table = pd.DataFrame({"track_id": ["a", "b", "c"], "tempo": [60.0, 120.0, 240.0]})
    aspects = {"tempo": library.aspects["tempo"]}
    similarity = {"tempo": np.array([1.0, 0.2, -0.5])}
    row = explain_hit("a", "b", similarity, ["a", "b", "c"], aspects, table).iloc[0]
    assert (row["query"], row["hit"], row["unit"]) == (60.0, 120.0, "BPM")
    assert row["percentile"] == 100
    # One octave, in a library with a standard deviation of sqrt(2/3) octaves.
    assert row["apart_sd"] == pytest.approx(1 / np.sqrt(2 / 3))
