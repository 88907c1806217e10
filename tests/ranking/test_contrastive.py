"""Contrastive losses against pytorch-metric-learning's."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.losses import NTXentLoss, SupConLoss

from mess_core.ranking.contrastive import info_nce, sup_con


@pytest.mark.parametrize(("ours", "theirs"), [(info_nce, NTXentLoss), (sup_con, SupConLoss)])
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), count=st.integers(4, 20), share=st.floats(0.1, 0.9))
def test_losses_and_gradients_are_the_librarys(ours, theirs, seed, count, share):
    random = torch.Generator().manual_seed(seed)
    draw = torch.rand(count, count, generator=random)
    off = ~torch.eye(count, dtype=torch.bool)
    positive, negative = (draw < share / 2) & off, (draw > 1 - share / 2) & off
    for x, near in ((0, 1), (1, 0)):  # with a single pair the library returns 0
        positive[x, near], negative[x, near] = True, False
        positive[x, 2], negative[x, 2] = False, True
    vectors = torch.randn(count, 5, generator=random, dtype=torch.float64)
    found = []
    for use_ours in (True, False):
        free = vectors.clone().requires_grad_()
        unit = torch.nn.functional.normalize(free, dim=1)
        if use_ours:
            value = ours(unit, positive, negative, temperature=0.2)
        else:
            pairs = (*positive.nonzero().T, *negative.nonzero().T)
            value = theirs(temperature=0.2)(unit, indices_tuple=pairs)
        value.backward()
        found.append((value.item(), free.grad))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-6)
    assert torch.allclose(found[0][1], found[1][1], atol=1e-6)
