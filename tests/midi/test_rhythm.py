"""Note values and beats are recovered from synthetic rhythms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mess_core.midi.rhythm import beat_times, log2_tempo, note_values, tempo_spread

PATTERN = np.tile([1.0, 0.5, 0.5, 1.0, 1.0, 0.25, 0.25, 0.5, 1.0], 12)


@pytest.mark.parametrize("persistence", [None, -0.1])
@pytest.mark.parametrize("beat_s", [0.45, 0.6, 0.8])
def test_known_note_values_are_recovered_up_to_the_unit(beat_s, persistence):
    decoded = note_values(PATTERN * beat_s, persistence=persistence)
    ratio = 2.0**decoded.value / PATTERN
    np.testing.assert_allclose(ratio, ratio[0])
    assert np.log2(decoded.beat * decoded.unit_s) == pytest.approx(np.log2(0.6), abs=0.51)


@settings(max_examples=15, deadline=None)
@given(st.floats(0.5, 2.0))
def test_only_the_metrical_level_depends_on_the_tempo(factor):
    slow = note_values(PATTERN * 0.5)
    fast = note_values(PATTERN * 0.5 * factor)
    np.testing.assert_allclose(slow.value - slow.value[0], fast.value - fast.value[0])


def test_a_tempo_curve_is_recovered():
    beat = np.concatenate([[0.0], np.cumsum(PATTERN)])
    known = 0.12 * np.sin(2 * np.pi * beat / 16)  # log2 tempo
    onset = np.concatenate([[0.0], np.cumsum(PATTERN * 0.6 / 2.0 ** known[:-1])])
    position = note_values(np.diff(onset)).position
    beats = np.arange(np.floor(position[-1]) + 1)
    tempo = log2_tempo(beat_times(onset, position, beats))
    expected = 0.12 * np.sin(2 * np.pi * (beats[:-1] + 0.5) / 16) - np.log2(0.6)
    assert np.corrcoef(tempo, expected)[0, 1] > 0.95


def test_rubato_is_separated_from_tempo_variability():
    beat = np.arange(200)
    quick, slow = 0.1 * np.sin(beat * 2.1), 0.1 * np.sin(beat * 2 * np.pi / 60)
    rubato, variability = tempo_spread(quick)
    assert rubato == pytest.approx(0.071, rel=0.15)
    assert variability < 0.02
    rubato, variability = tempo_spread(slow)
    assert rubato < 0.02
    assert variability == pytest.approx(0.07, rel=0.1)
    assert np.isnan(tempo_spread(slow[:9])).all()
    gated = np.where(beat % 7 == 0, np.nan, quick)
    assert tempo_spread(gated)[0] == pytest.approx(0.071, rel=0.2)


def test_long_performances_are_decoded_in_bounded_blocks():
    intervals = np.tile(PATTERN, 400) * 0.5  # 43,200 intervals
    decoded = note_values(intervals)
    assert len(decoded.value) == len(intervals)
    assert len(np.unique(np.round(decoded.value - np.log2(np.tile(PATTERN, 400)), 6))) == 1
