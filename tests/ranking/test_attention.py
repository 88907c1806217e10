"""Attention finds what means over time lose, learns nothing from noise, and repeats itself."""

import numpy as np
import pytest

from mess_core.errors import MessError
from mess_core.ranking.attention import AttentionSettings, fit_attention

PASSAGES, PLAYERS = 40, 4


@pytest.fixture(scope="module")
def clips():
    """Frames in which the loudness of marked moments counts, and that of the others does not."""
    rng = np.random.default_rng(0)
    frames, values = [], []
    for number in range(PASSAGES * PLAYERS):
        one = 0.3 * rng.standard_normal((int(rng.integers(30, 50)), 8))
        marked = rng.permutation(len(one))[:6]
        level = rng.normal()
        one[:, 1] = rng.normal(size=len(one))
        one[marked, 0], one[marked, 1] = 4.0, level
        frames.append((one + (number // PLAYERS) % 5).astype(np.float16))
        values.append([level])
    passages = [f"p{number // PLAYERS}" for number in range(PASSAGES * PLAYERS)]
    works = [f"w{number // (2 * PLAYERS)}" for number in range(PASSAGES * PLAYERS)]
    return frames, np.array(values), passages, works


def within(values, passages):
    table = values.reshape(PASSAGES, PLAYERS)
    return (table - table.mean(axis=1, keepdims=True)).ravel()


def test_what_happens_at_moments_is_found_in_unseen_works(clips):
    frames, values, passages, works = clips
    known = slice(0, 120)
    settings = AttentionSettings(epochs=120, patience=40, dropout=0.1, learning_rate=5e-3)
    predict = fit_attention(frames[known], values[known], passages[known], works[known], settings)
    guess = within(predict(frames)[:, 0], passages)[120:]
    truth = within(values[:, 0], passages)[120:]
    means = within(np.array([one[:, 1].mean() for one in frames], dtype=float), passages)[120:]
    assert np.corrcoef(guess, truth)[0, 1] > np.corrcoef(means, truth)[0, 1] + 0.1


def test_equal_seeds_give_equal_predictions(clips):
    frames, values, passages, works = clips
    settings = AttentionSettings(epochs=2)
    both = [fit_attention(frames, values, passages, works, settings)(frames) for _ in range(2)]
    np.testing.assert_array_equal(both[0], both[1])


def test_padding_does_not_change_a_clip(clips):
    frames, values, passages, works = clips
    predict = fit_attention(frames, values, passages, works, AttentionSettings(epochs=1))
    alone, among = predict(frames[:1])[0], predict(frames[:20])[0]
    np.testing.assert_allclose(alone, among, atol=1e-5)


def test_too_few_works_are_refused(clips):
    frames, values, passages, _ = clips
    with pytest.raises(MessError, match="too few"):
        fit_attention(frames, values, passages, ["one"] * len(frames))
    with pytest.raises(MessError, match="too few"):
        fit_attention([], values, passages, passages)
