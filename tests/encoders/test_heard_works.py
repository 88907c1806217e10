"""Works that an encoder was trained on are recognised by their notes, whatever their title."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mess_core.encoders.heard_works import HeardWorks, join_by_notes, note_sketch
from mess_core.errors import StoreError
from mess_core.midi.performance import Performance


def _piece(seed, *, tempo=1.0, transposed=0, first=0, last=1200):
    """Notes of a piece that never repeats, played at some tempo."""
    rng = np.random.default_rng(seed)
    pitch = 40 + np.cumsum(rng.integers(-5, 6, 1200)) % 40 + transposed
    onset = tempo * np.cumsum(rng.uniform(0.1, 0.3, 1200))
    part = slice(first, last)
    velocity = rng.integers(30, 100, 1200)
    return Performance(
        onset[part], onset[part] + 0.09, pitch[part], velocity[part], np.empty((0, 2))
    )


HEARD = HeardWorks(
    tuple(f"work {seed}" for seed in range(5)),
    tuple(f"take {seed}" for seed in range(5)),
    ("training",) * 4 + ("held out",),
    tuple(note_sketch(_piece(seed)) for seed in range(5)),
)


@given(seed=st.integers(0, 4), tempo=st.floats(0.5, 2.0), first=st.integers(0, 500))
def test_a_part_of_a_heard_work_is_found_at_any_tempo(seed, tempo, first):
    part = note_sketch(_piece(seed, tempo=tempo, first=first, last=first + 500))
    assert HEARD.find([part], ["another title"]) == [f"work {seed}"]


@given(seed=st.integers(0, 4), first=st.integers(0, 1100))
def test_an_excerpt_of_half_a_minute_is_found(seed, first):
    part = note_sketch(_piece(seed, first=first, last=first + 100))
    assert len(part) < 4 or HEARD.find([part], ["another title"]) == [f"work {seed}"]


def test_other_works_and_transpositions_are_not_found():
    others = [_piece(seed) for seed in range(10, 60)] + [_piece(0, transposed=1)]
    found = HEARD.find([note_sketch(one) for one in others], ["?"] * len(others))
    assert found == [None] * len(others)


def test_an_equal_title_is_enough():
    nothing = np.empty(0, dtype=np.uint64)
    assert HEARD.find([nothing, nothing], ["work 3", "?"]) == ["work 3", None]
    assert HEARD.find([], []) == []


def test_trills_and_scales_are_in_no_sketch():
    onset = np.arange(300) * 0.1
    velocity, pedal = np.full(300, 60), np.empty((0, 2))
    for pitch in (60 + np.arange(300) % 2, 30 + np.arange(300) % 60):
        runs = note_sketch(Performance(onset, onset + 0.05, pitch, velocity, pedal))
        assert len(runs) <= 1  # the turn at the end of a scale
    assert (
        note_sketch(Performance(onset[:3], onset[:3] + 1, *[np.full(3, 60)] * 2, pedal)).size == 0
    )


def test_performances_are_joined_by_title_or_by_notes():
    sketches = [note_sketch(_piece(seed, first=0, last=900)) for seed in (0, 1, 2)]
    sketches += [note_sketch(_piece(1, first=200)), np.empty(0, dtype=np.uint64)]
    assert join_by_notes(sketches, ["a", "b", "a", "c", "d"]) == ["a", "b", "a", "b", "d"]


def test_the_file_reads_back(tmp_path):
    HEARD.save(tmp_path / "works.parquet")
    again = HeardWorks.load(tmp_path / "works.parquet")
    assert again.works == HEARD.works
    assert again.use == HEARD.use
    for one, other in zip(again.sketches, HEARD.sketches, strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(StoreError):
        HeardWorks.load(tmp_path / "missing.parquet")
