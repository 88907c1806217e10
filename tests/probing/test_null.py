"""Chance, leakage and baselines do not produce evidence."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kstest

from mess_core.probing import discover, discover_curves, resolve_aspects
from mess_core.probing.permutation import (
    permutation_p,
    work_block_permutations,
)

QUICK = {"alphas": [1.0, 100.0], "resamples": 100}


def _identifies_only_the_work(seed=3):
    """Embeddings that only identify the work, and a target that is a random number per work."""
    rng = np.random.default_rng(seed)
    of_work = np.arange(100) // 4
    x = rng.standard_normal((25, 2, 48))[of_work] + 0.05 * rng.standard_normal((100, 2, 48))
    y = pd.DataFrame({"spectral_centroid": rng.standard_normal(25)[of_work]})
    return x, y, [f"w{work}" for work in of_work]


def test_default_folds_do_not_leak_and_ungrouped_folds_warn():
    x, y, works = _identifies_only_the_work()
    safe = discover(x, y, works, permutations=50, **QUICK)
    assert (safe.table["r2"] <= 0).all()
    assert (safe.summary[["chosen_r2", "weighted_r2"]] <= 0).all(axis=None)
    assert not safe.table["evidence"].any()
    assert not safe.notes
    leaky = discover(x, y, works, ungrouped=True, alphas=[1.0], permutations=0, resamples=100)
    assert leaky.table["r2"].max() > 0.5
    assert leaky.settings["grouped_by"] == "none"
    assert "one work on both sides" in leaky.notes[0]
    by_player = discover(
        x, y, works, groups=[f"p{i % 10}" for i in range(100)], permutations=0, **QUICK
    )
    assert by_player.table["r2"].max() > 0.5
    assert by_player.notes[0].startswith("WARNING")


def test_noise_gives_family_wise_errors_within_the_level():
    positives, p = 0, []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((40, 3, 10))
        y = pd.DataFrame(rng.standard_normal((40, 4)), columns=list("abcd"))
        works = [f"w{i % 13}" for i in range(40)]
        found = discover(x, y, works, permutations=99, alphas=[10.0], resamples=50, seed=seed)
        assert not found.notes  # enough permutations for a false positive
        positives += bool((found.summary["q"] <= 0.05).any())
        p += found.summary["p"].tolist()
        assert not (found.table["q"] < found.table["p"]).any()
    # A twentieth of 20 is 1; more than 4 has a probability of 0.003.
    assert positives <= 4
    assert kstest(p, "uniform").pvalue > 0.01


def test_too_few_permutations_give_a_note():
    rng = np.random.default_rng(0)
    y = pd.DataFrame(rng.standard_normal((40, 4)), columns=list("abcd"))
    works = [f"w{i % 13}" for i in range(40)]
    found = discover(rng.standard_normal((40, 1, 5)), y, works, permutations=39, **QUICK)
    assert found.notes == [
        "39 permutations are too few for a single one of 4 targets to reach q <= 0.05: "
        "use at least 79"
    ]


def test_p_is_uniform_without_a_signal_and_small_with_one():
    observed, largest = [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        y = np.repeat(rng.standard_normal(8), 3) + rng.standard_normal(24)
        x = np.repeat(rng.standard_normal(8), 3) + rng.standard_normal(24)
        orders = work_block_permutations([f"w{i // 3}" for i in range(24)], 99, seed=seed)
        observed.append(np.corrcoef(x, y)[0, 1])
        largest.append([np.corrcoef(x, y[order])[0, 1] for order in orders])
    p = [
        permutation_p(np.array([[one]]), np.array(many)[:, None])[0, 0]
        for one, many in zip(observed, largest, strict=True)
    ]
    assert kstest(p, "uniform").pvalue > 0.01
    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 3, 10))
    y = pd.DataFrame({"a": x[:, 1, 0] + 0.2 * rng.standard_normal(60)})
    found = discover(x, y, [f"w{i % 20}" for i in range(60)], permutations=99, **QUICK)
    best = found.table.loc[found.table["r2"].idxmax()]
    assert (best["layer"], best["p"], best["evidence"]) == (1, 0.01, True)
    assert found.table.loc[found.table["layer"] != 1, "p"].min() > 0.05
    assert found.summary["layer"][0] == 1


def test_whole_works_are_permuted_only_with_works_of_equal_size():
    blocks = ["a", "b", "b", "c", "c", "d", "d", "d", "e"]
    orders = work_block_permutations(blocks, 200, seed=0)
    names = np.array(blocks)
    sizes = {name: blocks.count(name) for name in blocks}
    for order in orders:
        assert sorted(order) == list(range(9))
        for name in sizes:
            sources = set(names[order[names == name]])
            assert len(sources) == 1
            assert sizes[sources.pop()] == sizes[name]
    assert len({tuple(order) for order in orders}) > 50
    whole = work_block_permutations(blocks, 50, seed=0, within=False)
    assert all((np.diff(order[5:8]) == 1).all() for order in whole)


def test_what_the_untrained_counterpart_holds_too_is_available_but_no_finding():
    rng = np.random.default_rng(5)
    works = [f"w{i % 20}" for i in range(80)]
    shared = rng.standard_normal((80, 1))
    x = np.concatenate([shared, rng.standard_normal((80, 9))], axis=1)[:, None]
    counterpart = np.concatenate([shared, rng.standard_normal((80, 5))], axis=1)[:, None]
    noise = rng.standard_normal((80, 1, 6))
    y = pd.DataFrame({"spectral_centroid": shared[:, 0] + 0.1 * rng.standard_normal(80)})
    options = {"permutations": 39, "descriptors": np.full((80, 2), np.nan), **QUICK}
    equal = discover(x, y, works, untrained=counterpart, **options)
    better = discover(x, y, works, untrained=noise, **options)
    assert equal.table["r2"][0] > 0.9
    assert equal.table["untrained_r2"][0] > 0.9
    assert equal.table["evidence"][0]
    assert not equal.table["learned"][0]
    assert "Training is not shown to add" in equal.summary["reason"][0]
    assert not equal.summary["finding"][0]
    assert equal.aspects()["brightness"].available
    assert resolve_aspects(equal.table)["brightness"].available
    assert better.table["evidence"][0]
    assert better.summary["finding"][0]
    assert "training adds to spectral_centroid" in better.aspects()["brightness"].reason
    assert better.aspects()["brightness"].confidence == "high"
    assert better.summary["mean_r2"][0] <= 0
    assert better.summary["descriptors_r2"][0] <= 0  # all missing: no better than the mean


def test_aspects_use_the_layers_chosen_in_inner_folds():
    rng = np.random.default_rng(2)
    x = rng.standard_normal((90, 4, 12))
    works = [f"w{i % 18}" for i in range(90)]
    y = pd.DataFrame({"tempo": x[:, 2, 0] + 0.3 * rng.standard_normal(90)})
    found = discover(x, y, works, layers=[3, 5, 7, 9], permutations=39, **QUICK)
    tempo = found.aspects()["tempo"]
    assert tempo.weights == {7: 1.0}
    assert tempo.r2 == found.summary["chosen_r2"][0]
    assert tempo.r2_low == found.summary["chosen_r2_low"][0]
    assert "chosen in inner folds" in tempo.reason
    assert found.aspects()["rubato"].confidence == "none"


def test_results_do_not_depend_on_the_device():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((50, 2, 60))
    y = pd.DataFrame(rng.standard_normal((50, 2)), columns=["a", "b"])
    works = [f"w{i % 12}" for i in range(50)]
    one, two = (
        discover(x, y, works, permutations=5, device=device, **QUICK).table
        for device in ("cpu", "torch-cpu")
    )
    pd.testing.assert_frame_equal(one, two, rtol=1e-8)


@pytest.mark.parametrize("layer", [0, 1])
def test_a_synthetic_curve_is_found_in_its_layer(layer):
    rng = np.random.default_rng(7)
    x = rng.standard_normal((120, 2, 8))
    shape, other = np.sin(np.linspace(0, 3, 10)), np.linspace(-1, 1, 10)
    y = np.outer(x[:, layer, 0], shape) + 0.2 * np.outer(rng.standard_normal(120), other)
    y += 0.05 * rng.standard_normal(y.shape)
    holes = y.copy()
    holes[:20, 3] = np.nan
    found = discover_curves(
        x, {"arc": y, "holes": holes}, [f"w{i % 24}" for i in range(120)], **QUICK
    ).set_index(["curve", "layer"])
    assert found.loc[("arc", layer), "pc1_r2"] > 0.95
    assert found.loc[("arc", layer), "r2"] > 0.6
    assert found.loc[("arc", layer), "pc1_share"] > 0.8
    assert found.loc[("arc", 1 - layer), "r2"] < 0.1
    assert found.loc[("holes", layer), "n"] == 100
