"""Decoding: all usable files give the same samples, and unusable files a clear error."""

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from mess_core.audio import audio_info, file_sha256, load_audio, load_passage, stream_audio
from mess_core.errors import AudioError


def _write(path: Path, rate: int = 24_000, channels: int = 1, seconds: float = 2.0, **kwargs):
    time_s = np.arange(int(seconds * rate)) / rate
    wave = 0.4 * np.sin(2 * np.pi * 440 * time_s)
    sf.write(path, np.repeat(wave[:, None], channels, axis=1), rate, **kwargs)
    return path


@pytest.mark.parametrize(
    ("name", "rate", "channels", "kwargs"),
    [
        ("mono.wav", 24_000, 1, {}),
        ("stereo.wav", 44_100, 2, {}),
        ("eight.wav", 48_000, 8, {}),
        ("low.wav", 8_000, 1, {}),
        ("high.wav", 192_000, 2, {}),
        ("deep.wav", 44_100, 1, {"subtype": "PCM_24"}),
        ("float.wav", 44_100, 1, {"subtype": "FLOAT"}),
        ("a.flac", 44_100, 2, {}),
        ("a.ogg", 44_100, 1, {}),
        ("a.mp3", 44_100, 1, {}),
    ],
)
def test_any_rate_and_channel_count_gives_the_same_tone(tmp_path, name, rate, channels, kwargs):
    samples = load_audio(_write(tmp_path / name, rate, channels, **kwargs))
    assert samples.dtype == np.float32
    assert abs(len(samples) - 48_000) < 3_000  # lossy codecs pad
    middle = samples[12_000:36_000]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    assert np.argmax(spectrum) == 440  # bins of 1 Hz
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(0.4 / np.sqrt(2), rel=0.02)


def test_blocks_do_not_change_the_result(tmp_path):
    path = _write(tmp_path / "a.wav", 44_100, 2, 3.0)
    whole = load_audio(path)
    for block_s in (0.1, 0.37, 30.0):
        parts = np.concatenate(list(stream_audio(path, block_s=block_s)))
        np.testing.assert_allclose(parts, whole, atol=1e-6)


def _truncated_header(path: Path) -> Path:
    path.write_bytes(_write(path).read_bytes()[:20])
    return path


def _truncated_data(path: Path) -> Path:
    content = _write(path).read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path


def _bytes(content: bytes):
    def make(path: Path) -> Path:
        path.write_bytes(content)
        return path

    return make


def _samples(values: list[float]):
    def make(path: Path) -> Path:
        sf.write(path, np.asarray(values, dtype=np.float32), 24_000, subtype="FLOAT")
        return path

    return make


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


@pytest.mark.parametrize(
    ("make", "suffix", "problem"),
    [
        (lambda path: path, ".wav", "does not exist"),
        (_bytes(b""), ".wav", "is empty"),
        (_bytes(b"no audio at all" * 100), ".wav", "cannot be decoded"),
        (_bytes(b"no audio at all" * 100), ".flac", "cannot be decoded"),
        (_truncated_header, ".wav", "cannot be decoded|holds no samples|truncated"),
        (_truncated_data, ".wav", "truncated"),
        (_truncated_data, ".flac", "truncated"),
        (_samples([0.0] * 24_000), ".wav", "is silent"),
        (_samples([0.1] * 5000 + [float("nan")] + [0.1] * 5000), ".wav", "NaN or infinite"),
        (_samples([0.1] * 5000 + [float("inf")] + [0.1] * 5000), ".wav", "NaN or infinite"),
        (_samples([]), ".wav", "holds no samples"),
        (_folder, ".wav", "is a folder"),
    ],
)
def test_unusable_audio_names_the_file_and_the_problem(tmp_path, make, suffix, problem):
    path = make(tmp_path / f"bad{suffix}")
    with pytest.raises(AudioError, match=problem) as raised:
        load_audio(path)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize(("name", "rate"), [("a.wav", 24_000), ("a.flac", 44_100)])
def test_passages_are_parts_of_the_whole(tmp_path, name, rate):
    path = _write(tmp_path / name, rate, channels=2)
    whole = load_audio(path)
    part = load_passage(path, 0.5, 1.25)
    assert len(part) == 0.75 * 24_000
    np.testing.assert_allclose(part[500:-500], whole[12_500:29_500], atol=2e-3)
    assert len(load_passage(path, 1.5, 9)) == pytest.approx(12_000, abs=1)
    for start_s, end_s in ((2.0, 3.0), (-1.0, 1.0), (1.0, 1.0)):
        with pytest.raises(AudioError, match="no passage"):
            load_passage(path, start_s, end_s)


def test_header_is_read_without_decoding(tmp_path):
    info = audio_info(_write(tmp_path / "a.wav", 48_000, 2))
    assert (info.duration_s, info.sample_rate, info.channels) == (2.0, 48_000, 2)


def test_hash_is_of_the_bytes(tmp_path):
    import hashlib

    path = _write(tmp_path / "a.wav")
    assert file_sha256(path) == hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(AudioError, match="cannot be read"):
        file_sha256(tmp_path / "absent.wav")
