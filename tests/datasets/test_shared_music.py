"""Music is recognised by its notes, however it is played and called; other music is not."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mess_core.datasets.shared_music import (
    music_groups,
    same_music_pairs,
    shared_pairs,
    shared_stretches,
)
from mess_core.midi.note_sketches import NO_NOTES, note_sketch, shared_notes, sketches_of
from mess_core.midi.performance import Performance
from tests.fixtures.pieces import piece


def same(one, other):
    return music_groups([sketches_of(one), sketches_of(other)], ["a", "b"]) == ["a", "a"]


def sorted_notes(onset, length, pitch, velocity):
    order = np.lexsort((pitch, onset))
    return Performance(
        onset[order], (onset + length)[order], pitch[order], velocity[order], np.empty((0, 2))
    )


def with_ornaments(one, share, seed):
    """Add short upper neighbours before some notes."""
    rng = np.random.default_rng(seed)
    chosen = np.flatnonzero(rng.random(len(one)) < share)
    onset = np.concatenate([one.onset_s, one.onset_s[chosen] - 0.06])
    pitch = np.concatenate([one.pitch, one.pitch[chosen] + 2])
    length = np.full(len(onset), 0.05)
    return sorted_notes(onset + 1.0, length, pitch, np.full(len(onset), 60))


def with_wrong_notes(one, share, seed):
    rng = np.random.default_rng(seed)
    wrong = rng.random(len(one)) < share
    return replace(one, pitch=one.pitch + wrong * rng.choice([-1, 1], len(one)))


@given(seed=st.integers(0, 200), tempo=st.floats(0.5, 2.0), first=st.integers(0, 600))
@settings(max_examples=30, deadline=None)
def test_a_cut_at_another_tempo_is_the_same_music(seed, tempo, first):
    assert same(piece(seed), piece(seed, tempo=tempo, first=first, last=first + 500))


@given(seed=st.integers(0, 200))
@settings(max_examples=20, deadline=None)
def test_ornaments_and_wrong_notes_leave_it_the_same(seed):
    assert same(piece(seed), with_ornaments(piece(seed), 0.05, seed))
    assert same(piece(seed), with_wrong_notes(piece(seed), 0.05, seed))


@given(seed=st.integers(0, 200), start=st.integers(0, 500))
@settings(max_examples=20, deadline=None)
def test_a_repeat_leaves_it_the_same(seed, start):
    one = piece(seed)
    again = slice(start, start + 400)
    shift = one.onset_s[again.stop - 1] - one.onset_s[start] + 0.2
    later = one.onset_s + np.where(np.arange(len(one)) >= again.stop, shift, 0.0)
    onset = np.concatenate([later, one.onset_s[again] + shift])
    pitch = np.concatenate([one.pitch, one.pitch[again]])
    repeated = sorted_notes(onset, np.full(len(onset), 0.09), pitch, np.full(len(onset), 60))
    assert same(one, repeated)


@given(seed=st.integers(0, 200), semitones=st.integers(1, 12), first=st.integers(0, 600))
@settings(max_examples=20, deadline=None)
def test_a_transposed_cut_is_the_same_music(seed, semitones, first):
    cut = piece(seed, tempo=1.2, first=first, last=first + 500)
    pairs = same_music_pairs(
        [sketches_of(piece(seed)), sketches_of(replace(cut, pitch=cut.pitch + semitones))]
    )
    assert (pairs.first.tolist(), pairs.semitones.tolist()) == ([0], [semitones])


def test_chains_of_transposed_cuts_are_one_group_and_other_works_are_not():
    low, high = piece(1), piece(1, last=700)
    sketches = [
        sketches_of(one)
        for one in (low, piece(2), replace(high, pitch=high.pitch + 3), piece(1, last=500))
    ]
    assert music_groups(sketches, ["a", "b", "c", "d"]) == ["a", "b", "a", "a"]


def test_a_piece_that_many_play_is_not_taken_for_a_figure():
    """Four pieces with 22 performances each, with wrong notes: as in Vienna 4x22."""
    sketches = [
        sketches_of(with_wrong_notes(piece(seed), 0.03, 100 * seed + take))
        for seed in range(4)
        for take in range(22)
    ]
    groups = music_groups(sketches, list(map(str, range(88))))
    assert groups == [str(22 * seed) for seed in range(4) for _ in range(22)]


def test_other_works_do_not_merge():
    groups = music_groups(
        [sketches_of(piece(seed)) for seed in range(80)], list(map(str, range(80)))
    )
    assert groups == list(map(str, range(80)))


def test_a_suite_joins_its_movements_and_their_other_performances():
    whole, first, last = piece(1), piece(1, last=600, tempo=1.2), piece(1, first=600, tempo=0.8)
    sketches = [sketches_of(one) for one in (piece(2), first, last, whole)]
    assert music_groups([*sketches, NO_NOTES], ["x", "f", "l", "w", "n"]) == [
        "x", "f", "f", "f", None
    ]  # fmt: skip


def test_pairs_are_those_that_a_dense_product_finds():
    sketches = [note_sketch(piece(seed % 7, first=40 * seed)) for seed in range(14)]
    dense = shared_notes(sketches, sketches)
    found = shared_pairs(sketches)
    first, second = np.nonzero(np.triu(dense, k=1))
    assert set(zip(found.first.tolist(), found.second.tolist(), strict=True)) == set(
        zip(first.tolist(), second.tolist(), strict=True)
    )
    np.testing.assert_array_equal(found.shared, dense[found.first, found.second])


def test_figures_that_much_music_has_do_not_count():
    figure = np.arange(40, dtype=np.uint64)
    own = [np.arange(1000 * n, 1000 * n + 60, dtype=np.uint64) for n in range(1, 41)]
    sketches = [np.union1d(figure, one) for one in own]
    assert not shared_pairs(sketches).same.any()


def test_the_shared_stretch_is_found_in_seconds_of_both():
    whole, part = piece(1), piece(1, first=400, last=900, tempo=1.25)
    (stretch,) = shared_stretches(whole, part)
    assert stretch.start_s == pytest.approx(whole.onset_s[400], abs=3)
    assert stretch.end_s == pytest.approx(whole.onset_s[893], abs=3)
    assert stretch.other_start_s == pytest.approx(part.onset_s[0], abs=3)
    assert stretch.other_end_s == pytest.approx(part.onset_s[-1], abs=5)


def test_movements_in_another_order_are_two_stretches():
    one, other = piece(1, last=500), piece(2, last=500)

    def after(first, second):
        shift = first.onset_s[-1] + 30.0
        return Performance(
            *(np.concatenate([getattr(first, name), getattr(second, name) + add])
              for name, add in (("onset_s", shift), ("offset_s", shift), ("pitch", 0),
                                ("velocity", 0))),
            np.empty((0, 2)),
        )  # fmt: skip

    found = shared_stretches(after(one, other), after(other, one))
    assert len(found) == 2
    assert found[0].other_start_s > found[1].other_start_s
    assert shared_stretches(one, other) == []
