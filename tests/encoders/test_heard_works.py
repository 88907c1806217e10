"""Works that an encoder was trained on are recognised by their notes, whatever their title."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mess_core.encoders.heard_works import HeardWorks
from mess_core.errors import StoreError
from mess_core.midi.note_sketches import note_sketch
from tests.fixtures.pieces import piece

HEARD = HeardWorks(
    tuple(f"work {seed}" for seed in range(5)),
    tuple(f"take {seed}" for seed in range(5)),
    ("training",) * 4 + ("held out",),
    tuple(note_sketch(piece(seed)) for seed in range(5)),
)


@given(seed=st.integers(0, 4), tempo=st.floats(0.5, 2.0), first=st.integers(0, 500))
def test_a_part_of_a_heard_work_is_found_at_any_tempo(seed, tempo, first):
    part = note_sketch(piece(seed, tempo=tempo, first=first, last=first + 500))
    assert HEARD.find([part], ["another title"]) == [f"work {seed}"]


@given(seed=st.integers(0, 4), first=st.integers(0, 1100))
def test_an_excerpt_of_half_a_minute_is_found(seed, first):
    part = note_sketch(piece(seed, first=first, last=first + 100))
    assert len(part) < 4 or HEARD.find([part], ["another title"]) == [f"work {seed}"]


def test_other_works_and_transpositions_are_not_found():
    others = [piece(seed) for seed in range(10, 60)] + [piece(0, transposed=1)]
    found = HEARD.find([note_sketch(one) for one in others], ["?"] * len(others))
    assert found == [None] * len(others)


def test_an_equal_title_is_enough():
    nothing = np.empty(0, dtype=np.uint64)
    assert HEARD.find([nothing, nothing], ["work 3", "?"]) == ["work 3", None]
    assert HEARD.find([], []) == []


def test_the_file_reads_back(tmp_path):
    HEARD.save(tmp_path / "works.parquet")
    again = HeardWorks.load(tmp_path / "works.parquet")
    assert again.works == HEARD.works
    assert again.use == HEARD.use
    for one, other in zip(again.sketches, HEARD.sketches, strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(StoreError):
        HeardWorks.load(tmp_path / "missing.parquet")
