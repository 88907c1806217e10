"""Embeddings are independent of batches, exact in time, and finite or an error."""

import numpy as np
import pytest
import soundfile as sf

from mess_core.encoders import EncoderSettings, load_encoder
from mess_core.encoders.untrained import untrained_checkpoint
from mess_core.errors import AudioError


def _noise(seconds: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (0.1 * rng.standard_normal(int(seconds * 24_000))).astype(np.float32)


def _encoder(**settings):
    return load_encoder("untrained:tiny", device="cpu", settings=EncoderSettings(**settings))


def test_untrained_control_is_the_same_everywhere(encoder):
    again = load_encoder("untrained:tiny", device="cpu")
    wave = _noise(1.0)
    np.testing.assert_array_equal(encoder.hidden_states(wave), again.hidden_states(wave))
    # Pinned: seeded weights must not depend on library versions.
    drawn = untrained_checkpoint("tiny").model.model
    weight = drawn.encoder.layers[0].attention.q_proj.weight
    assert weight[0, :3].tolist() == pytest.approx([-0.0224, -0.0019, 0.0307], abs=1e-4)


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_batch_size_does_not_change_results(encoder, batch_size):
    wave = _noise(14.3)
    one = encoder.embed(wave)
    other = _encoder(batch_size=batch_size).embed(wave)
    scale = np.abs(one.segments).max()
    assert np.abs(one.segments - other.segments).max() <= 1e-5 * scale


def test_segments_depend_on_their_window_alone(encoder):
    """Each segment is the pooled hidden states of its own window and nothing else."""
    wave = _noise(9.1)
    embedding = encoder.embed(wave)
    assert embedding.start_s.tolist() == [0.0, 2.5, pytest.approx(4.1)]
    assert embedding.end_s[-1] == pytest.approx(9.1)
    for start_s, end_s, segment in zip(
        embedding.start_s, embedding.end_s, embedding.segments, strict=True
    ):
        part = wave[round(start_s * 24_000) : round(end_s * 24_000)]
        states = encoder.hidden_states(part)
        np.testing.assert_allclose(segment, states.mean(axis=1), atol=2e-6)
    np.testing.assert_allclose(embedding.track, embedding.segments.mean(axis=0), atol=1e-6)


def test_short_track_is_one_window_of_its_length(encoder):
    embedding = encoder.embed(_noise(0.7))
    assert embedding.segments.shape == (1, 13, 64)
    assert embedding.end_s.tolist() == [0.7]


def test_frames_follow_the_receptive_field(encoder):
    for samples in (400, 719, 720, 24_000, 120_000):
        states = encoder.hidden_states(_noise(5)[:samples])
        assert states.shape[1] == (samples - 400) // 320 + 1


def test_mean_and_std_pooling_doubles_the_dimension():
    wave = _noise(5)
    both = _encoder(pooling="mean+std").embed(wave).segments[0]
    states = _encoder().hidden_states(wave)
    np.testing.assert_allclose(both[:, :64], states.mean(axis=1), atol=2e-6)
    np.testing.assert_allclose(both[:, 64:], states.std(axis=1), atol=2e-6)


def test_window_normalisation_removes_level_and_track_normalisation_does_not():
    wave = _noise(10)
    wave[120_000:] *= 0.1  # the second half is 20 dB softer
    for normalise, same in (("window", True), ("track", False)):
        encoder = _encoder(normalise=normalise, hop_s=5.0)
        loud, soft = encoder.embed(wave).segments[:, 0]
        whole = encoder.embed(wave * 0.3).segments[:, 0]
        np.testing.assert_allclose(whole, [loud, soft], atol=1e-3)  # overall gain never matters
        apart = _encoder(normalise="window", hop_s=5.0).embed(wave).segments[:, 0]
        assert np.allclose([loud, soft], apart, atol=1e-4) == same


@pytest.mark.parametrize("samples", [1, 399])
def test_too_short_audio_is_an_error(encoder, tmp_path, samples):
    path = tmp_path / "short.wav"
    sf.write(path, np.full(samples, 0.1), 24_000)
    with pytest.raises(AudioError, match="too short") as raised:
        encoder.embed(path)
    assert str(path) in str(raised.value)


def test_errors_in_the_decoding_thread_reach_the_caller(encoder, tmp_path):
    path = tmp_path / "cut.flac"
    sf.write(path, _noise(30), 24_000)
    path.write_bytes(path.read_bytes()[:200_000])
    with pytest.raises(AudioError, match="truncated"):
        encoder.embed(path)


def test_file_and_array_agree(encoder, tone):
    samples, _ = sf.read(tone, dtype="float32")
    np.testing.assert_allclose(
        encoder.embed(tone).segments, encoder.embed(samples).segments, atol=1e-6
    )


def test_out_of_memory_halves_the_batch_size_permanently(monkeypatch):
    import torch

    encoder = _encoder(batch_size=8)
    wave = _noise(40)
    expected = encoder.embed(wave).segments
    real, sizes = type(encoder)._forward, []

    def small(self, waves):
        sizes.append(len(waves))
        if len(waves) > 3:
            raise torch.cuda.OutOfMemoryError
        return real(self, waves)

    monkeypatch.setattr(type(encoder), "_forward", small)
    got = encoder.embed(wave).segments
    np.testing.assert_allclose(got, expected, atol=1e-5)
    assert sizes[:3] == [8, 4, 2]
    sizes.clear()
    encoder.embed(wave)
    assert max(sizes) == 2


def test_one_window_that_does_not_fit_is_an_error(monkeypatch):
    import torch

    from mess_core.errors import EncoderError

    encoder = _encoder()

    def full(self, waves):
        raise torch.cuda.OutOfMemoryError

    monkeypatch.setattr(type(encoder), "_forward", full)
    with pytest.raises(EncoderError, match="does not fit"):
        encoder.embed(_noise(6))


def test_results_do_not_depend_on_the_other_tracks(encoder):
    tracks = [_noise(seconds, seed) for seed, seconds in enumerate((6.0, 3.3, 11.7))]
    forwards = [encoder.embed(track).segments for track in tracks]
    backwards = [encoder.embed(track).segments for track in reversed(tracks)][::-1]
    for one, other in zip(forwards, backwards, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)


def test_memory_does_not_grow_with_duration(tmp_path):
    """Compare the peak memory after a long and a short track, in a separate process."""
    import subprocess
    import sys
    from pathlib import Path

    if not Path("/proc/self/status").is_file():
        pytest.skip("reads the peak from /proc, which this system does not have")
    # Not getrusage: its peak includes the parent's memory at the fork.
    script = (
        "import sys\n"
        "from mess_core.encoders import load_encoder\n"
        "encoder = load_encoder('untrained:tiny', device='cpu', hop_s=5.0)\n"
        "for path in sys.argv[1:]:\n"
        "    encoder.embed(path)\n"
        "    status = open('/proc/self/status').read()\n"
        "    print(status.split('VmHWM:')[1].split()[0])\n"
    )
    paths = []
    for seconds in (60, 480):
        paths.append(tmp_path / f"{seconds}.wav")
        sf.write(paths[-1], _noise(seconds), 24_000)
    done = subprocess.run(
        [sys.executable, "-c", script, *paths], capture_output=True, text=True, check=True
    )
    short, long = (int(line) / 1024 for line in done.stdout.split())
    # 480 s decoded at once would be 46 MB at 24 kHz alone.
    assert long - short < 35


@pytest.mark.parametrize(
    ("rate", "channels", "subtype"),
    [(8_000, 1, "PCM_16"), (192_000, 1, "PCM_24"), (44_100, 8, "PCM_16"), (48_000, 2, "FLOAT")],
)
def test_unusual_audio_gives_finite_embeddings(encoder, tmp_path, rate, channels, subtype):
    path = tmp_path / "take.wav"
    wave = 0.1 * np.random.default_rng(0).standard_normal((6 * rate, channels))
    sf.write(path, wave, rate, subtype=subtype)
    embedding = encoder.embed(path)
    assert np.isfinite(embedding.segments).all()
    assert embedding.duration_s == pytest.approx(6.0, abs=0.01)


def test_bad_audio_gives_an_error_and_never_an_embedding(encoder, tmp_path):
    path = tmp_path / "bad.wav"
    for wave in (np.zeros(48_000), np.full(48_000, np.nan), np.full(48_000, np.inf)):
        sf.write(path, wave, 24_000, subtype="FLOAT")
        with pytest.raises(AudioError, match=r"bad\.wav"):
            encoder.embed(path)
    with pytest.raises(AudioError, match="NaN or infinite"):
        encoder.embed(np.full(48_000, np.nan, dtype=np.float32))
    with pytest.raises(AudioError, match="mono"):
        encoder.embed(np.zeros((2, 48_000), dtype=np.float32))


def test_abandoned_run_leaves_no_decoding_thread(encoder, corpus, tmp_path):
    import threading

    from mess_core.datasets import parse_sources, read_tracks
    from mess_core.encoders import embed_tracks
    from mess_core.store import Layout

    tracks, _, _ = read_tracks(parse_sources(f"demo={corpus}"))
    outcomes = embed_tracks(tracks, encoder, Layout(tmp_path, "untrained-tiny"))
    assert next(outcomes).status == "done"
    outcomes.close()
    assert not [one.name for one in threading.enumerate() if one.name.startswith("mess-")]
