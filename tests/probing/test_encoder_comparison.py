"""Comparison of encoders on data whose ground truth is known."""

import numpy as np
import pandas as pd
import pytest

from mess_core.errors import ProbingError
from mess_core.probing import discover
from mess_core.probing.encoder_comparison import compare_encoders
from mess_core.probing.layer_probing import ProbingSettings

WORKS = [f"work {number // 4}" for number in range(80)]
QUICK = ProbingSettings(alphas=(1.0, 100.0), permutations=0, resamples=200)


def data(seed):
    rng = np.random.default_rng(seed)
    return rng, rng.standard_normal((80, 2, 5))


def test_the_better_encoder_is_found_and_scores_are_those_of_discover():
    rng, good = data(0)
    noise = rng.standard_normal((80, 3, 4))
    Y = pd.DataFrame({"tempo": good[:, 1, 0] + 0.2 * rng.standard_normal(80)})
    found = compare_encoders({"good": good, "noise": noise}, Y, WORKS, settings=QUICK)
    alone = discover(good, Y, WORKS, settings=QUICK).summary.iloc[0]
    row = found.scores.set_index("system").loc["good"]
    assert row["r2"] == pytest.approx(alone["chosen_r2"])
    assert row["r2_low"] == pytest.approx(alone["chosen_r2_low"])
    assert row["layer"] == 1
    (difference,) = found.differences.to_dict("records")
    assert difference["significant"]
    assert difference["gain"] > 0.5
    assert len(found.profiles) == 5


def test_two_encoders_that_know_different_halves_are_better_together():
    rng, first = data(1)
    second = rng.standard_normal((80, 1, 3))
    Y = pd.DataFrame({"rubato": first[:, 0, 0] + second[:, 0, 0]})
    found = compare_encoders(
        {"first": first, "second": second}, Y, WORKS, fuse=["first", "second"], settings=QUICK
    )
    assert found.fused["gain_low"].iloc[0] > 0


def test_on_noise_hardly_any_difference_is_significant():
    significant = []
    for seed in range(20):
        rng, first = data(seed)
        Y = pd.DataFrame(rng.standard_normal((80, 3)), columns=["a", "b", "c"])
        found = compare_encoders(
            {"first": first, "second": rng.standard_normal((80, 2, 5))}, Y, WORKS, settings=QUICK
        )
        significant.append(found.differences["significant"].any())
    assert np.mean(significant) <= 0.15  # 5 % expected, of 20


def test_shapes_that_do_not_fit_are_named():
    with pytest.raises(ProbingError, match="other: shape"):
        compare_encoders({"other": np.zeros((3, 1, 2))}, pd.DataFrame({"a": [1.0] * 80}), WORKS)
