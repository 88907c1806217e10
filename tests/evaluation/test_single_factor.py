"""Only one factor changes, in one direction, by twice as much in the far clip."""

import numpy as np
import pytest

from mess_core.datasets.demo import Expression, demo_score, perform
from mess_core.evaluation.single_factor import FACTORS, single_factor_triplets
from mess_core.midi.performance import Performance


@pytest.fixture(scope="module")
def triplets():
    clips = []
    for number in range(6):
        notes = perform(demo_score(number), Expression(velocity=60.0), seed=number)
        order = np.lexsort((notes.pitch, notes.onset_s))
        clips.append(
            (
                f"clip{number}",
                Performance(
                    notes.onset_s[order],
                    np.maximum(notes.offset_s, notes.onset_s + 0.01)[order],
                    notes.pitch[order],
                    notes.velocity[order],
                    notes.pedal_s,
                ),
            )
        )
    return single_factor_triplets(clips, seed=3)


def changes(one, other):
    """Return the change of each factor between two performances of the same notes."""
    pedal = abs(one.pedal_fraction - other.pedal_fraction)
    return {
        "tempo_curve": float(np.abs(one.onset_s - other.onset_s).mean()),
        "dynamics": float(np.abs(one.velocity - other.velocity).mean()),
        "articulation": float(
            np.abs(np.log2((one.offset_s - one.onset_s) / (other.offset_s - other.onset_s))).mean()
        ),
        "pedal": pedal,
        "timing": float(np.abs(one.onset_s - other.onset_s).mean()),
    }


def test_one_triplet_per_clip_and_factor(triplets):
    assert len(triplets) == 6 * len(FACTORS)
    assert {one.factor for one in triplets} == set(FACTORS)


def test_the_near_clip_is_nearer_in_its_factor(triplets):
    for one in triplets:
        near, far = changes(one.x, one.near)[one.factor], changes(one.x, one.far)[one.factor]
        assert 0 < near < far, (one.factor, one.source)
        assert far > 1.5 * near


def test_no_other_factor_changes(triplets):
    for one in triplets:
        for clip in (one.near, one.far):
            moved = changes(one.x, clip)
            np.testing.assert_array_equal(clip.pitch, one.x.pitch)
            for factor in set(FACTORS) - {one.factor}:
                if one.factor == "tempo_curve" or {one.factor, factor} == {"timing", "tempo_curve"}:
                    continue  # note lengths and pedal scale with the local tempo
                if one.factor == "timing" and factor == "articulation":
                    continue  # a key that is struck again earlier is held less
                assert moved[factor] < (0.06 if factor == "pedal" else 1e-9), (one.factor, factor)


def test_tempo_changes_preserve_order_and_duration(triplets):
    for one in triplets:
        if one.factor == "tempo_curve":
            assert np.all(np.diff(one.far.onset_s) >= 0)
            assert one.far.end_s == pytest.approx(one.x.end_s, abs=0.1)


def test_notes_are_displaced_one_by_one(triplets):
    for one in triplets:
        if one.factor == "timing":
            away = one.far.onset_s - one.x.onset_s
            assert 0.01 < np.abs(away).mean() < 0.05
            assert abs(np.corrcoef(away[1:], away[:-1])[0, 1]) < 0.6
            assert np.all(one.far.offset_s > one.far.onset_s)


def test_the_same_seed_makes_the_same_changes(triplets):
    clips = [(one.source, one.x) for one in triplets if one.factor == "dynamics"]
    first = single_factor_triplets(clips, seed=3)
    second = single_factor_triplets(clips, seed=3)
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.far.velocity, other.far.velocity)
        np.testing.assert_array_equal(one.far.onset_s, other.far.onset_s)
