"""The optimised front end returns the values of the library's modules."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mess_core.encoders.cpu_frontend import _fft_size, install
from mess_core.encoders.untrained import untrained_checkpoint


@pytest.fixture(scope="module")
def pair():
    library, ours = (untrained_checkpoint("tiny").model.model for _ in range(2))
    with torch.no_grad():  # gains and offsets that are not the identity
        for model in (library, ours):
            norm = model.feature_extractor.conv_layers[0].layer_norm
            norm.weight.copy_(torch.linspace(0.5, 2, len(norm.weight)))
            norm.bias.copy_(torch.linspace(-1, 1, len(norm.bias)))
    assert install(ours)
    return library, ours


@pytest.fixture(scope="module")
def halves():
    exact, library, ours = (untrained_checkpoint("tiny").model.model for _ in range(3))
    assert install(ours)
    return exact, library.to(torch.bfloat16), ours.to(torch.bfloat16)


@settings(deadline=None, max_examples=40)
@given(samples=st.integers(400, 9000), seed=st.integers(0, 99), level=st.floats(0.01, 3))
def test_result_equals_the_library_for_any_length(pair, samples, seed, level):
    library, ours = pair
    generator = torch.Generator().manual_seed(seed)
    wave = level * torch.randn(2, samples, generator=generator) + 0.1
    with torch.inference_mode():
        expected, got = library(wave)[0], ours(wave)[0]
    assert expected.shape == got.shape
    assert (expected - got).abs().max() < 1e-4


@settings(deadline=None, max_examples=20)
@given(samples=st.integers(4000, 30_000), seed=st.integers(0, 99), level=st.floats(0.01, 3))
def test_in_bfloat16_it_is_nearer_to_float32_than_the_library(halves, samples, seed, level):
    exact, library, ours = halves
    generator = torch.Generator().manual_seed(seed)
    wave = level * torch.randn(2, samples, generator=generator) + 0.1
    with torch.inference_mode():
        expected, theirs = exact(wave)[0], library(wave.to(torch.bfloat16))[0].float()
        got = ours(wave)[0].float()
    error, of_library = ((found - expected).norm() / expected.norm() for found in (got, theirs))
    assert error < 0.02
    assert error < of_library


def test_other_architectures_are_unchanged():
    model = untrained_checkpoint("tiny").model.model
    model.config.feat_extract_activation = "relu"
    before = model.feature_extractor
    assert not install(model)
    assert model.feature_extractor is before


@given(st.integers(1, 5000))
def test_fft_sizes_are_sufficient_and_at_most_doubled(length):
    size = _fft_size(length)
    assert length <= size < 2 * length + 1
    assert size & (size - 1) == 0 or (size // 3) & (size // 3 - 1) == 0
