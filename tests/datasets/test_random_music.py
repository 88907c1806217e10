"""Random pieces for training are playable, reproducible and varied."""

import numpy as np

from mess_core.datasets import scan_source
from mess_core.datasets.random_music import random_music, write_random_music
from mess_core.midi import read_performance


def test_pieces_are_reproducible_and_differ():
    first, again, other = (random_music(seed, duration_s=20.0) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.onset_s, again.onset_s)
    assert len(first.pitch) != len(other.pitch)
    assert first.pitch.min() >= 21
    assert first.pitch.max() <= 108
    assert (first.offset_s > first.onset_s).all()
    assert (np.diff(first.onset_s) >= 0).all()


def test_files_are_read_as_a_data_set(tmp_path):
    assert write_random_music(tmp_path / "random", works=2) == 2
    found = scan_source(tmp_path / "random", "random")
    assert len({one.work_id for one in found.tracks}) == 2
    assert len(read_performance(tmp_path / "random" / "random_0000.mid")) > 200
