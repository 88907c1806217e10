"""Intervals and p-values on synthetic data with known ground truth."""

import numpy as np
import pytest

from mess_core.errors import MessError
from mess_core.statistics import clustered_mean, compare_paired, false_discovery_rate, wilson


def test_intervals_of_clustered_values_are_wider_than_of_independent_ones():
    rng = np.random.default_rng(0)
    level = np.repeat(rng.normal(0, 1, 20), 10)
    together = clustered_mean(level, np.repeat(np.arange(20), 10).tolist())
    apart = clustered_mean(level, list(range(200)))
    assert together.high - together.low > 2 * (apart.high - apart.low)
    assert (together.n, together.clusters) == (200, 20)
    assert together.low < together.mean < together.high


def test_intervals_have_nominal_coverage():
    rng = np.random.default_rng(1)
    covered = 0
    for draw in range(200):
        effect = rng.normal(0, 1, 30)
        values = np.repeat(effect, 4) + rng.normal(0, 0.3, 120)
        found = clustered_mean(values, np.repeat(np.arange(30), 4).tolist(), seed=draw)
        covered += found.low <= 0 <= found.high
    assert 0.87 <= covered / 200 <= 0.99


def test_p_is_uniform_without_a_difference_and_small_with_one():
    rng = np.random.default_rng(2)
    clusters = np.repeat(np.arange(25), 4).tolist()
    p = []
    for draw in range(150):
        shift = np.repeat(
            rng.normal(0, 1, 25), 4
        )  # equal within a work, so not 100 independent values
        p.append(compare_paired(shift, np.zeros(100), clusters, seed=draw).p)
    assert np.mean(np.array(p) < 0.05) < 0.12
    assert 0.4 < np.mean(p) < 0.6
    better = compare_paired(rng.normal(0.8, 1, 100), np.zeros(100), clusters)
    assert better.p < 0.01
    assert better.low > 0


def test_p_is_exact_for_few_clusters():
    found = compare_paired([1.0, 1.0, 1.0], [0.0, 0.0, 0.0], ["a", "b", "c"])
    assert found.p == pytest.approx(2 / 8)
    with pytest.raises(MessError, match="no finite value"):
        clustered_mean([np.nan], ["a"])
    with pytest.raises(MessError, match="do not match"):
        clustered_mean([1.0, 2.0], ["a"])


def test_the_paired_test_equals_an_enumeration_of_all_sign_flips():
    rng = np.random.default_rng(3)
    for clusters in (1, 2, 5, 9):
        sums = rng.normal(0.5, 1, clusters)
        signs = 1 - 2 * (np.arange(2**clusters)[:, None] >> np.arange(clusters) & 1)
        beyond = np.abs(signs @ sums) >= abs(sums.sum()) - 1e-12
        found = compare_paired(sums, np.zeros(clusters), list(range(clusters)))
        assert found.p == pytest.approx(beyond.mean())


def test_wilson_intervals_agree_with_values_computed_by_hand():
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-3)
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-3)
    assert wilson(10, 10) == pytest.approx((0.7225, 1.0), abs=1e-3)
    assert np.isnan(wilson(0, 0)).all()


def test_false_discovery_rate_leaves_missing_values_out():
    q = false_discovery_rate(np.array([0.01, np.nan, 0.04]))
    np.testing.assert_allclose(q, [0.02, np.nan, 0.04])
