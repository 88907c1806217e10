"""Scores of permuted targets are those of predicting each of them like the observed one."""

import numpy as np
import pandas as pd
import pytest

from mess_core.probing import discover
from mess_core.probing.nested_cv import nested_predictions, nested_splits
from mess_core.probing.permutation import permutation_p, work_block_permutations
from mess_core.probing.permuted_targets import PermutedTargets
from mess_core.probing.scores import r2

WORKS = [f"w{index % 20}" for index in range(80)]


def _library(features):
    rng = np.random.default_rng(features)
    x = rng.standard_normal((80, features)) * rng.uniform(0.5, 3, features) + 2
    y = x[:, :3] + rng.standard_normal((80, 3)) * [1, 5, 20]
    return x, 1000 + 50 * y, nested_splits(WORKS, 5, 4, seed=0)


@pytest.mark.parametrize("features", [8, 120])  # moments, and the Gram matrix
@pytest.mark.parametrize("device", ["cpu", "torch-cpu"])
@pytest.mark.parametrize("alphas", [[10.0], [0.1, 10.0, 1000.0]])
def test_scores_and_p_equal_those_of_predicting_every_permuted_target(features, device, alphas):
    x, y, splits = _library(features)
    alphas = np.array(alphas)
    orders = work_block_permutations(WORKS, 60, seed=0)
    permuted = PermutedTargets(y, orders, alphas)
    found = nested_predictions(x, y, splits, alphas, targets=3, device=device, permuted=permuted)

    columns = np.moveaxis(y[orders], 0, 1).reshape(80, -1)
    one_by_one = nested_predictions(x, columns, splits, alphas, targets=0).predicted
    expected = r2(columns, one_by_one).reshape(60, 3)
    np.testing.assert_allclose(found.permuted_r2, expected, atol=1e-5)
    observed = r2(y, found.predicted)[None]
    np.testing.assert_array_equal(
        permutation_p(observed, found.permuted_r2), permutation_p(observed, expected)
    )


def test_more_targets_than_fit_at_once_are_scored_in_parts(monkeypatch):
    x, y, splits = _library(8)
    orders = work_block_permutations(WORKS, 7, seed=0)
    alphas = np.array([1.0, 100.0])
    found = []
    for columns in (1, 6, 1000):
        monkeypatch.setattr("mess_core.probing.permuted_targets._COLUMNS", columns)
        permuted = PermutedTargets(y, orders, alphas)
        nested = nested_predictions(x, y, splits, alphas, targets=3, permuted=permuted)
        found.append(nested.permuted_r2)
    np.testing.assert_allclose(found[0], found[2], atol=1e-6)
    np.testing.assert_allclose(found[1], found[2], atol=1e-6)


def test_probing_does_not_depend_on_the_number_of_processes(monkeypatch):
    rng = np.random.default_rng(5)
    x = rng.standard_normal((320, 2, 6))
    y = pd.DataFrame(x[:, 0, :2] + rng.standard_normal((320, 2)), columns=["a", "b"])
    y.loc[:10, "b"] = np.nan
    works = [f"w{index % 40}" for index in range(320)]
    options = {"untrained": rng.standard_normal((320, 2, 6)), "alphas": [1.0, 100.0]}
    options |= {"descriptors": rng.standard_normal((320, 3)), "resamples": 20, "permutations": 40}
    lines = {}
    found = []
    for workers in ("1", "2"):
        monkeypatch.setenv("MESS_WORKERS", workers)
        lines[workers] = []
        found.append(discover(x, y, works, progress=lines[workers].append, **options))
    assert lines["1"] == lines["2"]
    assert "descriptors: 1 targets, 309 rows" in lines["1"]
    pd.testing.assert_frame_equal(found[0].table, found[1].table, rtol=1e-9)
    pd.testing.assert_frame_equal(found[0].summary, found[1].summary, rtol=1e-9)
