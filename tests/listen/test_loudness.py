"""Loudness measurement and matching."""

import numpy as np
import pytest
import soundfile as sf

from mess_core.errors import AudioError
from mess_core.listen.loudness import integrated_loudness, matched, wav_clips

RATE = 24_000


def test_loudness_conforms_to_the_standard():
    # ITU-R BS.1770-4: a full-scale sine of 997 Hz measures -3.01 LUFS.
    for rate in (24_000, 44_100, 48_000):
        time_s = np.arange(5 * rate) / rate
        sine = np.sin(2 * np.pi * 997 * time_s)
        assert integrated_loudness(sine, rate) == pytest.approx(-3.01, abs=0.05)
        # Gating excludes silence.
        gappy = np.concatenate([sine, np.zeros(5 * rate)])
        assert integrated_loudness(gappy, rate) == pytest.approx(-3.01, abs=0.4)
        bass = np.sin(2 * np.pi * 30 * time_s)
        assert integrated_loudness(bass, rate) < -6
    assert integrated_loudness(np.zeros(100), 24_000) == -np.inf


def noise(level, seconds=1.0):
    rng = np.random.default_rng(0)
    return (level * rng.standard_normal(round(seconds * RATE))).astype(np.float32)


def test_matched_clips_are_equally_loud_without_clipping():
    found = matched([noise(level) for level in (0.2, 0.05, 0.005)], RATE)
    levels = [integrated_loudness(wave, RATE) for wave in found]
    assert levels == pytest.approx([-26] * 3, abs=0.05)
    # A loud chord in a soft clip limits the level of all clips.
    peaky = noise(0.01)
    peaky[5000:5010] = 0.9
    found = matched([noise(0.2), peaky], RATE)
    assert max(np.abs(wave).max() for wave in found) <= 10 ** (-1 / 20) + 1e-6
    levels = [integrated_loudness(wave, RATE) for wave in found]
    assert levels[0] == pytest.approx(levels[1], abs=0.05)
    assert levels[0] < -27


def test_silent_soft_and_truncated_clips_are_refused(tmp_path):
    with pytest.raises(AudioError, match="silent"):
        matched([noise(0.2), np.zeros(RATE, np.float32)], RATE)
    with pytest.raises(AudioError, match="too soft"):
        matched([noise(0.2), noise(0.0003)], RATE)
    path = tmp_path / "short.wav"
    sf.write(path, noise(0.1, 3.0), RATE)
    assert len(wav_clips([(path, 1.0, 3.0)])) == 1
    with pytest.raises(AudioError, match=r"short\.wav: ends before its passage"):
        wav_clips([(path, 1.0, 11.0)])
