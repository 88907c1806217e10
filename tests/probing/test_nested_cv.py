"""Nested cross-validation equals a plain loop, from moments and from the Gram matrix."""

import himalaya.ridge
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mess_core.errors import ProbingError
from mess_core.probing.backend import resolve_device
from mess_core.probing.combination import combine_layers, simplex_weights
from mess_core.probing.moments import Moments
from mess_core.probing.nested_cv import cross_predict, nested_predictions, nested_splits
from mess_core.probing.ridge import RidgePath

ALPHAS = np.array([0.1, 10.0, 1000.0])


def _library(rows=60, features=8, seed=0, works=15):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, features)) * rng.uniform(0.5, 3, features) + 2
    y = np.stack([x[:, 0] + rng.standard_normal(rows), rng.standard_normal(rows)], axis=1)
    return x, y, nested_splits([f"w{i % works}" for i in range(rows)], 5, 4, seed=0)


def _loop(x, y, splits):
    """Nested cross-validation with scikit-learn, one fit at a time."""
    predicted, chosen = np.empty_like(y), np.empty((len(splits), y.shape[1]))
    for index, split in enumerate(splits):
        for target in range(y.shape[1]):
            errors = []
            for alpha in ALPHAS:
                error = 0.0
                for fold in np.unique(split.inner):
                    train, test = split.train[split.inner != fold], split.train[split.inner == fold]
                    model = make_pipeline(StandardScaler(), Ridge(alpha))
                    guess = model.fit(x[train], y[train, target]).predict(x[test])
                    error += np.square(guess - y[test, target]).sum()
                errors.append(error)
            chosen[index, target] = ALPHAS[int(np.argmin(errors))]
            model = make_pipeline(StandardScaler(), Ridge(chosen[index, target]))
            model.fit(x[split.train], y[split.train, target])
            predicted[split.test, target] = model.predict(x[split.test])
    return predicted, chosen


@pytest.mark.parametrize("features", [8, 90])  # moments, and the Gram matrix
@pytest.mark.parametrize("device", ["cpu", "torch-cpu"])
def test_nested_cross_validation_equals_a_plain_loop(features, device):
    x, y, splits = _library(features=features)
    expected, chosen = _loop(x, y, splits)
    found = nested_predictions(x, y, splits, ALPHAS, targets=2, device=device)
    np.testing.assert_array_equal(found.alpha, chosen)
    np.testing.assert_allclose(found.predicted, expected, atol=1e-8)
    # Columns beyond the targets are predicted, too.
    partly = nested_predictions(x, y, splits, ALPHAS, targets=1, device=device)
    np.testing.assert_allclose(partly.predicted, expected, atol=1e-8)
    for index, split in enumerate(splits):
        error = np.square(found.inner_predicted[index] - y[split.train]).mean(axis=0)
        np.testing.assert_allclose(error, found.inner_error[index])


@pytest.mark.parametrize("features", [8, 90])
def test_one_penalty_equals_plain_cross_validation(features):
    x, y, splits = _library(features=features)
    expected = np.empty_like(y)
    for split in splits:
        model = make_pipeline(StandardScaler(), Ridge(10.0)).fit(x[split.train], y[split.train])
        expected[split.test] = model.predict(x[split.test])
    np.testing.assert_allclose(cross_predict(x, y, splits, 10.0), expected, atol=1e-9)
    nested = nested_predictions(x, y, splits, np.array([10.0]), targets=2)
    np.testing.assert_allclose(nested.predicted, expected, atol=1e-9)


@settings(deadline=None, max_examples=25)
@given(rows=st.integers(12, 50), features=st.integers(2, 40), seed=st.integers(0, 99))
def test_ridge_from_moments_equals_ridge_on_rows(rows, features, seed):
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((rows, features)), rng.standard_normal((rows, 3))
    x[:, 0] = 0.3  # constant
    centre, train = x.mean(axis=0), np.arange(rows) % 3 > 0
    around = x - centre
    moments = Moments.of(around, y) - Moments.of(around[~train], y[~train])
    model = RidgePath.from_moments(
        moments, centre=centre, reference=np.square(around).mean(axis=0) + 1e-30
    )
    direct = RidgePath(x[train], y[train])
    np.testing.assert_allclose(
        model.predict(x[~train], [0.5, 50.0]), direct.predict(x[~train], [0.5, 50.0]), atol=1e-7
    )
    each = np.array([0.5, 50.0, 5.0])
    np.testing.assert_allclose(
        model.predict_each(x[~train], each), direct.predict_each(x[~train], each), atol=1e-7
    )
    for one in (model, direct):
        left, right = one.hat(x[~train], x[train], each)
        if right is None:
            mapped = left @ y[train]
        else:
            mapped = left @ (right @ y[train]) + y[train].mean(axis=0)
        np.testing.assert_allclose(mapped, direct.predict(x[~train], each), atol=2e-4)
    np.testing.assert_allclose(
        model.degrees_of_freedom(each), direct.degrees_of_freedom(each), atol=1e-7
    )


def test_ridge_equals_himalayas_multi_target_ridge():
    x, y, _ = _library(rows=50, features=70)
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    alphas = np.array([3.0, 300.0])
    oracle = himalaya.ridge.Ridge(alpha=alphas, fit_intercept=True).fit(z, y)
    np.testing.assert_allclose(RidgePath(x, y).coefficients(alphas), oracle.coef_, atol=1e-6)


def test_layer_is_chosen_by_inner_folds_and_weights_are_on_the_simplex():
    rng = np.random.default_rng(1)
    signal = rng.standard_normal(80)
    layers = [rng.standard_normal((80, 5)) for _ in range(3)]
    layers[1][:, 0] = signal
    y = (signal + 0.3 * rng.standard_normal(80))[:, None]
    splits = nested_splits([f"w{i % 20}" for i in range(80)], 5, 4, seed=0)
    nested = [nested_predictions(x, y, splits, ALPHAS, targets=1) for x in layers]
    combined = combine_layers(nested, y, splits, 1)
    assert combined.share[:, 0].tolist() == [0.0, pytest.approx(1.0), 0.0]
    np.testing.assert_allclose(combined.chosen, nested[1].predicted)
    assert combined.weight.sum() == pytest.approx(1.0)
    assert combined.weight[1, 0] > 0.8


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 999), layers=st.integers(1, 5))
def test_simplex_weights_are_the_constrained_optimum(seed, layers):
    rng = np.random.default_rng(seed)
    y = rng.standard_normal(30)
    predictions = y[:, None] * rng.uniform(0, 1, layers) + rng.standard_normal((30, layers))

    def error(weights):
        return np.square(predictions @ weights - y).mean()

    oracle = minimize(
        error,
        np.full(layers, 1 / layers),
        bounds=[(0, 1)] * layers,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
        method="SLSQP",
        options={"ftol": 1e-12},
    )
    found = simplex_weights(predictions, y)
    assert (found >= 0).all()
    assert found.sum() == pytest.approx(1)
    assert error(found) <= oracle.fun * (1 + 1e-4) + 1e-9


def test_an_unavailable_device_raises():
    import torch

    for name in ["mps", "tpu", *([] if torch.cuda.is_available() else ["cuda"])]:
        with pytest.raises(ProbingError, match="no device"):
            resolve_device(name)
