"""The head taught by notes: what it learns, what it cannot use, and how it compares clips."""

import numpy as np
import pytest
from upath import UPath

from mess_core.errors import MessError
from mess_core.ranking.regression import fit_regression
from mess_core.ranking.triplets import expression_unit
from mess_core.search.served_heads import load_head, save_head

PASSAGES, PLAYERS, DIM = 30, 5, 12


@pytest.fixture(scope="module")
def clips():
    """Vectors with much of the passage and a little of the playing, which the notes know."""
    rng = np.random.default_rng(0)
    played = rng.standard_normal((PASSAGES * PLAYERS, 2))
    content = np.repeat(5 * rng.standard_normal((PASSAGES, DIM)), PLAYERS, axis=0)
    vectors = 0.3 * rng.standard_normal((PASSAGES * PLAYERS, 2, DIM))
    vectors[:, 1] += content + played @ rng.standard_normal((2, DIM))
    passages = [f"p{number // PLAYERS}" for number in range(PASSAGES * PLAYERS)]
    works = [f"w{number // (2 * PLAYERS)}" for number in range(PASSAGES * PLAYERS)]
    return vectors, played, passages, works


def test_the_playing_is_found_under_the_content(clips):
    vectors, played, passages, works = clips
    head, score = fit_regression(vectors, played, passages, works)
    assert score > 0.8
    unit = head(vectors).astype(np.float64)
    similarity = unit @ unit.T
    for passage in range(0, PASSAGES, 5):
        rows = np.arange(passage * PLAYERS, (passage + 1) * PLAYERS)
        true = np.linalg.norm(played[rows, None] - played[None, rows], axis=-1)
        found = np.corrcoef(-similarity[np.ix_(rows, rows)].ravel(), true.ravel())[0, 1]
        assert found > 0.8


def test_cosines_order_clips_by_their_distance_in_the_predictions(clips):
    vectors, played, passages, works = clips
    head, _ = fit_regression(vectors, played, passages, works)
    scaled = (vectors - head.arrays["mean"]) / head.arrays["scale"]
    predicted = scaled.reshape(len(vectors), -1) @ head.arrays["first"].T
    rows = np.arange(40)
    distance = np.linalg.norm(predicted[rows, None] - predicted[None, rows], axis=-1)
    unit = head(vectors[rows]).astype(np.float64)
    order = np.argsort(-(unit @ unit.T)[0], kind="stable")
    assert np.corrcoef(np.argsort(np.argsort(distance[0])), np.argsort(order))[0, 1] > 0.99


def test_on_permuted_descriptors_it_learns_nothing(clips):
    vectors, played, passages, works = clips
    shuffled = np.random.default_rng(1).permutation(played)
    assert fit_regression(vectors, shuffled, passages, works)[1] < 0.1


def test_missing_descriptors_are_allowed(clips):
    vectors, played, passages, works = clips
    holes = played.copy()
    holes[::7, 0] = np.nan
    assert fit_regression(vectors, holes, passages, works)[1] > 0.6


def test_too_few_works_are_a_clear_error(clips):
    vectors, played, passages, _ = clips
    with pytest.raises(MessError, match="only 1 works"):
        fit_regression(vectors, played, passages, ["w"] * len(passages))


def test_a_stored_head_gives_the_same_vectors(clips, tmp_path):
    vectors, played, passages, works = clips
    head, _ = fit_regression(vectors, played, passages, works)
    save_head(UPath(tmp_path), "expression-regression", head)
    loaded = load_head(UPath(tmp_path), "expression-regression")
    np.testing.assert_array_equal(loaded(vectors), head(vectors))


@pytest.mark.parametrize("count", [20, None])
def test_penalty_and_weights_are_those_of_a_grid_search(clips, count):
    """With fewer clips than dimensions, and with more."""
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import GridSearchCV, GroupKFold

    vectors, played, passages, works = clips
    vectors, played, passages = vectors[:count], played[:count], passages[:count]
    works = works[:count] if count is None else passages
    head, score = fit_regression(vectors, played, passages, works)
    scaled = (vectors - vectors.mean(axis=0)) / vectors.std(axis=0)
    x, y = scaled.reshape(len(vectors), -1), played / expression_unit(played, passages)
    for name in set(passages):
        rows = [row for row, one in enumerate(passages) if one == name]
        x[rows] -= x[rows].mean(axis=0)
        y[rows] -= y[rows].mean(axis=0)
    search = GridSearchCV(
        Ridge(fit_intercept=False),
        {"alpha": np.logspace(1, 7, 13)},
        cv=GroupKFold(min(5, len(set(works)))),
        scoring="r2",
    ).fit(x, y, groups=works)
    assert score == pytest.approx(search.best_score_)
    weights = head.arrays["first"] / np.linalg.norm(head.arrays["first"])
    expected = search.best_estimator_.coef_ / np.linalg.norm(search.best_estimator_.coef_)
    assert np.allclose(weights, expected, atol=1e-5)
