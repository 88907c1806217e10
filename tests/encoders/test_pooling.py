"""Pooling over frames, against NumPy, and settings that follow an encoder's name."""

import numpy as np
import pytest
import torch

from mess_core.encoders import load_encoder
from mess_core.encoders.pooling import POOLINGS, pool_frames
from mess_core.encoders.registry import find_encoder
from mess_core.errors import EncoderError

STATES = np.random.default_rng(0).standard_normal((2, 3, 20, 4)).astype(np.float32)


@pytest.mark.parametrize(
    ("pooling", "statistics"),
    [
        ("mean", [STATES.mean(2)]),
        ("mean+std", [STATES.mean(2), STATES.std(2)]),
        (
            "mean+std+delta",
            [STATES.mean(2), STATES.std(2), np.sqrt((np.diff(STATES, axis=2) ** 2).mean(2))],
        ),
        ("percentiles", list(np.quantile(STATES, [0.1, 0.5, 0.9], axis=2))),
    ],
)
def test_statistics_are_those_of_numpy(pooling, statistics):
    found = pool_frames(torch.from_numpy(STATES), pooling).numpy()
    np.testing.assert_allclose(found, np.concatenate(statistics, axis=-1), atol=1e-5)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_single_frame_is_pooled_to_finite_numbers(pooling):
    assert torch.isfinite(pool_frames(torch.from_numpy(STATES[:, :, :1]), pooling)).all()


def test_settings_that_follow_a_name_are_those_of_the_encoder_and_its_folder():
    encoder = load_encoder("mess-piano,pooling=percentiles,hop_s=5", device="cpu", layers=None)
    assert encoder.settings.pooling == "percentiles"
    assert encoder.settings.hop_s == 5.0
    by_option = load_encoder("mess-piano", device="cpu", pooling="percentiles", hop_s=5.0)
    assert encoder.folder == by_option.folder != "mess-piano"
    assert encoder.folder == find_encoder("mess-piano,pooling=percentiles,hop_s=5").folder()
    assert find_encoder("mess-piano,pooling=mean+std").folder() == "mess-piano"


@pytest.mark.parametrize("setting", ["colour=red", "pooling", "hop_s=x"])
def test_what_is_no_setting_is_refused(setting):
    with pytest.raises(EncoderError, match=r"is not a setting|must be a number"):
        find_encoder(f"mess-piano,{setting}")


def test_an_unknown_pooling_is_refused():
    with pytest.raises(EncoderError, match="pooling must be one of mean, "):
        load_encoder("mess-piano,pooling=median", device="cpu")
