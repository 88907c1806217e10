"""Audio targets agree with librosa, recover known values, and are invariant where claimed."""

import librosa
import numpy as np
import pytest
import soundfile as sf

from mess_core.errors import AudioError
from mess_core.targets import targets, targets_from_audio
from mess_core.targets.analysis import analyse

RATE = 24_000


def _take(bpm=96.0, swell_db=0.0, decay_s=0.4, seconds=16.0, pitches=(57, 60, 64, 69)):
    """Synthesise notes at a steady pulse whose loudness follows one swell of `swell_db`."""
    out = np.zeros(int(seconds * RATE))
    onsets = np.arange(0.5, seconds - 1, 60 / bpm)
    for number, onset in enumerate(onsets):
        gain = 10 ** (swell_db * np.sin(np.pi * onset / seconds) / 20)
        time_s = np.arange(int(1.0 * RATE)) / RATE
        frequency = librosa.midi_to_hz(pitches[number % len(pitches)])
        tone = sum(np.sin(2 * np.pi * frequency * k * time_s) / k for k in (1, 2, 3))
        first = int(onset * RATE)
        note = 0.02 * gain * tone * np.exp(-time_s / decay_s) * (1 - np.exp(-time_s / 0.003))
        out[first : first + len(note)] += note[: len(out) - first]
    return out.astype(np.float32)


def _values(samples):
    analysis = analyse(samples)
    return {one.name: one.function(analysis) for one in targets("audio")}


def test_there_are_15_audio_and_7_midi_targets():
    assert len(targets("audio")) == 15
    assert len(targets("midi")) == 7
    assert len({one.name for one in targets(extra=True)}) == len(targets(extra=True))
    assert all(one.description and one.unit for one in targets(extra=True))


def test_timbre_equals_librosa_where_all_frames_sound():
    rng = np.random.default_rng(0)
    samples = (0.1 * rng.standard_normal(5 * RATE)).astype(np.float32)
    samples -= samples.mean()  # as the analysis does
    values = _values(samples)
    stft = np.abs(librosa.stft(samples, n_fft=2048, hop_length=512))
    for name, expected in {
        "spectral_centroid": librosa.feature.spectral_centroid(S=stft, sr=RATE),
        "spectral_bandwidth": librosa.feature.spectral_bandwidth(S=stft, sr=RATE),
        "spectral_rolloff": librosa.feature.spectral_rolloff(S=stft, sr=RATE, roll_percent=0.85),
        "zero_crossing_rate": librosa.feature.zero_crossing_rate(samples),
    }.items():
        assert values[name] == pytest.approx(float(expected.mean()), rel=1e-4), name


@pytest.mark.parametrize("bpm", [72.0, 96.0, 120.0, 144.0])
def test_known_tempo_is_found(bpm):
    assert _values(_take(bpm))["tempo"] == pytest.approx(bpm, rel=0.04)


def test_onset_density_counts_onsets():
    for bpm in (60.0, 120.0, 180.0):
        assert _values(_take(bpm))["onset_density"] == pytest.approx(bpm / 60, rel=0.15)


def test_known_swells_are_ranked_correctly():
    swells = (0.0, 6.0, 12.0, 20.0)
    measured = [_values(_take(swell_db=swell)) for swell in swells]
    for name in ("dynamic_range", "crescendo_strength", "diminuendo_strength"):
        assert np.all(np.diff([values[name] for values in measured]) > 0), name
    # 8 s from the start to the top of the swell: most of it fits in a 10 s window.
    assert measured[-1]["crescendo_strength"] == pytest.approx(20, abs=5)


def test_harmonic_complexity_orders_pitch_variety():
    few = _values(_take(pitches=(57, 57, 69, 57)))["harmonic_complexity"]
    many = _values(_take(pitches=(57, 58, 60, 62, 63, 65, 67, 68)))["harmonic_complexity"]
    assert few < many <= np.log(12)


@pytest.mark.parametrize("gain", [0.1, 0.3])
def test_gain_affects_only_the_variance_of_level(gain):
    samples = _take(swell_db=10.0)
    loud, soft = _values(samples), _values(samples * np.float32(gain))
    for name in loud:
        if name == "dynamic_variance":
            assert soft[name] == pytest.approx(gain * loud[name], rel=1e-3)
        else:
            assert soft[name] == pytest.approx(loud[name], rel=2e-2, nan_ok=True), name


def test_silence_at_the_ends_has_no_effect():
    samples = _take(swell_db=10.0)
    silence = np.zeros(3 * RATE, dtype=np.float32)
    padded = _values(np.concatenate([silence, samples, silence]))
    plain = _values(samples)
    for name in plain:
        tolerance = 0.5 if name in {"phrase_regularity", "num_phrases"} else 0.05
        assert padded[name] == pytest.approx(plain[name], rel=tolerance, nan_ok=True), name


def test_number_of_phrases_follows_the_music_not_the_duration():
    plain = _values(_take(seconds=20))["num_phrases"]
    longer = _values(_take(seconds=40))["num_phrases"]
    parts = [_take(seconds=10, pitches=p) for p in ((45, 52), (62, 66, 73), (47, 59), (64, 70))]
    changing = _values(np.concatenate(parts))["num_phrases"]
    assert longer - plain <= 1
    assert changing > longer


def test_too_short_and_silent_audio_are_errors(tmp_path):
    path = tmp_path / "short.wav"
    sf.write(path, 0.1 * np.ones(1000), RATE)
    with pytest.raises(AudioError, match="too short") as raised:
        targets_from_audio(path)
    assert "short.wav" in str(raised.value)


def test_public_call_returns_finite_values(corpus):
    values = targets_from_audio(sorted(corpus.glob("*.flac"))[0])
    assert set(values) >= {one.name for one in targets("audio")}
    missing = [name for name, value in values.items() if not np.isfinite(value)]
    assert set(missing) <= {"phrase_regularity"}
