"""Planted judges: perfect, random, inattentive; and cases computed by hand."""

import numpy as np
import pandas as pd
import pytest

from mess_core.evaluation.agreement import (
    agreement,
    answer_matrix,
    judge_table,
    krippendorff_alpha,
    split_half,
    wilson,
)


def table(rows):
    columns = ["judge", "position", "triplet_id", "answer", "repeat", "attention", "expected"]
    return pd.DataFrame(rows, columns=columns).assign(seconds=2.0)


def planted(answers):
    """Judgements whose first answers are an array [judges, triplets] of 0, 1 or NaN."""
    return table(
        [
            (f"j{judge}", place, f"t{place}", "ab"[int(value)], False, False, "")
            for judge, row in enumerate(answers)
            for place, value in enumerate(row)
            if not np.isnan(value)
        ]
    )


def test_judges_of_one_mind_have_alpha_one():
    truth = np.random.default_rng(0).integers(0, 2, 50).astype(float)
    answers = np.tile(truth, (5, 1))
    found = agreement(planted(answers))
    assert found["all"]["alpha"] == {"value": 1.0, "judges": 5, "triplets": 50, "answers": 250}
    assert found["all"]["ceiling"]["value"] == 1.0
    assert (found["all"]["ceiling"]["low"], found["all"]["ceiling"]["high"]) == (1.0, 1.0)


def test_judges_who_toss_coins_have_alpha_near_zero():
    answers = np.random.default_rng(1).integers(0, 2, (8, 400)).astype(float)
    assert krippendorff_alpha(answers).value == pytest.approx(0, abs=0.03)
    found = split_half(answers)
    assert found.low < 0.5 < found.high
    assert found.high - found.low < 0.1


def test_noise_lowers_alpha_as_reckoned():
    # Each judge errs on a share e: alpha tends to (1 - 2e)^2 for balanced answers.
    rng = np.random.default_rng(2)
    truth = np.arange(2000) % 2
    answers = (truth ^ (rng.random((6, 2000)) < 0.2)).astype(float)
    assert krippendorff_alpha(answers).value == pytest.approx(0.36, abs=0.02)


def test_alpha_by_hand():
    # Krippendorff's worked example for two observers and binary data: 10 units, alpha 0.095.
    answers = np.array([[0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]], float)
    found = krippendorff_alpha(answers)
    assert found.value == pytest.approx(0.095, abs=5e-4)
    assert (found.judges, found.triplets, found.answers) == (2, 10, 20)
    # A triplet of one judge pairs with nothing.
    wider = np.hstack([answers, [[1], [np.nan]]])
    assert krippendorff_alpha(wider) == found


@pytest.mark.parametrize(
    ("answers", "value"),
    [
        ([[0, 0, 1, 1], [0, 1, 1, 0]], 0.5),  # two judges: the share of equal answers
        ([[0, 0, 1], [1, 1, 0]], 0.0),
        # One of three against two: the two agree on the first triplet (the third may not) and
        # are tied on the second unless the odd judge stands alone.
        ([[0, 0], [0, 0], [0, 1]], None),
    ],
)
def test_split_halves_by_hand(answers, value):
    found = split_half(np.array(answers, float), splits=600)
    if value is None:
        # Second triplet: the dissenter alone (a third) disagrees, else a tie counts one half.
        assert found.value == pytest.approx((1 + (1 / 3 * 0 + 2 / 3 * 0.5)) / 2, abs=0.02)
    else:
        assert found.value == value
    assert found.triplets == len(answers[0])


def test_one_judge_alone_and_nobody_are_not_numbers_but_no_errors():
    for answers in (np.array([[0.0, 1.0, 1.0]]), np.zeros((0, 0)), np.full((2, 3), np.nan)):
        alpha, ceiling = krippendorff_alpha(answers), split_half(answers)
        assert np.isnan(alpha.value)
        assert np.isnan([ceiling.value, ceiling.low, ceiling.high]).all()
        assert (alpha.triplets, ceiling.triplets) == (0, 0)
    assert np.isnan(krippendorff_alpha(np.zeros((3, 5))).value)  # nothing but "a": no chance
    found = agreement(planted(np.array([[0.0, 1.0]])))
    assert found["judges"][0]["answers"] == 2
    assert np.isnan(found["judges"][0]["same"])
    assert found["consistency"]["n"] == 0
    assert agreement(planted(np.zeros((0, 0))))["judges"] == []


def test_repeats_and_checks_count_for_the_judge_and_not_for_agreement():
    rows = [
        ("j0", place, f"t{place}", "a" if place % 2 else "b", False, False, "")
        for place in range(10)
    ]
    rows += [
        ("j0", 20 + place, f"t{place}", "a" if place % 2 or place == 0 else "b", True, False, "")
        for place in range(4)
    ]
    rows += [
        ("j0", 30 + place, f"c{place}", "a", False, True, "b" if place < 2 else "a")
        for place in range(5)
    ]
    rows += [("j1", place, f"c{place}", "a", False, True, "b") for place in range(4)]
    shuffled = table(rows).sample(frac=1, random_state=0)
    answers, judges, triplets = answer_matrix(shuffled)
    assert answers.tolist() == [[1, 0] * 5]
    assert (judges, len(triplets)) == (["j0"], 10)
    found = judge_table(shuffled).set_index("judge")
    assert found.loc["j0", ["answers", "repeats", "same"]].tolist() == [10, 4, 0.75]
    assert found.loc["j0", ["checks", "attentive", "flagged"]].tolist() == [5, 0.6, True]
    # Four checks are too few to blame anybody.
    assert found.loc["j1", ["checks", "attentive", "flagged"]].tolist() == [4, 0.0, False]


def test_flagged_judges_can_be_left_out():
    truth = np.arange(40) % 2
    answers = np.vstack([truth, truth, 1 - truth]).astype(float)
    checks = table(
        [
            (f"j{judge}", 100 + place, f"c{place}", "b" if judge == 2 else "a", False, True, "a")
            for judge in range(3)
            for place in range(5)
        ]
    )
    found = agreement(pd.concat([planted(answers), checks]))
    assert [one["flagged"] for one in found["judges"]] == [False, False, True]
    assert found["all"]["alpha"]["value"] < 0
    assert found["attentive"]["alpha"]["value"] == 1.0
    assert found["attentive"]["alpha"]["judges"] == 2


def test_wilson_intervals_by_hand():
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-3)
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-3)
    assert wilson(10, 10) == pytest.approx((0.7225, 1.0), abs=1e-3)
    assert np.isnan(wilson(0, 0)).all()
