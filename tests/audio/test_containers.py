"""Content decides how a file is read, a cut is found, and lengths are those of the samples."""

import io
import logging

import numpy as np
import pytest
import soundfile as sf

from mess_core.audio import AUDIO_SUFFIXES, audio_info, load_audio, load_passage
from mess_core.audio.mp3 import with_length
from mess_core.errors import AudioError

RATE, SECONDS = 24_000, 12
TIME_S = np.arange(RATE * SECONDS) / RATE
# Louder and brighter with time, so that a variable bit rate begins low.
WAVE = (0.04 + 0.02 * TIME_S) * np.sin(2 * np.pi * 220 * TIME_S * (1 + TIME_S / 6))
STEREO = np.stack([WAVE, 0.5 * WAVE], axis=1).astype(np.float32)
FORMATS = {
    "wav": {}, "aiff": {}, "au": {}, "flac": {}, "caf": {}, "w64": {"format": "W64"},
    "rf64": {"format": "RF64"}, "ogg": {"format": "OGG", "subtype": "VORBIS"},
    "opus": {"format": "OGG", "subtype": "OPUS"}, "mp3": {},
}  # fmt: skip


def written(name: str, samples=STEREO, **options) -> bytes:
    buffer = io.BytesIO()
    options = {"format": name.upper(), **FORMATS[name], **options}
    sf.write(buffer, samples, RATE, **options)
    return buffer.getvalue()


def frames_of_mp3(content: bytes) -> list[bytes]:
    """The frames of an MP3 at 24 kHz (MPEG 2): 72,000 x kb/s / Hz bytes each."""
    kilobits = [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160]
    frames, at = [], content.index(b"\xff\xf3")
    while at + 4 <= len(content):
        size = 72 * kilobits[content[at + 2] >> 4] * 1000 // RATE + (content[at + 2] >> 1 & 1)
        frames.append(content[at : at + size])
        at += size
    return frames


VARIABLE = written("mp3", bitrate_mode="VARIABLE", compression_level=0.3)


def without_header() -> bytes:
    frames = frames_of_mp3(VARIABLE)
    assert any(tag in frames[0] for tag in (b"Xing", b"Info"))
    return b"".join(frames[1:])


def without_length(content: bytes) -> bytes:
    """A FLAC as a streaming encoder writes it: no number of samples."""
    at = content.index(b"fLaC") + 8 + 13
    return content[:at] + bytes([content[at] & 0xF0, 0, 0, 0, 0]) + content[at + 5 :]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("suffix", [None, ".wav", ".mp3"])
def test_content_decides_and_not_the_suffix(tmp_path, name, suffix):
    path = tmp_path / f"a{suffix or '.' + name}"
    path.write_bytes(written(name))
    assert path.suffix in AUDIO_SUFFIXES
    assert audio_info(path).duration_s == pytest.approx(SECONDS, abs=0.1)
    assert len(load_audio(path)) == pytest.approx(RATE * SECONDS, abs=2400)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("share", [0.3, 0.5, 0.9])
def test_a_cut_file_is_an_error_in_every_container(tmp_path, name, share):
    content = written(name)
    path = tmp_path / "cut.wav"
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(AudioError, match=r"truncated|malformed|corrupt") as raised:
        load_audio(path)
    assert raised.value.remedy
    assert str(path) in str(raised.value)


@pytest.mark.parametrize(
    ("content", "seconds"),
    [
        (VARIABLE, SECONDS),
        (without_header(), SECONDS),
        (b"ID3\x04\x00\x00\x00\x00\x00\x0a" + bytes(10) + without_header(), SECONDS),
        (VARIABLE + VARIABLE, 2 * SECONDS),
        (without_header() + without_header(), 2 * SECONDS),
        (without_length(written("flac")), SECONDS),
    ],
    ids=["header", "no header", "tag", "joined", "joined, no header", "streamed flac"],
)
def test_all_samples_are_read_whatever_the_header_says(tmp_path, content, seconds):
    path = tmp_path / "a.mp3"
    path.write_bytes(content)
    samples = load_audio(path)
    assert len(samples) / RATE == pytest.approx(seconds, abs=0.15)
    assert audio_info(path).duration_s == pytest.approx(len(samples) / RATE, abs=0.05)
    last = np.abs(samples[-RATE:]).mean()
    assert last > 0.5 * np.abs(WAVE[-RATE:]).mean() * 0.75


def test_garbage_inside_an_mp3_is_skipped(tmp_path):
    frames = frames_of_mp3(without_header())
    content = b"".join(frames[:100]) + b"\xffgarbage" * 50 + b"".join(frames[100:])
    (tmp_path / "a.mp3").write_bytes(content)
    assert len(load_audio(tmp_path / "a.mp3")) / RATE == pytest.approx(SECONDS, abs=0.3)


ID3V1 = b"TAG" + bytes(125)
APE = b"APETAGEX" + (2000).to_bytes(4, "little") + (30_032).to_bytes(4, "little") + bytes(16)
APE_TAG = bytes(30_000) + APE


@pytest.mark.parametrize("tags", [ID3V1, APE_TAG, APE_TAG + ID3V1])
def test_tags_at_the_end_of_an_mp3_are_no_second_recording(tmp_path, tags):
    (tmp_path / "a.mp3").write_bytes(VARIABLE)
    (tmp_path / "b.mp3").write_bytes(VARIABLE + tags)
    plain, tagged = load_audio(tmp_path / "a.mp3"), load_audio(tmp_path / "b.mp3")
    np.testing.assert_array_equal(plain, tagged)


def test_a_short_second_mp3_is_not_lost(tmp_path):
    short = written("mp3", STEREO[: RATE // 2])
    (tmp_path / "a.mp3").write_bytes(VARIABLE + short)
    assert len(load_audio(tmp_path / "a.mp3")) / RATE > SECONDS + 0.4


def test_chained_ogg_files_are_refused_and_not_read_in_part(tmp_path):
    serials = [content.replace(content[14:18], serial) for content, serial in (
        (written("ogg"), b"aaaa"), (written("ogg"), b"bbbb"),
    )]  # fmt: skip
    (tmp_path / "a.ogg").write_bytes(b"".join(serials))
    with pytest.raises(AudioError, match=r"several recordings|cannot be decoded"):
        load_audio(tmp_path / "a.ogg")


def test_a_streamed_flac_behind_a_large_tag_is_read(tmp_path):
    size = 70_000
    tag = b"ID3\x04\x00\x00" + bytes([size >> 21, size >> 14 & 127, size >> 7 & 127, size & 127])
    (tmp_path / "a.flac").write_bytes(tag + bytes(size) + without_length(written("flac")))
    assert len(load_audio(tmp_path / "a.flac")) == RATE * SECONDS


@pytest.mark.parametrize("name", ["a.raw", "a.wav", "a" * 300 + ".wav"])
def test_names_that_confuse_the_library_are_one_clear_error(tmp_path, name):
    if len(name) < 200:
        (tmp_path / name).write_bytes(b"nothing" * 100)
    with pytest.raises(AudioError) as raised:
        load_audio(tmp_path / name)
    assert raised.value.remedy


@pytest.mark.parametrize("rate", [1, 10, 4_000_000])
def test_an_absurd_sample_rate_is_refused(tmp_path, rate):
    content = bytearray(written("wav"))
    content[24:28] = rate.to_bytes(4, "little")
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(AudioError, match="sample rate"):
        audio_info(tmp_path / "a.wav")


@pytest.mark.parametrize("content", [b"", b"\xff", b"ID3", b"\xff\xfb" * 40, written("wav")[:3000]])
def test_what_is_no_mp3_needs_no_header(content):
    assert with_length(io.BytesIO(content)) is None


@pytest.mark.parametrize("name", ["wav", "flac"])
def test_channels_that_cancel_each_other_are_not_mixed(tmp_path, name, caplog):
    inverted = np.stack([WAVE, -WAVE], axis=1).astype(np.float32)
    silence = np.zeros((RATE * 12, 2), dtype=np.float32)
    path = tmp_path / f"a.{name}"
    path.write_bytes(written(name, np.concatenate([silence, inverted])))
    with caplog.at_level(logging.WARNING, logger="mess"):
        samples = load_audio(path)
    np.testing.assert_allclose(samples[RATE * 12 :], WAVE, atol=1e-3)
    assert str(path) in caplog.text
    np.testing.assert_allclose(load_passage(path, 13.0, 14.0), WAVE[RATE : 2 * RATE], atol=1e-3)


@pytest.mark.parametrize("other", [0.0, 1.0, -0.9, -0.5])
def test_other_stereo_is_the_mean_of_its_channels(tmp_path, other):
    path = tmp_path / "a.wav"
    path.write_bytes(written("wav", np.stack([WAVE, other * WAVE], axis=1).astype(np.float32)))
    np.testing.assert_allclose(load_audio(path), WAVE * (1 + other) / 2, atol=1e-3)
