"""Targets are invariant to gain, silence, sample rate, transposition and offset."""

from types import MappingProxyType

import numpy as np
import pytest
import soundfile as sf
import soxr
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mess_core.datasets.demo import Expression, demo_score, perform
from mess_core.datasets.synthesis import synthesise
from mess_core.midi.performance import Performance
from mess_core.targets import targets, targets_from_audio
from mess_core.targets.analysis import analyse

RATE = 24_000
few = settings(
    max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
# Medians over a few dozen onsets and counts of boundaries change in steps.
STEPPED = {"num_phrases": 1.01, "onset_density": 0.15, "phrase_regularity": 0.2}
# Onsets between two frames depend on the phase: by up to 15 % here.
COARSE = {"attack_slopes": 0.2}


@pytest.fixture(scope="module")
def clip():
    return synthesise(perform(demo_score(2, bars=8), Expression(dynamics=12), seed=2))


@pytest.fixture(scope="module")
def plain(clip):
    return _values(clip)


def _values(samples):
    analysis = analyse(np.asarray(samples, dtype=np.float32))
    return {one.name: one.function(analysis) for one in targets("audio")}


def _same(found, expected, *, rel, skip=(), coarse=MappingProxyType({})):
    for name, value in expected.items():
        if name not in skip:
            slack = STEPPED.get(name, 0.0)
            near = pytest.approx(value, rel=max(rel, coarse.get(name, 0.0)), abs=slack, nan_ok=True)
            assert found[name] == near, name


@few
@given(st.floats(0.1, 1.0))
def test_gain_affects_only_the_variance_of_level(clip, plain, gain):
    found = _values(clip * np.float32(gain))
    _same(found, plain, rel=0.01, skip=("dynamic_variance",))
    assert found["dynamic_variance"] == pytest.approx(gain * plain["dynamic_variance"], rel=0.01)


@few
@given(st.floats(-0.1, 0.1))
def test_a_constant_offset_has_no_effect(clip, plain, offset):
    _same(_values(clip + np.float32(offset)), plain, rel=0.001)


@few
@example(1.59375, 0.0)
@given(st.floats(0.0, 3.0), st.floats(0.0, 3.0))
def test_silence_at_the_ends_has_no_effect(clip, plain, before, after):
    padded = np.concatenate([np.zeros(int(before * RATE)), clip, np.zeros(int(after * RATE))])
    _same(_values(padded), plain, rel=0.06, coarse=COARSE)


@few
@given(st.sampled_from([32_000, 44_100, 48_000, 96_000]))
def test_sample_rate_of_the_file_has_no_effect(clip, plain, tmp_path, rate):
    sf.write(tmp_path / "a.wav", soxr.resample(clip, RATE, rate), rate, subtype="FLOAT")
    _same(targets_from_audio(tmp_path / "a.wav"), plain, rel=0.06)


def _play(seed, expression=None):
    notes = perform(demo_score(seed % 6, bars=12), expression or Expression(), seed=seed)
    order = np.argsort(notes.onset_s, kind="stable")
    return Performance(
        notes.onset_s[order],
        notes.offset_s[order],
        notes.pitch[order],
        notes.velocity[order],
        notes.pedal_s,
    )


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 40), st.integers(-12, 12), st.integers(-20, 20), st.floats(0.0, 60.0))
def test_midi_targets_are_invariant_to_key_offset_and_level(seed, semitones, louder, offset_s):
    one = _play(seed, Expression(velocity=64, dynamics=4))
    other = Performance(
        one.onset_s + offset_s,
        one.offset_s + offset_s,
        one.pitch + semitones,
        one.velocity + louder,
        one.pedal_s + offset_s,
    )
    for target in targets("midi", extra=True):
        expected = target.function(one) + (louder if target.name == "velocity_mean" else 0)
        found = target.function(other)
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-6, nan_ok=True), target.name
