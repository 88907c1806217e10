"""The small piano encoder: what survives, what does not matter, and what is refused."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save
from sklearn.linear_model import RidgeCV
from sklearn.metrics import r2_score
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mess_core import encoders
from mess_core.datasets.synthesis import Notes, synthesise
from mess_core.encoders import EncoderSettings, load_control, load_encoder
from mess_core.encoders.heard_works import HeardWorks
from mess_core.encoders.piano import STATE_HOP, WORKS, LogMel, PianoModel, open_folder
from mess_core.encoders.registry import FAMILIES, PIANO_WEIGHTS
from mess_core.errors import AudioError, EncoderError

RATE = 24_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.manual_seed(5)  # another seed than the untrained counterpart's
    folder = tmp_path_factory.mktemp("encoder")
    (folder / PIANO_WEIGHTS).write_bytes(save(_state()))
    return folder


@pytest.fixture(scope="module")
def piano(folder):
    return load_encoder(folder, device="cpu")


def _notes(seconds, level=0.1, seed=0):
    rng = np.random.default_rng(seed)
    time_s = np.arange(int(seconds * RATE)) / RATE
    wave = np.zeros(len(time_s))
    for onset in np.arange(0.1, seconds - 0.3, 0.25):
        since = np.clip(time_s - onset, 0, None)
        pitch = 220 * 2 ** (rng.integers(0, 24) / 12)
        wave += np.where(time_s >= onset, np.sin(2 * np.pi * pitch * since) * np.exp(-3 * since), 0)
    return (level * wave).astype(np.float32)


def test_states_come_at_their_rate_and_number(piano, folder):
    states = piano.hidden_states(_notes(5.0))
    assert states.shape == (9, 63, 192)
    assert RATE / STATE_HOP == 12.5
    few = load_encoder(folder, device="cpu", layers=[0, 4])
    np.testing.assert_allclose(few.hidden_states(_notes(5.0)), states[[0, 4]], atol=1e-5)


def test_the_encoder_of_the_package_comes_with_its_card_and_its_works():
    encoder = load_encoder("mess-piano", device="cpu")
    weights = Path(encoders.__file__).with_name("weights")
    digest = hashlib.sha256((weights / PIANO_WEIGHTS).read_bytes()).hexdigest()
    assert encoder.name == f"mess-piano@{digest[:12]}"
    assert (weights / PIANO_WEIGHTS).stat().st_size < 8e6
    assert "CC BY-NC-SA 4.0" in (weights / "README.md").read_text()
    heard = HeardWorks.load(weights / WORKS)
    assert len(set(heard.works)) > 100
    assert set(heard.use) == {"training", "held out"}


def _played(seed):
    """A random melody with its share of the time that keys and pedal are held."""
    rng = np.random.default_rng(seed)
    between = rng.uniform(0.1, 0.3, 40) * rng.uniform(0.7, 1.4)
    onset = np.cumsum(between)
    pitch = 40 + rng.integers(0, 12) + np.cumsum(rng.integers(-5, 6, 40)) % 30
    velocity = rng.normal(rng.uniform(40, 90), rng.uniform(2, 12), 40).clip(10, 120).astype(int)
    keys, pedal = rng.uniform(0.2, 1.2), rng.uniform(0, 0.9)
    down = np.arange(0.1, 14, 1.0)
    presses = np.stack([down, down + pedal], axis=1)
    return synthesise(Notes(onset, onset + keys * between, pitch, velocity, presses)), keys, pedal


def test_the_weights_of_the_package_tell_articulation_and_pedal_better_than_random_ones():
    trained = load_encoder("mess-piano", device="cpu", layers=[8])
    waves, *truth = zip(*(_played(seed) for seed in range(80)), strict=True)
    probe = make_pipeline(StandardScaler(), RidgeCV(np.logspace(0, 4, 9)))
    scores = []
    for encoder in (trained, load_control(trained)):
        vectors = np.stack([encoder.embed(wave[: 5 * RATE]).track[0] for wave in waves])
        guess = [cross_val_predict(probe, vectors, y, cv=KFold(5)) for y in truth]
        scores.append([r2_score(y, one) for y, one in zip(truth, guess, strict=True)])
    for with_training, without in zip(*scores, strict=True):
        assert with_training > without + 0.05


def test_level_survives(piano):
    """Twice the amplitude is another vector: nothing is normalised away."""
    soft, loud = (piano.embed(_notes(6.0, level)).track for level in (0.05, 0.1))
    assert np.linalg.norm(soft - loud) / np.linalg.norm(loud) > 0.005
    assert piano.identity["normalise"] == "none"


def test_mean_and_deviation_are_pooled_by_default(piano, folder):
    assert piano.identity["pooling"] == "mean+std"
    embedding = piano.embed(_notes(7.0))
    assert embedding.segments.shape == (2, 9, 384)
    plain = load_encoder(folder, device="cpu", settings=EncoderSettings())
    np.testing.assert_allclose(
        plain.embed(_notes(7.0)).segments, embedding.segments[..., :192], atol=1e-5
    )


@pytest.mark.parametrize("batch_size", [1, 3])
def test_batches_do_not_change_results(piano, folder, batch_size):
    other = load_encoder(folder, device="cpu", batch_size=batch_size)
    wave = _notes(14.3)
    a, b = piano.embed(wave).segments, other.embed(wave).segments
    assert np.abs(a - b).max() <= 1e-5 * np.abs(a).max()


def test_a_window_is_embedded_as_it_is_alone(piano):
    wave = _notes(12.0)
    embedding = piano.embed(wave)
    start, end = (round(at[1] * RATE) for at in (embedding.start_s, embedding.end_s))
    alone = piano.embed(wave[start:end]).track
    np.testing.assert_allclose(embedding.segments[1], alone, rtol=1e-4, atol=1e-4)


def test_too_short_waves_say_how_long_they_must_be(piano):
    with pytest.raises(AudioError, match="2048"):
        piano.hidden_states(np.zeros(100, np.float32))


def test_the_front_end_is_librosas():
    import librosa

    wave = _notes(2.0)
    ours = LogMel()(torch.from_numpy(wave)[None])[0].numpy()
    mel = librosa.feature.melspectrogram(
        y=wave, sr=RATE, n_fft=2048, hop_length=480, n_mels=160, fmin=27.5, fmax=11_000,
        pad_mode="reflect",
    )  # fmt: skip
    np.testing.assert_allclose(ours, (np.log(mel.T + 1e-7) + 9.0) / 4.0, atol=2e-3)


def test_the_untrained_counterpart_has_its_shape_and_other_numbers(piano):
    control = load_control(piano)
    assert control.name.startswith("untrained:counterpart-192x8@")
    assert control.architecture == piano.architecture
    assert control.settings == piano.settings
    one, other = (encoder.embed(_notes(6.0)).track for encoder in (piano, control))
    assert one.shape == other.shape
    assert not np.allclose(one, other, atol=0.1)
    np.testing.assert_array_equal(other, load_control(piano).embed(_notes(6.0)).track)


def test_the_weights_are_small_and_name_the_identity(piano, folder):
    content = (folder / PIANO_WEIGHTS).read_bytes()
    assert len(content) < 8e6
    assert piano.name == f"{folder.name}@{hashlib.sha256(content).hexdigest()[:12]}"


def _state():
    return {name: value.half() for name, value in PianoModel().state_dict().items()}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda state: state.pop("blocks.3.qkv.weight"), r"blocks\.3\.qkv\.weight"),
        (lambda state: state.update({"extra": torch.zeros(2)}), "extra"),
        (lambda state: state.update({"up": state["blocks.0.up.weight"].T}), "up"),
        (
            lambda state: state.update(
                {"blocks.0.up.weight": state["blocks.0.up.weight"].T.contiguous()}
            ),
            r"blocks\.0\.up\.weight",
        ),
        (lambda state: state["entry_norm.bias"].fill_(torch.nan), "non-finite"),
    ],
)
def test_weights_that_do_not_fit_are_refused_by_name(change, says, tmp_path):
    state = _state()
    change(state)
    state = {name: value.contiguous() for name, value in state.items()}
    with pytest.raises(EncoderError, match=says):
        _opened(state, tmp_path)


def test_a_damaged_file_is_one_clear_error(tmp_path):
    (tmp_path / PIANO_WEIGHTS).write_bytes(b"not safetensors")
    with pytest.raises(EncoderError, match="does not fit") as error:
        load_encoder(tmp_path, device="cpu")
    assert str(tmp_path / PIANO_WEIGHTS) in str(error.value)
    assert "mess train-encoder" in str(error.value)


def test_half_precision_weights_are_what_was_trained(tmp_path):
    """Saved as float16, states differ little from those of float32 weights."""
    torch.manual_seed(0)
    model = PianoModel().eval()
    exact = _opened(model.state_dict(), tmp_path).model
    half = _opened({k: v.half() for k, v in model.state_dict().items()}, tmp_path).model
    wave = torch.from_numpy(_notes(5.0))[None]
    for one in (exact, half):
        one.prepare((8,), torch.device("cpu"), torch.float32)
    with torch.no_grad():
        a, b = exact.states(wave), half.states(wave)
    assert (a - b).norm() / a.norm() < 2e-3


def _opened(state, folder):
    (folder / PIANO_WEIGHTS).write_bytes(save(state))
    return open_folder(folder, FAMILIES["mess-piano"])
