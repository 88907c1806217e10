"""Parity with the reference implementation, and refusal of what is not MERT."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn.modules.module import register_module_forward_hook

from mess_core.encoders import load_encoder
from mess_core.errors import EncoderError

GOLDEN = Path(__file__).with_name("golden")
WAVE = np.load(GOLDEN / "wave.npy").astype(np.float32)
TOLERANCE = 1e-4


def _reference(folder, part="whole"):
    return np.load(GOLDEN / folder / "states.npz")[part]


def _off(states, reference):
    assert states.shape == reference.shape
    return np.abs(states - reference).max()


@pytest.mark.parametrize("folder", ["mert-95m", "mert-330m"])
def test_states_equal_those_of_the_reference_code(folder):
    encoder = load_encoder(GOLDEN / folder, device="cpu")
    assert _off(encoder.hidden_states(WAVE), _reference(folder)) < TOLERANCE


def test_pickled_weights_give_the_same_states(tmp_path):
    folder = _as_pickle(tmp_path / "model")
    encoder = load_encoder(folder, device="cpu")
    assert _off(encoder.hidden_states(WAVE), _reference("mert-95m")) < TOLERANCE


def test_a_short_item_is_computed_at_its_own_length():
    """Padded to the length of another it would be wrong: the first block normalises over time."""
    encoder = load_encoder(GOLDEN / "mert-95m", device="cpu")
    alone = encoder.hidden_states(WAVE[:5000])
    assert _off(alone, _reference("mert-95m", "short")) < TOLERANCE
    padded = encoder.hidden_states(np.pad(WAVE[:5000], (0, 7000)))[:, : alone.shape[1]]
    assert np.linalg.norm(padded - alone) / np.linalg.norm(alone) > 0.1


@pytest.mark.parametrize(
    ("folder", "layers"), [("mert-95m", [0, 5]), ("mert-330m", [3, 24]), ("mert-330m", [7])]
)
def test_only_the_requested_layers_are_computed(folder, layers):
    encoder = load_encoder(GOLDEN / folder, device="cpu", layers=layers)
    ran = []
    hook = register_module_forward_hook(lambda module, *_: ran.append(type(module).__name__))
    states = encoder.hidden_states(WAVE)
    hook.remove()
    assert _off(states, _reference(folder)[layers]) < TOLERANCE
    assert sum("EncoderLayer" in name for name in ran) == max(layers)


def _copy(source, target):
    shutil.copytree(source, target)
    return target


def _as_pickle(target, **extra):
    """A copy of the 95M checkpoint with ``pytorch_model.bin`` instead of safetensors."""
    folder = _copy(GOLDEN / "mert-95m", target)
    weights = load_file(folder / "model.safetensors")
    torch.save({**weights, **extra}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    return folder


@pytest.mark.parametrize("switch", ["feature_extractor_cqt", "deepnorm"])
def test_variants_that_need_remote_code_are_refused_by_name(tmp_path, switch):
    folder = _copy(GOLDEN / "mert-95m", tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, switch: True}))
    with pytest.raises(EncoderError, match=switch):
        load_encoder(folder, device="cpu")


def test_weights_must_match_exactly(tmp_path):
    folder = _as_pickle(tmp_path / "model")
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


def test_pickled_objects_are_refused(tmp_path, capsys):
    folder = _as_pickle(tmp_path / "model")
    torch.save({"x": _Evil()}, folder / "pytorch_model.bin")
    with pytest.raises(EncoderError, match="cannot be read as plain weights"):
        load_encoder(folder, device="cpu")
    assert "unpickled" not in capsys.readouterr().out


def test_truncated_weights_and_missing_files_are_named(tmp_path):
    folder = _copy(GOLDEN / "mert-95m", tmp_path / "model")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(EncoderError, match=r"model\.safetensors"):
        load_encoder(folder, device="cpu")
    weights.unlink()
    with pytest.raises(EncoderError, match=r"contains no model\.safetensors or"):
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
