"""Sketches of notes: equal for one piece at any tempo, without what every piece contains."""

from dataclasses import replace

import numpy as np

from mess_core.midi.note_sketches import note_sketch, transposable_sketch
from mess_core.midi.performance import Performance
from tests.fixtures.pieces import piece


def test_trills_and_scales_are_in_no_sketch():
    onset = np.arange(300) * 0.1
    velocity, pedal = np.full(300, 60), np.empty((0, 2))
    for pitch in (60 + np.arange(300) % 2, 30 + np.arange(300) % 60):
        runs = note_sketch(Performance(onset, onset + 0.05, pitch, velocity, pedal))
        assert len(runs) <= 1  # the turn at the end of a scale
    assert (
        note_sketch(Performance(onset[:3], onset[:3] + 1, *[np.full(3, 60)] * 2, pedal)).size == 0
    )


def test_only_the_transposable_sketch_follows_a_transposition():
    one = piece(1)
    higher = replace(one, pitch=one.pitch + 5)
    np.testing.assert_array_equal(
        transposable_sketch(higher), transposable_sketch(one) + np.uint64(5)
    )
    assert not np.intersect1d(note_sketch(one), note_sketch(higher)).size
    assert transposable_sketch(one).size > 50
