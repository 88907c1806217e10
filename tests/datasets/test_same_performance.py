"""Copies and cuts of a performance are recognised; other performances of the same notes are not."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mess_core.datasets.demo import write_midi
from mess_core.datasets.same_performance import copies_of_others, same_performance, velocity_runs
from mess_core.datasets.synthesis import Notes
from mess_core.midi.performance import Performance


def performance(seed=0, notes=300):
    rng = np.random.default_rng(seed)
    onset = np.cumsum(rng.uniform(0.1, 0.4, notes))
    pitch, velocity = rng.integers(40, 80, notes), rng.integers(30, 100, notes)
    return Performance(onset, onset + 0.09, pitch, velocity, np.empty((0, 2)))


def same(one, other):
    return same_performance(velocity_runs(one), velocity_runs(other))


@given(start=st.floats(0, 40), length=st.floats(15, 40), seed=st.integers(0, 100))
def test_a_cut_is_the_same_performance_at_any_place(start, length, seed):
    whole = performance(seed)
    assert same(whole, whole.excerpt(start, start + length))


@given(seed=st.integers(0, 100), louder=st.integers(1, 20))
def test_the_same_notes_with_other_velocities_are_not(seed, louder):
    whole = performance(seed)
    rng = np.random.default_rng(seed)
    other = replace(whole, velocity=whole.velocity + rng.integers(0, 2, len(whole)) * louder)
    assert not same(whole, other)


def test_other_times_do_not_matter():
    """ASAP begins at another second, and rounds times to its own ticks."""
    whole = performance()
    moved = replace(whole, onset_s=whole.onset_s + 3.001, offset_s=whole.offset_s + 3.002)
    assert same(whole, moved)


def test_deadpan_performances_are_not_all_one():
    flat = replace(performance(), velocity=np.full(300, 64))
    assert not same(flat, flat)


@pytest.fixture
def files(tmp_path):
    paths = []
    for name, one in {
        "whole": performance(1), "other": performance(2), "cut": performance(1).excerpt(5, 40),
        "same notes": replace(performance(1), velocity=performance(3).velocity),
    }.items():  # fmt: skip
        path = tmp_path / f"{name}.mid"
        notes = Notes(one.onset_s, one.offset_s, one.pitch, one.velocity, one.pedal_s)
        write_midi(notes, path)
        paths.append(str(path))
    (tmp_path / "broken.mid").write_bytes(b"MThd")
    return [*paths, str(tmp_path / "broken.mid")]


def test_copies_are_found_among_files_of_one_work(files):
    assert copies_of_others(files, ["w"] * 5, workers=1) == {2: 0}
    assert copies_of_others(files, ["w", "w", "v", "v", "v"], workers=1) == {}
