"""Ridge regression equals scikit-learn's for any shape."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mess_core.errors import ProbingError
from mess_core.probing.ridge import RidgePath


@settings(deadline=None, max_examples=40)
@given(
    rows=st.integers(4, 40),
    features=st.integers(1, 60),
    alpha=st.floats(1e-2, 1e5),
    seed=st.integers(0, 1000),
)
def test_ridge_equals_scikit_learn(rows, features, alpha, seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, features)) * rng.uniform(0.1, 10, features) + 3
    y = rng.standard_normal((rows, 3)) * 5 - 2
    new = rng.standard_normal((7, features))
    oracle = make_pipeline(StandardScaler(), Ridge(alpha=alpha)).fit(x, y)
    path = RidgePath(x, y)
    np.testing.assert_allclose(path.predict(new, [alpha])[0], oracle.predict(new), atol=1e-6)
    each = path.predict_each(new, np.full(3, alpha))
    np.testing.assert_allclose(each, oracle.predict(new), atol=1e-6)
    np.testing.assert_allclose(path.coefficients(np.full(3, alpha)).T, oracle[-1].coef_, atol=1e-6)


def test_each_target_may_have_its_own_penalty():
    rng = np.random.default_rng(0)
    x, y, new = (rng.standard_normal(shape) for shape in ((30, 50), (30, 2), (5, 50)))
    alphas = np.array([0.3, 300.0])
    both = RidgePath(x, y).predict_each(new, alphas)
    for column, alpha in enumerate(alphas):
        oracle = make_pipeline(StandardScaler(), Ridge(alpha=alpha)).fit(x, y[:, column])
        np.testing.assert_allclose(both[:, column], oracle.predict(new), atol=1e-8)


@pytest.mark.parametrize("shape", [(20, 50), (50, 20)])
def test_degrees_of_freedom_are_the_trace_of_the_hat_matrix(shape):
    rng = np.random.default_rng(1)
    x = rng.standard_normal(shape)
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    hat = z @ np.linalg.solve(z.T @ z + 7.0 * np.eye(shape[1]), z.T)
    assert RidgePath(x, x[:, :1]).degrees_of_freedom([7.0])[0] == pytest.approx(np.trace(hat))


def test_constant_features_and_invalid_input():
    x = np.ones((5, 3))
    assert np.allclose(RidgePath(x, np.arange(5.0)[:, None]).predict(x, [1.0]), 2.0)
    with pytest.raises(ProbingError, match="NaN"):
        RidgePath(x * np.nan, x)
    with pytest.raises(ProbingError, match="two or more"):
        RidgePath(x[:1], x[:1])
    with pytest.raises(ProbingError, match="positive"):
        RidgePath(x, x).predict(x, [0.0])
