"""Metrics against values by hand, intervals and p against what chance must give."""

import numpy as np
import pytest

from mess_core.errors import MessError
from mess_core.evaluation.metrics import retrieval_metrics
from mess_core.statistics import clustered_mean, compare_paired


def test_metrics_by_hand():
    truth = {"q1": {"a": 1, "b": 0, "c": 1, "d": 0}, "q2": {"a": 0, "b": 2, "c": 1}}
    scores = {
        "q1": {"a": 0.1, "b": 0.9, "c": 0.8, "d": 0.2},  # b c d a
        "q2": {"a": 0.3, "b": 0.1, "c": 0.2},  # a c b
    }
    found = retrieval_metrics(truth, scores, ks=(1, 3))
    assert found.loc["q1", "R@1"] == 0.0
    assert found.loc["q1", "R@3"] == 0.5
    assert found.loc["q1", "RR@3"] == 0.5
    ideal = 1 + 1 / np.log2(3)
    assert found.loc["q1", "nDCG@3"] == pytest.approx((1 / np.log2(3)) / ideal)
    ideal = 2 + 1 / np.log2(3)
    gained = 1 / np.log2(3) + 2 / np.log2(4)
    assert found.loc["q2", "nDCG@3"] == pytest.approx(gained / ideal)


def test_a_query_without_answer_is_left_out_and_cheating_refused():
    found = retrieval_metrics({"q": {"a": 0}, "r": {"a": 1}}, {"r": {"a": 1.0}})
    assert list(found.index) == ["r"]
    with pytest.raises(MessError, match="own candidates"):
        retrieval_metrics({"r": {"a": 1}}, {"r": {"a": 1.0, "r": 2.0}})
    with pytest.raises(MessError, match="not answered"):
        retrieval_metrics({"r": {"a": 1}}, {})


def test_intervals_of_clusters_are_wider_than_of_as_many_single_values():
    rng = np.random.default_rng(0)
    level = np.repeat(rng.normal(0, 1, 20), 10)
    together = clustered_mean(level, np.repeat(np.arange(20), 10).tolist())
    apart = clustered_mean(level, list(range(200)))
    assert together.high - together.low > 2 * (apart.high - apart.low)
    assert (together.n, together.clusters) == (200, 20)
    assert together.low < together.mean < together.high


def test_intervals_cover_as_often_as_they_say():
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
        shift = np.repeat(rng.normal(0, 1, 25), 4)  # alike within a work: not 100 proofs
        p.append(compare_paired(shift, np.zeros(100), clusters, seed=draw).p)
    assert np.mean(np.array(p) < 0.05) < 0.12
    assert 0.4 < np.mean(p) < 0.6
    better = compare_paired(rng.normal(0.8, 1, 100), np.zeros(100), clusters)
    assert better.p < 0.01
    assert better.low > 0


def test_few_clusters_are_counted_out_exactly():
    found = compare_paired([1.0, 1.0, 1.0], [0.0, 0.0, 0.0], ["a", "b", "c"])
    assert found.p == pytest.approx(2 / 8)
    with pytest.raises(MessError, match="no value"):
        clustered_mean([np.nan], ["a"])
    with pytest.raises(MessError, match="cannot be in"):
        clustered_mean([1.0, 2.0], ["a"])
