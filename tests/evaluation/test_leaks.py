"""Six kinds of synthetic leak are detected, and the same data without the leak pass."""

import numpy as np
import pandas as pd
import pytest

from mess_core.errors import DatasetError
from mess_core.evaluation.leaks import (
    Choice,
    assert_no_leaks,
    choice_leaks,
    overlap,
    scaler_leaks,
    segment_leaks,
    track_leaks,
)
from mess_core.evaluation.splits import Fold

FOLD = Fold(train=("a", "b"), test=("c", "d"))


def tracks(**changes):
    table = pd.DataFrame(
        {
            "track_id": ["a", "b", "c", "d"],
            "work_id": ["liszt:s161-7", "chopin:op31", "chopin:op52", "scriabin:op53"],
            "composer": ["Franz Liszt", "Chopin", "Chopin", "Scriabin"],
            "title": ["Dante Sonata", "Scherzo Op. 31", "Ballade Op. 52", "Sonata Op. 53"],
            "performer": ["w", "x", "y", "z"],
            "audio_sha256": ["00", "01", "02", "03"],
        }
    )
    return table.assign(**changes)


def kinds(leaks):
    return {leak.kind for leak in leaks}


def test_a_clean_fold_passes():
    leaks = track_leaks(tracks(), FOLD, "both")
    assert leaks == []
    assert_no_leaks(leaks)


def test_leak_1_same_work_spelled_in_two_ways():
    # The table has two ids for one work; composer and title reveal it.
    spelled = tracks(
        composer=["Ludwig van Beethoven", "Chopin", "Beethoven", "Scriabin"],
        title=["32 Variations in C Minor, WoO 80", "Scherzo Op. 31", "Variations WoO80", "Op. 53"],
        work_id=["beethoven:32-variations", "chopin:op31", "beethoven:woo80", "scriabin:op53"],
    )
    leaks = track_leaks(spelled, FOLD, "work")
    assert kinds(leaks) == {"work"}
    with pytest.raises(DatasetError, match="beethoven:woo80"):
        assert_no_leaks(leaks)
    assert not track_leaks(spelled, FOLD, "performer")


def test_a_leak_is_reported_in_one_sentence():
    with pytest.raises(DatasetError, match=r"overlap in fold 0 \(track: b\)"):
        assert_no_leaks(overlap("track", ["a", "b"], ["b", "c"]), "in fold 0")
    with pytest.raises(DatasetError, match=r"overlap \(track: b\)"):
        assert_no_leaks(overlap("track", ["b"], ["b"]))


def test_leak_1_a_piece_and_the_opus_that_contains_it():
    opus = tracks(work_id=["chopin:op25", "chopin:op31", "chopin:op25-11", "scriabin:op53"])
    assert kinds(track_leaks(opus, FOLD, "work")) == {"work"}


def test_leak_2_same_audio_in_two_tracks():
    for by in ("work", "performer", "both", "recording"):
        assert kinds(track_leaks(tracks(audio_sha256=["00", "01", "02", "00"]), FOLD, by)) == {
            "audio"
        }


def test_leak_3_overlapping_segments():
    def segments(*spans):
        return pd.DataFrame(spans, columns=["audio_sha256", "start_s", "end_s"])

    train = segments(("00", 0.0, 5.0), ("01", 0.0, 5.0))
    assert not segment_leaks(train, segments(("00", 5.0, 10.0), ("02", 0.0, 5.0)))
    leaks = segment_leaks(train, segments(("00", 2.5, 7.5), ("02", 0.0, 5.0)))
    assert kinds(leaks) == {"segment"}
    assert "00" in leaks[0].what


def test_leak_4_a_performer_on_both_sides():
    table = tracks(performer=["w", "x", "x", "z"])
    assert kinds(track_leaks(table, FOLD, "performer")) == {"performer"}
    assert kinds(track_leaks(table, FOLD, "both")) == {"performer"}
    assert not track_leaks(table, FOLD, "work")
    unknown = tracks(performer=[None, "x", None, "z"])
    assert not track_leaks(unknown, FOLD, "performer")


def test_leak_5_test_rows_in_the_scaler():
    rows = np.random.default_rng(0).normal(5.0, 2.0, (40, 6)).astype(np.float32)
    train = list(range(30))
    assert not scaler_leaks(rows[:30].mean(axis=0), rows, train)
    assert kinds(scaler_leaks(rows.mean(axis=0), rows, train)) == {"scaler"}
    # A single test row among thirty is detected.
    assert kinds(scaler_leaks(rows[:31].mean(axis=0), rows, train)) == {"scaler"}


def test_leak_6_k_chosen_on_test_tracks():
    inner = Choice("K", 10, frozenset({"a", "b"}))
    peeked = Choice("K", 5, frozenset({"a", "c"}))
    assert not choice_leaks([inner], FOLD.test)
    leaks = choice_leaks([inner, peeked], FOLD.test)
    assert kinds(leaks) == {"choice"}
    assert "K = 5" in leaks[0].what


def test_a_track_on_both_sides_and_a_missing_track():
    both = Fold(train=("a", "b", "c"), test=("c", "d"))
    assert "track" in kinds(track_leaks(tracks(), both, "recording"))
    with pytest.raises(DatasetError, match="lacks: e"):
        track_leaks(tracks(), Fold(train=("a",), test=("e",)), "work")
