"""Recordings as queries are embedded as the library was."""

import pytest
import torch
from safetensors.torch import save

from mess_core.encoders import load_encoder
from mess_core.encoders.piano import PianoModel
from mess_core.encoders.registry import PIANO_WEIGHTS
from mess_core.errors import EncoderError, SearchError
from mess_core.search.recordings import matching_encoder


def test_an_encoder_of_ones_own_is_found_again_in_its_folder(tmp_path, monkeypatch):
    """The identity holds a folder's name only, since its path differs between machines."""
    torch.manual_seed(0)
    folder = tmp_path / "mine"
    folder.mkdir()
    state = {name: value.half() for name, value in PianoModel().state_dict().items()}
    (folder / PIANO_WEIGHTS).write_bytes(save(state))
    identity = load_encoder(folder, device="cpu", layers=[0, 4]).identity
    with pytest.raises(EncoderError, match="'mine'"):
        matching_encoder(identity, None)
    monkeypatch.setenv("MESS_ENCODER", str(folder))
    assert matching_encoder(identity, None).identity == identity


def test_another_encoder_is_refused(encoder):
    with pytest.raises(SearchError, match="another encoder"):
        matching_encoder({**encoder.identity, "encoder": "other@1"}, encoder)
