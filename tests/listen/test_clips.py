"""How loud clips are, and how loud they are made."""

import numpy as np
import pytest

from mess_core.listen.clips import integrated_loudness, matched

RATE = 24_000


def test_loudness_meets_the_standard():
    # ITU-R BS.1770-4: a full-scale sine of 997 Hz measures -3.01 LUFS.
    for rate in (24_000, 44_100, 48_000):
        time_s = np.arange(5 * rate) / rate
        sine = np.sin(2 * np.pi * 997 * time_s)
        assert integrated_loudness(sine, rate) == pytest.approx(-3.01, abs=0.05)
        # Silence between the notes does not count.
        gappy = np.concatenate([sine, np.zeros(5 * rate)])
        assert integrated_loudness(gappy, rate) == pytest.approx(-3.01, abs=0.4)
        bass = np.sin(2 * np.pi * 30 * time_s)
        assert integrated_loudness(bass, rate) < -6
    assert integrated_loudness(np.zeros(100), 24_000) == -np.inf


def test_levels_are_only_lowered_and_silence_is_left():
    rng = np.random.default_rng(0)
    waves = [level * rng.standard_normal(RATE).astype(np.float32) for level in (0.2, 0.05, 0.001)]
    silent = np.zeros(RATE, np.float32)
    found = matched([*waves, silent], RATE)
    levels = [integrated_loudness(wave, RATE) for wave in found[:3]]
    assert levels == pytest.approx([integrated_loudness(waves[2], RATE)] * 3, abs=0.05)
    assert not found[3].any()
    loud = matched(waves[:1], RATE)[0]
    assert integrated_loudness(loud, RATE) == pytest.approx(-26, abs=0.05)
