"""Retrieval metrics agree with values computed by hand."""

import numpy as np
import pytest

from mess_core.errors import MessError
from mess_core.evaluation.metrics import retrieval_metrics


def test_metrics_agree_with_values_computed_by_hand():
    relevance = {"q1": {"a": 1, "b": 0, "c": 1, "d": 0}, "q2": {"a": 0, "b": 2, "c": 1}}
    scores = {
        "q1": {"a": 0.1, "b": 0.9, "c": 0.8, "d": 0.2},  # b c d a
        "q2": {"a": 0.3, "b": 0.1, "c": 0.2},  # a c b
    }
    found = retrieval_metrics(relevance, scores, ks=(1, 3))
    assert found.loc["q1", "R@1"] == 0.0
    assert found.loc["q1", "R@3"] == 0.5
    assert found.loc["q1", "RR@3"] == 0.5
    ideal = 1 + 1 / np.log2(3)
    assert found.loc["q1", "nDCG@3"] == pytest.approx((1 / np.log2(3)) / ideal)
    ideal = 2 + 1 / np.log2(3)
    gained = 1 / np.log2(3) + 2 / np.log2(4)
    assert found.loc["q2", "nDCG@3"] == pytest.approx(gained / ideal)


def test_queries_without_relevant_candidates_are_left_out_and_invalid_scores_raise():
    found = retrieval_metrics({"q": {"a": 0}, "r": {"a": 1}}, {"r": {"a": 1.0}})
    assert list(found.index) == ["r"]
    with pytest.raises(MessError, match="own candidates"):
        retrieval_metrics({"r": {"a": 1}}, {"r": {"a": 1.0, "r": 2.0}})
    with pytest.raises(MessError, match="has no scores"):
        retrieval_metrics({"r": {"a": 1}}, {})
