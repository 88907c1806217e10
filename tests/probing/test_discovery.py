"""Layer discovery finds synthetic signals and does not reward identifying the work."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mess_core.errors import ProbingError
from mess_core.probing import discover, grouped_folds, resolve_aspects, scores


def _library(tracks=60, works=20, layers=3, dim=40, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((tracks, layers, dim))
    names = [f"w{index % works}" for index in range(tracks)]
    return rng, x, names


def test_synthetic_signal_is_found_in_its_layer():
    rng, x, works = _library()
    y = pd.DataFrame({"synthetic": x[:, 1, :3].sum(axis=1) + 0.1 * rng.standard_normal(60)})
    table = discover(x, y, works, resamples=200).table
    assert table.loc[table["r2"].idxmax(), "layer"] == 1
    assert table["r2"].max() > 0.5
    assert (table.loc[table["layer"] != 1, "r2"] < 0.1).all()


def test_embeddings_that_only_identify_the_work_predict_nothing():
    """Embeddings that only identify the work, and a target that is a random number per work."""
    rng = np.random.default_rng(3)
    works = [f"w{index // 4}" for index in range(100)]
    of_work = np.arange(100) // 4
    x = rng.standard_normal((25, 2, 48))[of_work] + 0.05 * rng.standard_normal((100, 2, 48))
    y = rng.standard_normal(25)[of_work]
    leaky = cross_val_predict(
        make_pipeline(StandardScaler(), Ridge(1.0)),
        x[:, 0],
        y,
        cv=KFold(5, shuffle=True, random_state=0),
    )
    assert r2_score(y, leaky) > 0.5  # ungrouped folds leak
    table = discover(x, pd.DataFrame({"y": y}), works, resamples=100).table
    assert (table["r2"] <= 0.0).all()
    assert (table["r2_low"] <= 0.0).all()


def test_predictions_equal_those_of_scikit_learn_with_the_same_folds():
    rng, x, works = _library(tracks=40, works=10, layers=2)
    y = pd.DataFrame(rng.standard_normal((40, 3)), columns=list("abc"))
    found = discover(x, y, works, alphas=[10.0], resamples=50)
    fold = grouped_folds(works, 5)
    splits = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(5)]
    for layer in range(2):
        for name in y:
            oracle = cross_val_predict(
                make_pipeline(StandardScaler(), Ridge(10.0)), x[:, layer], y[name], cv=splits
            )
            np.testing.assert_allclose(found.predictions[name][layer], oracle, atol=1e-8)
            row = found.table.query("layer == @layer and target == @name").iloc[0]
            assert row["r2"] == pytest.approx(r2_score(y[name], oracle))


def test_groups_prevent_leakage_between_related_works():
    """Pairs of works with the same content leak, unless they are grouped."""
    apart, together = [], []
    of_pair = np.repeat(np.arange(12), 6)
    works = [f"pair{pair}-{index % 2}" for index, pair in enumerate(of_pair)]
    groups = [f"pair{pair}" for pair in of_pair]
    for seed in range(4):
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((12, 1, 30))[of_pair] + 0.05 * rng.standard_normal((72, 1, 30))
        y = pd.DataFrame({"y": rng.standard_normal(12)[of_pair]})
        for found_r2, held_together in ((apart, None), (together, groups)):
            found = discover(x, y, works, groups=held_together, alphas=[1.0], resamples=20)
            found_r2.append(found.table["r2"][0])
    assert np.mean(apart) > 0.3
    assert np.mean(together) < 0


def test_missing_values_affect_only_their_own_target():
    rng, x, works = _library()
    full = pd.DataFrame(rng.standard_normal((60, 2)), columns=["a", "b"])
    holes = full.copy()
    holes.loc[:9, "b"] = np.nan
    plain, holed = discover(x, full, works, resamples=50), discover(x, holes, works, resamples=50)
    np.testing.assert_allclose(plain.predictions["a"], holed.predictions["a"])
    assert set(holed.table.query("target == 'b'")["n"]) == {50}
    assert np.isnan(holed.predictions["b"][:, :10]).all()


def test_unusable_targets_are_left_out_with_a_reason():
    rng, x, works = _library()
    y = pd.DataFrame({"good": rng.standard_normal(60), "constant": 1.0, "rare": np.nan})
    y.loc[:4, "rare"] = [1.0, 2, 3, 4, 5]
    found = discover(x, y, works, resamples=50)
    assert set(found.table["target"]) == {"good"}
    assert any("constant: left out" in note for note in found.notes)
    assert any("rare: left out, only 5 tracks" in note for note in found.notes)


def test_within_work_score_ignores_differences_between_works():
    rng, x, works = _library(tracks=80, works=20)
    offset = 5 * rng.standard_normal(20)[[int(name[1:]) for name in works]]
    x[:, 0, 0] = 4 * offset  # layer 0 only identifies the work
    signal = rng.standard_normal(80)
    x[:, 1, :10] = signal[:, None] * 3
    y = pd.DataFrame({"y": offset + 0.5 * signal})
    table = discover(x, y, works, resamples=50).table.set_index("layer")
    assert table.loc[0, "r2"] > 0.5
    assert table.loc[0, "r2_within"] < 0.1
    assert table.loc[1, "r2_within"] > table.loc[0, "r2_within"]


def test_interval_contains_the_score_and_is_reproducible():
    rng, x, works = _library()
    y = pd.DataFrame({"a": x[:, 0, :2].sum(axis=1) + rng.standard_normal(60)})
    one, two = (discover(x, y, works, resamples=300).table for _ in range(2))
    pd.testing.assert_frame_equal(one, two)
    assert (one["r2_low"] <= one["r2"]).all()
    assert (one["r2"] <= one["r2_high"]).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y, w: (x[:, 0], y, w), "X must be"),
        (lambda x, y, w: (x, y.iloc[:5], w), "X must be"),
        (lambda x, y, w: (x * np.nan, y, w), "NaN or infinite"),
        (lambda x, y, w: (x, y, ["one"] * 60), "no target can be probed"),
    ],
)
def test_invalid_inputs_raise_clear_errors(change, message):
    rng, x, works = _library()
    y = pd.DataFrame({"a": rng.standard_normal(60)})
    with pytest.raises(ProbingError, match=message):
        discover(*change(x, y, works), resamples=10)


def test_folds_never_split_a_group():
    groups = [f"g{index % 13}" for index in range(100)]
    fold = grouped_folds(groups, 5)
    table = pd.DataFrame({"group": groups, "fold": fold})
    assert (table.groupby("group")["fold"].nunique() == 1).all()
    assert set(fold) == set(range(5))
    with pytest.raises(ProbingError, match="groups"):
        grouped_folds(["a", "a", "b"], 3)


def _results(target, values, margin=0.05):
    return pd.DataFrame(
        [
            {"layer": layer, "target": target, "r2": score, "r2_low": score - margin}
            for layer, score in enumerate(values)
        ]
    )


@pytest.mark.parametrize(
    ("score", "confidence"), [(0.95, "high"), (0.7, "medium"), (0.3, "low"), (0.02, "none")]
)
def test_confidence_depends_on_the_lower_bound(score, confidence):
    aspects = resolve_aspects(_results("spectral_centroid", [0.01, score, 0.01]))
    brightness = aspects["brightness"]
    assert brightness.confidence == confidence
    assert brightness.available == (confidence != "none")
    if brightness.available:
        assert brightness.weights == {1: 1.0}
    else:
        assert brightness.weights == {0: 1 / 3, 1: 1 / 3, 2: 1 / 3}
    assert "spectral_centroid" in brightness.reason


def test_unprobed_aspects_give_a_reason():
    aspects = resolve_aspects(_results("tempo", [0.5, 0.6]))
    assert len(aspects) == 13
    assert aspects["legato"].confidence == "none"
    assert "articulation_ratio" in aspects["legato"].reason


def test_a_missing_interval_supports_no_aspect():
    results = _results("spectral_centroid", [0.1, 0.9])
    results["r2_low"] = np.nan
    assert resolve_aspects(results)["brightness"].confidence == "none"


@pytest.mark.parametrize("unit", [1e-14, 1e9])
def test_scores_do_not_depend_on_the_unit(unit):
    rng, x, works = _library()
    y = x[:, 0, :2].sum(axis=1) + rng.standard_normal(60)
    plain = discover(x, pd.DataFrame({"a": y}), works, resamples=100).table
    scaled = discover(x, pd.DataFrame({"a": y * unit}), works, resamples=100).table
    for column in ("r2", "r2_low", "r2_high", "pearson", "spearman", "r2_within"):
        np.testing.assert_allclose(scaled[column], plain[column], rtol=1e-6, err_msg=column)


def test_a_constant_target_has_no_score():
    y = np.full((20, 1), 0.1)
    guess = np.random.default_rng(0).standard_normal((20, 1))
    assert np.isnan(scores.r2(y, guess)).all()
    assert np.isnan(scores.pearson(y, guess)).all()
    draws = scores.GroupBootstrap.of([f"g{i}" for i in range(20)], resamples=50, seed=0)
    assert np.isnan(draws.r2(y, guess)).all()
