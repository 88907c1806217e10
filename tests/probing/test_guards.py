"""Safeguards against inflated scores, each tested with data made to circumvent it."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kstest
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mess_core.errors import ProbingError
from mess_core.probing import discover, discover_curves
from mess_core.probing.combination import combine_layers
from mess_core.probing.evidence import SUMMARY_COLUMNS, TABLE_COLUMNS, assess_evidence
from mess_core.probing.layer_probing import _control_targets
from mess_core.probing.nested_cv import cross_predict, nested_predictions, nested_splits
from mess_core.probing.permutation import permutation_p, work_block_permutations
from mess_core.probing.scores import GroupBootstrap, r2, within_groups_r2

QUICK = {"alphas": [1.0, 100.0], "resamples": 100}
WORKS = [f"w{index // 4}" for index in range(80)]


def test_inner_folds_also_keep_works_on_one_side():
    for split in nested_splits(WORKS, 5, 4, seed=3):
        names = np.array(WORKS)
        assert not set(names[split.train]) & set(names[split.test])
        inner = pd.DataFrame({"work": names[split.train], "fold": split.inner})
        assert (inner.groupby("work")["fold"].nunique() == 1).all()
        assert inner["fold"].nunique() == 4


def test_choices_do_not_depend_on_the_outer_test_fold():
    rng = np.random.default_rng(0)
    layers = [rng.standard_normal((80, 6)) for _ in range(3)]
    y = (layers[0][:, 0] + layers[2][:, 0] + rng.standard_normal(80))[:, None]
    split = nested_splits(WORKS, 5, 4, seed=0)[0]
    changed = y.copy()
    changed[split.test] = 50 * layers[1][split.test, :1]  # layer 1 explains the outer fold alone
    found = []
    for values in (y, changed):
        nested = [
            nested_predictions(x, values, [split], np.array([1.0, 100.0]), targets=1)
            for x in layers
        ]
        found.append((nested, combine_layers(nested, values, [split], 1)))
    (plain, one), (other, two) = found
    np.testing.assert_array_equal(one.share, two.share)
    np.testing.assert_array_equal(one.weight, two.weight)
    for a, b in zip(plain, other, strict=True):
        np.testing.assert_array_equal(a.alpha, b.alpha)
        np.testing.assert_array_equal(a.predicted[split.test], b.predicted[split.test])


@pytest.mark.parametrize("alpha", [0.1, 10.0])
def test_a_feature_that_varies_only_in_the_held_out_work_is_harmless(alpha):
    rng = np.random.default_rng(1)
    x = rng.standard_normal((200, 20)) + 3
    x[:, 0] = 0.7
    works = [f"w{index // 10}" for index in range(200)]
    x[:10, 0] += rng.standard_normal(10)
    y = x[:, 1:3].sum(axis=1, keepdims=True) + 0.1 * rng.standard_normal((200, 1))
    splits = nested_splits(works, 5, 4, seed=0)
    expected = np.empty_like(y)
    for split in splits:
        model = make_pipeline(StandardScaler(), Ridge(alpha)).fit(x[split.train], y[split.train])
        expected[split.test] = model.predict(x[split.test]).reshape(-1, 1)
    np.testing.assert_allclose(cross_predict(x, y, splits, alpha), expected, atol=1e-6)
    nested = nested_predictions(x, y, splits, np.array([alpha, alpha * 1e9]), targets=1)
    np.testing.assert_allclose(nested.predicted, expected, atol=1e-6)


def test_the_identity_permutation_counts_as_reaching_the_score():
    rng = np.random.default_rng(2)
    sizes = [2, 3, 4, 5, 6, 7, 8]
    works = [f"w{work}" for work, size in enumerate(sizes) for _ in range(size)]
    x = rng.standard_normal((len(works), 3, 12))
    y = pd.DataFrame(rng.standard_normal((len(works), 8)), columns=list("abcdefgh"))
    found = discover(x, y, works, permutations=19, ordered_rows=True, **QUICK)
    assert (found.table["p"] == 1).all()
    assert (found.summary["arrangements"] == 1).all()
    nearly = np.array([[0.5]])
    assert permutation_p(nearly, np.full((9, 1), 0.5 - 1e-15))[0, 0] == 1


def test_p_is_uniform_under_the_null_with_several_works_per_group():
    """Noise with work effects, four works to a group: p is still uniform."""
    p = []
    for seed in range(100):
        rng = np.random.default_rng([seed, 1])
        of_work = np.repeat(np.arange(32), 3)
        x, y = (2 * rng.standard_normal(32)[of_work] + rng.standard_normal(96) for _ in range(2))
        orders = work_block_permutations(
            of_work.astype(str), 59, seed=seed, groups=(of_work // 4).astype(str)
        )
        score = np.corrcoef(x, y)[0, 1] ** 2
        null = np.array([np.corrcoef(x, y[order])[0, 1] ** 2 for order in orders])
        p.append(permutation_p(np.array([[score]]), null[:, None])[0, 0])
    assert kstest(p, "uniform").pvalue > 0.01
    assert np.mean(np.array(p) <= 0.05) <= 0.12


def test_groups_works_and_performances_are_permuted_on_their_own_level():
    groups = ["g1"] * 6 + ["g2"] * 6 + ["g3"] * 5
    works = [*"aaabbc", *"dddeef", *"ggghh"]
    orders = work_block_permutations(works, 300, seed=0, groups=groups)
    group, work = np.array(groups), np.array(works)
    seen = set()
    for order in orders:
        assert sorted(order) == list(range(17))
        for name in set(groups):
            assert len(set(group[order[group == name]])) == 1
        for name in set(works):
            source = set(work[order[work == name]])
            assert len(source) == 1
            seen.add((name, source.pop()))
    assert ("a", "d") in seen
    assert ("a", "g") not in seen
    assert ("g", "g") in seen


def test_intervals_equal_those_of_explicitly_drawing_works():
    rng = np.random.default_rng(3)
    of_work = np.repeat(np.arange(20), 4)
    y = (2 * rng.standard_normal(20)[of_work] + rng.standard_normal(80))[:, None]
    guess = 0.8 * y + 0.5 * rng.standard_normal(20)[of_work][:, None]
    bootstrap = GroupBootstrap.of(WORKS, resamples=4000, seed=0)
    explicit, within = [], []
    for _ in range(2000):
        drawn = rng.integers(0, 20, 20)
        rows = np.concatenate([np.flatnonzero(of_work == work) for work in drawn])
        names = np.repeat(np.arange(20), 4).astype(str)
        explicit.append(r2(y[rows], guess[rows])[0])
        within.append(within_groups_r2(y[rows], guess[rows], names.tolist())[0][0])
    for draws, expected in (
        (bootstrap.r2(y, guess), explicit),
        (bootstrap.within_r2(y, guess, WORKS), within),
    ):
        found = np.percentile(draws, [2.5, 50, 97.5])
        np.testing.assert_allclose(found, np.percentile(expected, [2.5, 50, 97.5]), atol=0.02)


def test_a_target_constant_within_works_has_no_score_within_works():
    y = pd.DataFrame({"a": np.random.default_rng(4).standard_normal(20)[np.arange(80) // 4]})
    x = np.random.default_rng(5).standard_normal((80, 1, 6))
    row = discover(x, y, WORKS, permutations=0, **QUICK).table.iloc[0]
    assert row[["r2_within", "r2_within_low", "r2_within_high"]].isna().all()


def test_control_targets_have_one_value_per_work():
    controls = _control_targets(WORKS, 0)
    assert controls.shape == (80, 8)
    assert (np.ptp(controls.reshape(20, 4, 8), axis=1) == 0).all()
    assert len(np.unique(controls[:, 0])) == 20


def _assessed(**changes):
    row = {"layer": 3, "target": "a", "r2": 0.5, "r2_low": 0.2, "r2_high": 0.7, "p": 0.01}
    row |= {"chosen": 1.0, "untrained_gain_low": 0.1}
    summary = {"target": "a", "chosen_r2": 0.5, "chosen_r2_low": 0.2, "chosen_r2_high": 0.7}
    summary |= {"p": 0.01, "untrained_r2": 0.1, "untrained_gain": 0.4}
    summary |= {"untrained_gain_low": 0.1, "untrained_gain_high": 0.6}
    for name, value in changes.items():
        table, _, column = name.partition("_")
        (row if table == "row" else summary)[column] = value
    return assess_evidence(
        pd.DataFrame([row], columns=TABLE_COLUMNS), pd.DataFrame([summary], columns=SUMMARY_COLUMNS)
    )


@pytest.mark.parametrize(
    ("changes", "layer", "target", "message"),
    [
        ({}, True, True, "layer 3, chosen in inner folds"),
        ({"row_untrained_gain_low": np.nan, "of_untrained_gain_low": np.nan}, True, True, "layer"),
        ({"row_p": np.nan, "of_p": np.nan}, True, True, "layer 3"),
        ({"row_r2_low": -0.1}, False, False, "no layer chosen in inner folds"),
        ({"of_chosen_r2_low": -0.1}, True, False, "not predicted"),
        ({"row_p": 0.2, "of_p": 0.2}, False, False, "not distinguishable from chance: q 0.20"),
        ({}, True, True, "Training adds +0.40 (+0.10 to +0.60)"),
        ({"of_untrained_gain_low": -0.1}, True, True, "Training is not shown to add"),
    ],
)
def test_evidence_requires_all_computed_criteria(changes, layer, target, message):
    table, summary = _assessed(**changes)
    assert bool(table["evidence"][0]) is layer
    assert bool(summary["evidence"][0]) is target
    assert message in summary["reason"][0]


@pytest.mark.parametrize(
    ("low", "r2_low", "learned", "finding"),
    [
        (0.1, 0.2, True, True),
        (-0.1, 0.2, False, False),
        (np.nan, 0.2, False, False),
        (0.1, -0.2, True, False),
    ],
)
def test_a_finding_is_evidence_to_which_training_added(low, r2_low, learned, finding):
    _, summary = _assessed(of_untrained_gain_low=low, of_chosen_r2_low=r2_low)
    assert bool(summary["learned"][0]) is learned
    assert bool(summary["finding"][0]) is finding


def test_an_untrained_counterpart_that_is_better_in_another_layer_removes_the_finding():
    rng = np.random.default_rng(6)
    signal = rng.standard_normal(80)
    x, counterpart = rng.standard_normal((80, 2, 8)), rng.standard_normal((80, 2, 8))
    x[:, 1, 0] = signal + 0.4 * rng.standard_normal(80)
    counterpart[:, 0, 0] = signal
    y = pd.DataFrame({"tempo": signal + 0.05 * rng.standard_normal(80)})
    found = discover(x, y, WORKS, untrained=counterpart, permutations=19, **QUICK)
    assert found.summary["untrained_r2"][0] > found.summary["chosen_r2"][0] > 0.5
    assert found.summary["evidence"][0]
    assert found.summary["untrained_gain_high"][0] > found.summary["untrained_gain_low"][0]
    assert not found.summary["finding"][0]
    tempo = found.aspects()["tempo"]
    assert tempo.available
    assert "training is not shown to add" in tempo.reason


def test_curves_do_not_leak_works():
    rng = np.random.default_rng(7)
    of_work = np.arange(80) // 4
    x = rng.standard_normal((20, 2, 40))[of_work] + 0.05 * rng.standard_normal((80, 2, 40))
    y = rng.standard_normal((20, 5))[of_work]
    safe = discover_curves(x, {"c": y}, WORKS, **QUICK)
    assert (safe[["r2", "chosen_r2", "pc1_r2"]] <= 0.05).all(axis=None)
    leaky = discover_curves(x, {"c": y}, WORKS, groups=[str(i) for i in range(80)], **QUICK)
    assert leaky["r2"].max() > 0.5


def test_leaking_results_give_no_aspects():
    of_work = np.arange(80) // 4
    rng = np.random.default_rng(8)
    x = rng.standard_normal((20, 1, 40))[of_work]
    y = pd.DataFrame({"spectral_centroid": rng.standard_normal(20)[of_work]})
    found = discover(x, y, WORKS, ungrouped=True, permutations=0, **QUICK)
    assert found.summary["chosen_r2"][0] > 0.9
    assert found.table["control_r2"][0] > 0.5
    assert found.table["selectivity"][0] < 0.5
    brightness = found.aspects()["brightness"]
    assert not brightness.available
    assert "split works" in brightness.reason


def test_an_aspect_uses_only_targets_with_evidence():
    rng = np.random.default_rng(9)
    x = rng.standard_normal((80, 2, 8))
    y = pd.DataFrame({"dynamic_range": x[:, 1, 0], "dynamic_variance": rng.standard_normal(80)})
    dynamics = discover(x, y, WORKS, permutations=59, **QUICK).aspects()["dynamics"]
    assert dynamics.confidence == "high"
    assert dynamics.weights == {1: 1.0}
    assert "predicts dynamic_range with" in dynamics.reason
    assert "without evidence dynamic_variance: not predicted" in dynamics.reason


@pytest.mark.parametrize(
    ("sizes", "folds"), [([6, 6, 6], 2), ([10, 1, 1], 3), ([30, 1, 1, 1, 1], 2)]
)
def test_a_library_too_small_for_folds_gives_a_note(sizes, folds):
    works = [f"w{work}" for work, size in enumerate(sizes) for _ in range(size)]
    rng = np.random.default_rng(0)
    y = pd.DataFrame({"a": rng.standard_normal(len(works))})
    x = rng.standard_normal((len(works), 1, 4))
    found = discover(x, y, works, folds=folds, permutations=3, allow_empty=True, **QUICK)
    assert found.table.empty or np.isfinite(found.table["r2"]).all()
    assert not found.table.empty or "a: left out" in found.notes[0]
    assert discover_curves(x, {"c": np.outer(y["a"], [1, 2])}, works, folds=folds).shape[1] == 14


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"works": [None, *WORKS[1:]]}, "works has a missing name"),
        ({"groups": [float("nan"), *WORKS[1:]]}, "groups has a missing name"),
        ({"groups": WORKS[1:]}, "79 groups for 80 tracks"),
        ({"layers": [1, 1]}, "a layer is listed twice"),
        ({"layers": [1]}, "1 layer numbers for 2 layers"),
        ({"alphas": []}, "alphas must not be empty"),
        ({"permutations": -1}, "permutations and resamples not negative"),
        ({"untrained": np.zeros((80, 1, 3))}, "1 untrained layers for 2 layers"),
        ({"descriptors": np.zeros((79, 3))}, "descriptors must be"),
    ],
)
def test_invalid_arguments_raise_clear_errors(changes, message):
    rng = np.random.default_rng(0)
    arguments = {"works": WORKS, "permutations": 0, **QUICK, **changes}
    y = pd.DataFrame({"a": rng.standard_normal(80)})
    with pytest.raises(ProbingError, match=message):
        discover(rng.standard_normal((80, 2, 3)), y, **arguments)


def test_targets_and_curves_are_validated():
    x = np.random.default_rng(0).standard_normal((80, 2, 3))
    twice = pd.DataFrame(np.ones((80, 2)), columns=["a", "a"])
    with pytest.raises(ProbingError, match="'a' is listed twice"):
        discover(x, twice, WORKS)
    with pytest.raises(ProbingError, match="1 layer numbers"):
        discover_curves(x, {"c": np.ones((80, 2))}, WORKS, layers=[7])
    with pytest.raises(ProbingError, match="NaN or infinite"):
        discover_curves(x * np.nan, {"c": np.ones((80, 2))}, WORKS)
    found = discover_curves(x, {"c": x[:, 0]}, WORKS, resamples=0)
    assert found["r2_low"].isna().all()
