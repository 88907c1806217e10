"""Parity with the reference implementation, and refusal of what is not MERT."""

import json
import shutil

import numpy as np
import pytest
import torch

from mess_core.encoders import load_encoder
from mess_core.errors import EncoderError


@pytest.fixture(scope="module")
def golden(shared_data):
    return shared_data / "mert"


@pytest.mark.parametrize("folder", ["tiny-95M", "tiny-95M-safetensors"])
@pytest.mark.parametrize(
    ("wave", "expected"),
    [("1s", "hidden_1s"), ("5s", "hidden_5s"), ("0.7s", "hidden_0.7s_alone")],
)
def test_95m_states_are_the_reference(golden, folder, wave, expected):
    encoder = load_encoder(golden / folder, device="cpu")
    states = encoder.hidden_states(np.load(golden / f"wave_{wave}.npy"))
    reference = np.load(golden / "tiny-95M" / f"{expected}.npz")["hidden_states"]
    assert states.shape == reference.reshape(states.shape).shape
    assert np.abs(states - reference.reshape(states.shape)).max() < 1e-4


def test_330m_states_are_the_reference_with_the_last_one_normalised(golden):
    encoder = load_encoder(golden / "tiny-330M", device="cpu")
    states = encoder.hidden_states(np.load(golden / "wave_1s.npy"))
    reference = np.load(golden / "tiny-330M" / "hidden_1s.npz")["hidden_states"]
    assert states.shape == (25, 74, 32)
    assert np.abs(states - reference.reshape(states.shape)).max() < 1e-4


@pytest.mark.parametrize(
    ("folder", "layers"), [("tiny-95M", [0, 5]), ("tiny-330M", [3, 24]), ("tiny-330M", [7])]
)
def test_only_the_layers_asked_for_are_computed(golden, folder, layers):
    encoder = load_encoder(golden / folder, device="cpu", layers=layers)
    assert len(encoder._model.encoder.layers) == max(layers)
    states = encoder.hidden_states(np.load(golden / "wave_1s.npy"))
    reference = np.load(golden / folder / "hidden_1s.npz")["hidden_states"]
    reference = reference.reshape(-1, *states.shape[1:])[layers]
    assert np.abs(states - reference).max() < 1e-4


def test_we_do_not_batch_by_padding(golden):
    """The padded reference differs from the item alone; ours is the item alone."""
    padded = np.load(golden / "tiny-95M" / "hidden_batch_padded.npz")["hidden_states"]
    encoder = load_encoder(golden / "tiny-95M", device="cpu")
    alone = encoder.hidden_states(np.load(golden / "wave_0.7s.npy"))
    in_padding = padded[:, 1, : alone.shape[1]]
    error = np.linalg.norm(in_padding - alone) / np.linalg.norm(alone)
    assert error > 0.1


def _copy(source, target):
    shutil.copytree(source, target)
    for path in target.rglob("*"):
        path.chmod(0o644)
    target.chmod(0o755)
    return target


@pytest.mark.parametrize("switch", ["feature_extractor_cqt", "deepnorm"])
def test_variants_that_need_remote_code_are_refused_by_name(golden, tmp_path, switch):
    folder = _copy(golden / "tiny-95M", tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, switch: True}))
    with pytest.raises(EncoderError, match=switch):
        load_encoder(folder, device="cpu")


def test_weights_must_match_exactly(golden, tmp_path):
    folder = _copy(golden / "tiny-95M", tmp_path / "model")
    state = torch.load(folder / "pytorch_model.bin", weights_only=True)
    for change in ("missing", "extra"):
        changed = dict(state)
        if change == "missing":
            del changed["encoder.layers.3.attention.k_proj.weight"]
        else:
            changed["encoder.layers.99.attention.k_proj.weight"] = torch.zeros(2)
        torch.save(changed, folder / "pytorch_model.bin")
        with pytest.raises(EncoderError, match="does not fit its configuration"):
            load_encoder(folder, device="cpu")


class _Evil:
    def __reduce__(self):
        return (print, ("unpickled",))


def test_pickled_objects_are_refused(golden, tmp_path, capsys):
    folder = _copy(golden / "tiny-95M", tmp_path / "model")
    torch.save({"x": _Evil()}, folder / "pytorch_model.bin")
    with pytest.raises(EncoderError, match="cannot be read as plain weights"):
        load_encoder(folder, device="cpu")
    assert "unpickled" not in capsys.readouterr().out


def test_truncated_weights_and_missing_files_are_named(golden, tmp_path):
    folder = _copy(golden / "tiny-95M-safetensors", tmp_path / "model")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(EncoderError, match=r"model\.safetensors"):
        load_encoder(folder, device="cpu")
    weights.unlink()
    with pytest.raises(EncoderError, match="holds neither"):
        load_encoder(folder, device="cpu")


def test_published_models_need_the_hub_and_say_what_else_works(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(EncoderError, match="untrained:tiny"):
        load_encoder("mert-v1-95m", offline=True, device="cpu")


@pytest.mark.parametrize(
    ("name", "kwargs", "says"),
    [
        ("mert-v9", {}, "no encoder or folder"),
        ("untrained:huge", {}, "no untrained size"),
        ("untrained:tiny", {"device": "cuda:7"}, "not available"),
        ("untrained:tiny", {"device": "abacus"}, "not a torch device"),
        ("untrained:tiny", {"dtype": "int8"}, "dtype must be"),
        ("untrained:tiny", {"layers": [13]}, "layers must be"),
        ("untrained:tiny", {"window_s": 5, "hop_s": 6}, "hop_s must be"),
    ],
)
def test_wrong_arguments_are_errors_not_fallbacks(name, kwargs, says):
    with pytest.raises(EncoderError, match=says):
        load_encoder(name, **{"device": "cpu", **kwargs})
