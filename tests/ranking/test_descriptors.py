"""Manipulated expression shows in the corresponding descriptors."""

from dataclasses import replace

import numpy as np
import pytest

from mess_core.datasets.demo import Expression, demo_score, perform
from mess_core.errors import MidiError
from mess_core.midi.performance import Performance
from mess_core.ranking.descriptors import describe_expression, resonance, standardised
from mess_core.ranking.passage_curves import (
    CURVES,
    curve_distances,
    passage_curves,
    shape_descriptors,
)


def played(work=0, *, seed=0, **expression):
    notes = perform(demo_score(work), Expression(**expression), seed=seed)
    order = np.lexsort((notes.pitch, notes.onset_s))
    return Performance(
        notes.onset_s[order],
        np.maximum(notes.offset_s, notes.onset_s + 0.01)[order],
        notes.pitch[order],
        notes.velocity[order],
        notes.pedal_s,
    )


@pytest.mark.parametrize(
    ("field", "low", "high", "name"),
    [
        ("tempo_factor", 0.8, 1.25, "log_notes_per_second"),
        ("velocity", 50.0, 80.0, "velocity_mean"),
        ("velocity", 50.0, 80.0, "loudness"),
        ("dynamics", 2.0, 14.0, "velocity_std"),
        ("articulation", 0.5, 1.0, "overlap_key"),
        ("pedal", 0.1, 0.8, "pedal_fraction"),
        ("pedal", 0.1, 0.8, "ringing"),
        ("asynchrony_ms", 1.0, 12.0, "asynchrony_ms"),
    ],
)
def test_manipulated_expression_is_recovered(field, low, high, name):
    less, more = (describe_expression(played(**{field: value})) for value in (low, high))
    assert more[name] > less[name]


def test_transposition_changes_only_descriptors_of_register():
    one = played()
    higher = replace(one, pitch=one.pitch + 1)
    before, after = describe_expression(one), describe_expression(higher)
    register = ("treble", "bass", "loudness", "clash", "pitch_classes")
    for name, value in before.items():
        if not any(part in name for part in register):
            assert after[name] == pytest.approx(value, abs=1e-9, nan_ok=True), name


def test_pedal_makes_notes_ring_and_clash():
    dry = replace(played(pedal=0.0), pedal_s=np.empty((0, 2)))
    wet = replace(dry, pedal_s=np.array([[0.0, dry.end_s]]))
    assert resonance(wet).clash.mean() > 2 * resonance(dry).clash.mean()
    assert resonance(wet).ringing.mean() > 2 * resonance(dry).ringing.mean()


def test_single_notes_and_chords_are_described():
    note = Performance(
        np.array([1.0]), np.array([2.0]), np.array([60]), np.array([64]), np.empty((0, 2))
    )
    found = describe_expression(note)
    assert found["velocity_mean"] == 64.0
    assert np.isnan(found["log_ioi_std"])
    chord = Performance(
        np.array([1.0, 1.0]), np.array([2.0, 2.0]), np.array([60, 64]), np.array([64, 70]),
        np.empty((0, 2)),
    )  # fmt: skip
    assert describe_expression(chord)["top_over_bottom"] == 6.0


def test_standardised_is_relative_bounded_and_ignores_missing_values():
    rows = [{"a": 1.0, "b": 5.0}, {"a": 3.0, "b": float("nan")}, {"a": 5.0, "b": 5.0}]
    found = standardised(rows)
    np.testing.assert_allclose(found[:, 0], [-1.2247449, 0, 1.2247449])
    np.testing.assert_array_equal(found[:, 1], 0.0)
    outlier = standardised([{"a": 0.0}] * 30 + [{"a": 100.0}])
    assert outlier.max() == 3.0


def test_curves_identify_the_performance_that_slows_down():
    steady = [played(rubato=0.0, tempo_drift=0.0, seed=seed, pedal=0.0) for seed in range(3)]
    one = steady[0]
    end = one.onset_s[-1]

    def slower(times):
        return times + 0.3 * np.clip(times - 0.75 * end, 0, None)

    late = replace(one, onset_s=slower(one.onset_s), offset_s=slower(one.offset_s))
    group = [*steady, late]
    curves = passage_curves(group)
    assert set(CURVES) <= set(curves)
    assert curves["tempo"].shape == (4, 16)
    rows = shape_descriptors(curves)
    assert rows[3]["tempo_end"] < min(row["tempo_end"] for row in rows[:3]) - 0.1
    distances = curve_distances(curves)["tempo"]
    np.testing.assert_allclose(distances, distances.T)
    assert np.all(np.diag(distances) == 0)
    assert distances[3, :3].min() > distances[:3, :3].max()


def test_identical_performances_have_zero_distance():
    one, other = played(seed=1), played(seed=2, velocity=80.0, pedal=0.7)
    for distances in curve_distances(passage_curves([one, one, other])).values():
        assert distances[0, 1] < 1e-9
    with pytest.raises(MidiError, match="cannot be compared"):
        passage_curves([one])
