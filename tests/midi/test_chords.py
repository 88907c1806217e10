"""Notes struck together are distinguished from fast notes, and all of their spread is measured."""

import numpy as np
import pytest

from mess_core.midi.chords import struck_together
from mess_core.midi.performance import Performance
from mess_core.targets.expression import onset_timing_std
from mess_core.validation.asynchrony import chords_in_common


def _chorale(asynchrony_s, *, interval_s=0.5, seed=0, tempo=1.0, player=0):
    """Chords of four, each note off by a normal deviation."""
    rng = np.random.default_rng(seed)
    pitch = np.concatenate([rng.choice(np.arange(48, 80), 4, replace=False) for _ in range(150)])
    mine = np.random.default_rng([seed, player])
    onset = np.repeat(tempo * interval_s * np.arange(150), 4) + mine.normal(0, asynchrony_s, 600)
    onset -= onset.min()
    order = np.argsort(onset)
    onset, pitch = onset[order], pitch[order]
    return Performance(onset, onset + 0.1, pitch, np.full(600, 64), np.empty((0, 2)))


@pytest.mark.parametrize("asynchrony_ms", [4, 8, 15, 20])
def test_spread_of_chords_is_measured_whole(asynchrony_ms):
    # The mean of a chord of four follows its notes: sqrt(3/4) of the deviation is left.
    expected = asynchrony_ms * np.sqrt(3 / 4)
    measured = onset_timing_std(_chorale(asynchrony_ms / 1000))
    assert measured == pytest.approx(expected, rel=0.2)


@pytest.mark.parametrize("interval_s", [0.045, 0.06, 0.1])
def test_fast_single_notes_are_no_chords(interval_s):
    onset = interval_s * np.arange(200)
    pitch = 40 + np.arange(200) % 40
    scale = Performance(onset, onset + 0.04, pitch, np.full(200, 64), np.empty((0, 2)))
    assert len(np.unique(struck_together(scale))) == 200
    assert np.isnan(onset_timing_std(scale))


def test_a_key_struck_twice_is_two_chords():
    onset = np.array([0.0, 0.0, 0.05, 1.0, 2.0])
    pitch = np.array([60, 64, 60, 62, 64])
    trill = Performance(onset, onset + 0.02, pitch, np.full(5, 64), np.empty((0, 2)))
    assert struck_together(trill).tolist() == [0, 0, 1, 2, 3]


def test_players_agree_on_chords_that_one_of_them_spreads():
    spreads = (0.004, 0.006, 0.005, 0.006, 0.022)
    players = [
        _chorale(one, tempo=1 + 0.1 * number, player=number) for number, one in enumerate(spreads)
    ]
    found = np.array(chords_in_common(players))
    assert found == pytest.approx(1000 * np.sqrt(3 / 4) * np.array(spreads), rel=0.2)
