"""Sketches of notes: equal for one piece at any tempo, without what every piece contains."""

import numpy as np

from mess_core.midi.note_sketches import join_by_notes, note_sketch
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


def test_performances_are_joined_by_title_or_by_notes():
    sketches = [note_sketch(piece(seed, first=0, last=900)) for seed in (0, 1, 2)]
    sketches += [note_sketch(piece(1, first=200)), np.empty(0, dtype=np.uint64)]
    assert join_by_notes(sketches, ["a", "b", "a", "c", "d"]) == ["a", "b", "a", "b", "d"]
