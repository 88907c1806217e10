"""MIDI targets recover known expression, and are invariant to everything else."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from mess_core.datasets.demo import Expression, demo_score, perform, write_midi
from mess_core.midi.performance import Performance
from mess_core.midi.reading import read_performance
from mess_core.targets import targets, targets_from_midi
from mess_core.targets.registry import target


def _performance(expression, seed=0, work=2):
    notes = perform(demo_score(work, bars=12), expression, seed=seed)
    return notes.performance


def _measure(name, performances):
    one = next(one for one in targets("midi", extra=True) if one.name == name)
    return [one.function(performance) for performance in performances]


KNOWN_VALUES = {
    "velocity_mean": ("velocity", np.linspace(40, 90, 10)),
    "velocity_std": ("dynamics", np.linspace(2, 20, 10)),
    "velocity_range": ("dynamics", np.linspace(2, 20, 10)),
    # Alternation by over a quarter octave from beat to beat is taken as another rhythm.
    "rubato": ("rubato", np.linspace(0.01, 0.13, 10)),
    "tempo_variability": ("tempo_drift", np.linspace(0.01, 0.16, 10)),
    "articulation_ratio": ("articulation", np.linspace(0.3, 1.2, 10)),
    "onset_timing_std": ("asynchrony_ms", np.linspace(1, 9, 10)),
    "pedal_fraction": ("pedal", np.linspace(0.0, 0.9, 10)),
}


@pytest.mark.parametrize("name", KNOWN_VALUES)
def test_known_values_are_ranked_correctly(name):
    parameter, values = KNOWN_VALUES[name]
    work = 0 if name == "onset_timing_std" else 2  # a chorale has enough chords
    performances = [
        _performance(Expression(**{parameter: float(value)}), seed=index, work=work)
        for index, value in enumerate(values)
    ]
    assert spearmanr(values, _measure(name, performances)).statistic >= 0.9


@pytest.mark.parametrize("work", range(4))
def test_transposition_has_no_effect(work):
    plain = _performance(Expression(), work=work)
    higher = Performance(
        plain.onset_s, plain.offset_s, plain.pitch + 3, plain.velocity, plain.pedal_s
    )
    for one in targets("midi", extra=True):
        assert one.function(higher) == pytest.approx(one.function(plain), nan_ok=True)


def test_time_offset_and_gain_affect_only_velocity():
    plain = _performance(Expression(velocity=50))
    later = Performance(
        plain.onset_s + 7, plain.offset_s + 7, plain.pitch, plain.velocity + 10, plain.pedal_s + 7
    )
    for one in targets("midi", extra=True):
        expected = one.function(plain) + (10 if one.name == "velocity_mean" else 0)
        assert one.function(later) == pytest.approx(expected, rel=1e-6), one.name


def test_legato_is_above_and_staccato_below_one():
    measured = _measure(
        "articulation_ratio",
        [_performance(Expression(articulation=value)) for value in (0.4, 1.15)],
    )
    assert measured[0] < 0.6
    assert measured[1] > 1.0


def test_too_few_notes_give_nan_not_zero():
    few = Performance(
        np.array([0.0, 1.0, 2.0]),
        np.array([0.5, 1.5, 2.5]),
        np.array([60, 62, 64]),
        np.array([60, 60, 60]),
        np.empty((0, 2)),
    )
    values = {one.name: one.function(few) for one in targets("midi")}
    assert np.isnan(
        [values["rubato"], values["tempo_variability"], values["onset_timing_std"]]
    ).all()
    assert values["velocity_std"] == 0


def test_file_round_trip(tmp_path):
    notes = perform(demo_score(0), Expression(), seed=1)
    write_midi(notes, tmp_path / "a.mid")
    read = read_performance(tmp_path / "a.mid")
    np.testing.assert_allclose(read.onset_s, np.sort(notes.onset_s), atol=1e-3)
    values = targets_from_midi(tmp_path / "a.mid")
    assert set(values) == {one.name for one in targets("midi", extra=True)}


def test_a_dimension_that_does_not_exist_is_refused_where_it_is_written():
    with pytest.raises(ValueError, match="'pitch' is none of timbre"):
        target("pitch_range", dimension="pitch", unit="semitone", source="midi")
