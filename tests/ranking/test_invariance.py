"""Works are erased from vectors, or hidden from an adversary."""

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from mess_core.ranking.invariance import Adversary, erase_works

WORKS = [f"w{number % 6}" for number in range(240)]


def vectors(seed=0):
    rng = np.random.default_rng(seed)
    centre = np.random.default_rng(9).normal(size=(6, 2, 10)) * 2
    found = rng.normal(size=(240, 2, 10)) + centre[[number % 6 for number in range(240)]]
    return found.astype(np.float32)


def test_no_linear_classifier_finds_erased_works():
    known, unseen = vectors(0), vectors(1)
    erase = erase_works(known, WORKS)

    def found(train, test):
        flat = [one.reshape(len(one), -1) for one in (train, test)]
        return LogisticRegression(max_iter=2000).fit(flat[0], WORKS).score(flat[1], WORKS)

    assert found(known, unseen) > 0.9
    assert found(erase(known)[:, :1], erase(unseen)[:, :1]) < 0.3
    assert found(erase(known)[:, 1:], erase(unseen)[:, 1:]) < 0.3


def test_erasing_keeps_what_does_not_tell_works_apart():
    known = vectors()
    signal = np.random.default_rng(5).normal(size=240) * 5
    signal -= np.array([signal[np.arange(240) % 6 == number % 6].mean() for number in range(240)])
    known[:, 0, 0] = signal
    erased = erase_works(known, WORKS)(known)[:, 0]
    guess = erased @ np.linalg.lstsq(erased, signal, rcond=None)[0]
    assert np.corrcoef(guess, signal)[0, 1] > 0.99


def test_the_adversary_pushes_vectors_the_other_way():
    torch.manual_seed(0)
    adversary = Adversary(4, ["a", "b", "a", "b"], seed=1)
    unit = torch.randn(4, 4, requires_grad=True)
    loss = adversary(unit, torch.arange(4))
    loss.backward()
    with torch.no_grad():
        followed = adversary(unit - 0.1 * unit.grad, torch.arange(4))
    assert followed > loss  # the head's step makes the works harder to tell
    assert adversary._network[0].weight.grad.abs().sum() > 0


def test_equal_seeds_give_equal_adversaries():
    unit = torch.ones(3, 4)
    losses = [Adversary(4, ["a", "b", "c"], seed=2)(unit, torch.arange(3)) for _ in range(2)]
    assert losses[0] == losses[1]
