"""Agreement of synthetic listeners (perfect, random, inattentive) and of hand-computed cases."""

import numpy as np
import pandas as pd
import pytest

from mess_core.judgements.agreement import (
    agreement,
    answer_matrix,
    krippendorff_alpha,
    leave_one_out,
    listener_table,
    perfect_measure,
    split_half,
    vetted,
)


def table(rows):
    columns = ["listener", "position", "triplet_id", "answer", "repeat", "attention", "expected"]
    return pd.DataFrame(rows, columns=columns).assign(seconds=2.0)


def first_answers(answers):
    """Return judgements with these first answers, an array [listeners, triplets] of 0, 1 or NaN."""
    return table(
        [
            (f"j{listener}", column, f"t{column}", "ab"[int(value)], False, False, "")
            for listener, row in enumerate(answers)
            for column, value in enumerate(row)
            if not np.isnan(value)
        ]
    )


def test_identical_listeners_have_alpha_one():
    ground_truth = np.random.default_rng(0).integers(0, 2, 50).astype(float)
    answers = np.tile(ground_truth, (5, 1))
    found = agreement(first_answers(answers))
    expected = {"low": 1.0, "high": 1.0, "listeners": 5, "triplets": 50, "answers": 250}
    for name in ("alpha", "split_half", "leave_one_out"):
        assert found["all"][name] == {"value": pytest.approx(1.0), **expected}, name
    assert found["all"]["perfect"] == 1.0


def test_random_listeners_have_alpha_near_zero():
    answers = np.random.default_rng(1).integers(0, 2, (8, 400)).astype(float)
    assert krippendorff_alpha(answers).value == pytest.approx(0, abs=0.03)
    found = split_half(answers)
    assert found.low < 0.5 < found.high
    assert found.high - found.low < 0.2


def test_alpha_of_noisy_listeners_matches_theory():
    # If each listener errs with probability e, alpha tends to (1 - 2e)^2 for balanced answers.
    rng = np.random.default_rng(2)
    ground_truth = np.arange(2000) % 2
    answers = (ground_truth ^ (rng.random((6, 2000)) < 0.2)).astype(float)
    assert krippendorff_alpha(answers).value == pytest.approx(0.36, abs=0.02)


def test_alpha_matches_hand_computation_and_ignores_labels():
    # Six of ten answers agree. With labels counted both ways, chance is 1/2 with the usual
    # small-sample correction: observed disagreement 0.4, expected 20 / 39,
    # alpha = 1 - 0.4 * 39 / 20.
    answers = np.array([[0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]], float)
    found = krippendorff_alpha(answers)
    assert found.value == pytest.approx(1 - 0.4 * 39 / 20)
    assert (found.listeners, found.triplets, found.answers) == (2, 10, 20)
    assert np.isnan(found.low)  # two listeners are too few for an interval
    swapped = np.where(np.arange(10) % 2, 1 - answers, answers)
    assert krippendorff_alpha(swapped).value == pytest.approx(found.value)
    # A triplet with a single answer does not count.
    wider = np.hstack([answers, [[1], [np.nan]]])
    assert krippendorff_alpha(wider).value == found.value
    assert krippendorff_alpha(wider).triplets == 10


def test_leave_one_out_matches_hand_computation():
    # First triplet: all four agree. Second: three agree with the majority of the others, and the
    # fourth does not.
    answers = np.array([[0, 1], [0, 0], [0, 0], [0, 0]], float)
    assert leave_one_out(answers).value == pytest.approx(7 / 8)
    # The others of the first two listeners are tied. The third listener disagrees with both.
    assert leave_one_out(np.array([[0.0], [0.0], [1.0]])).value == 0.0
    assert np.isnan(leave_one_out(answers[:2]).value)  # one other listener is no majority


def test_noise_ceiling_matches_the_ground_truth():
    rng = np.random.default_rng(5)
    ground_truth = rng.integers(0, 2, 4000)
    answers = (ground_truth ^ (rng.random((6, 4000)) < 0.3)).astype(float)
    found = split_half(answers, splits=20)
    half = (answers[:3].sum(axis=0) > 1.5) == ground_truth
    assert perfect_measure(found.value) == pytest.approx(half.mean(), abs=0.02)
    assert perfect_measure(0.45) == 0.5
    assert np.isnan(perfect_measure(np.nan))  # a single listener has no halves


def test_intervals_account_for_variance_between_listeners():
    """The intervals cover the mean of a population of listeners with different abilities."""
    rng = np.random.default_rng(6)
    covered = []
    for study in range(40):
        ability = rng.uniform(0.55, 0.95, 6)
        answers = (rng.random((6, 60)) > ability[:, None]).astype(float)
        found = leave_one_out(answers, seed=study)
        covered.append((found.low, found.high))
    # Expected value in the population.
    abilities = np.random.default_rng(7).uniform(0.55, 0.95, (400, 6))
    values = [
        leave_one_out((np.random.default_rng(s).random((6, 400)) > one[:, None]).astype(float))
        .value for s, one in enumerate(abilities[:60])
    ]  # fmt: skip
    population = np.mean(values)
    assert np.mean([low <= population <= high for low, high in covered]) > 0.85


@pytest.mark.parametrize(
    ("answers", "value"),
    [
        ([[0, 0, 1, 1], [0, 1, 1, 0]], 0.5),  # two listeners: the share of equal answers
        ([[0, 0, 1], [1, 1, 0]], 0.0),
        # Three listeners, one of whom differs on the second triplet: a half of two listeners is
        # tied there unless the dissenter is alone in the other half.
        ([[0, 0], [0, 0], [0, 1]], None),
    ],
)
def test_split_half_matches_hand_computation(answers, value):
    found = split_half(np.array(answers, float), splits=600)
    if value is None:
        # Second triplet: with probability 1/3 the dissenter is alone and the halves disagree;
        # otherwise one half is tied and counts one half.
        assert found.value == pytest.approx((1 + (1 / 3 * 0 + 2 / 3 * 0.5)) / 2, abs=0.02)
    else:
        assert found.value == value
    assert found.triplets == len(answers[0])


def test_agreement_of_one_or_no_listener_is_nan():
    for answers in (np.array([[0.0, 1.0, 1.0]]), np.zeros((0, 0)), np.full((2, 3), np.nan)):
        for measure in (krippendorff_alpha, split_half, leave_one_out):
            found = measure(answers)
            assert np.isnan([found.value, found.low, found.high]).all()
            assert found.triplets == 0
    assert krippendorff_alpha(np.zeros((3, 5))).value == pytest.approx(1.0)  # all answer "a"
    found = agreement(first_answers(np.array([[0.0, 1.0]])))
    assert found["listeners"][0]["answers"] == 2
    assert np.isnan(found["listeners"][0]["same"])
    assert found["consistency"]["n"] == 0
    assert agreement(first_answers(np.zeros((0, 0))))["listeners"] == []


def test_repeats_and_checks_do_not_count_towards_agreement():
    rows = [("j0", row, f"t{row}", "a" if row % 2 else "b", False, False, "") for row in range(10)]
    rows += [
        ("j0", 20 + row, f"t{row}", "a" if row % 2 or row == 0 else "b", True, False, "")
        for row in range(4)
    ]
    rows += [
        ("j0", 30 + row, f"c{row}", "a", False, True, "b" if row < 2 else "a") for row in range(5)
    ]
    rows += [("j1", row, f"c{row}", "a", False, True, "b") for row in range(4)]
    shuffled = table(rows).sample(frac=1, random_state=0)
    answers, listeners, triplets = answer_matrix(shuffled)
    assert answers.tolist() == [[1, 0] * 5]
    assert (listeners, len(triplets)) == (["j0"], 10)
    found = listener_table(shuffled).set_index("listener")
    assert found.loc["j0", ["answers", "repeats", "same"]].tolist() == [10, 4, 0.75]
    assert found.loc["j0", ["checks", "attentive", "status"]].tolist() == [5, 0.6, "failed"]
    # Four checks are too few for a listener to fail.
    assert found.loc["j1", ["checks", "attentive", "status"]].tolist() == [4, 0.0, "unvetted"]


@pytest.mark.parametrize(
    ("correct", "checks", "status"),
    [(0, 0, "unvetted"), (3, 3, "unvetted"), (4, 4, "passed"), (4, 5, "unvetted"),
     (3, 5, "failed"), (8, 10, "unvetted"), (9, 10, "passed"), (7, 10, "failed")],
)  # fmt: skip
def test_listeners_pass_only_if_guessing_is_unlikely(correct, checks, status):
    rows = [("j", k, f"c{k}", "a" if k < correct else "b", False, True, "a") for k in range(checks)]
    rows.append(("j", 99, "t", "a", False, False, ""))
    found = listener_table(table(rows))
    assert found["status"].item() == status
    assert len(vetted(table(rows))) == (len(rows) if status == "passed" else 0)


def test_agreement_of_listeners_who_passed_is_reported_separately():
    ground_truth = np.arange(40) % 2
    answers = np.vstack([ground_truth, ground_truth, 1 - ground_truth]).astype(float)
    checks = table(
        [
            (
                f"j{listener}",
                100 + row,
                f"c{row}",
                "b" if listener == 2 else "a",
                False,
                True,
                "a",
            )
            for listener in range(3)
            for row in range(5)
        ]
    )
    found = agreement(pd.concat([first_answers(answers), checks]))
    assert [one["status"] for one in found["listeners"]] == ["passed", "passed", "failed"]
    assert found["all"]["alpha"]["value"] < 0
    assert found["passed"]["alpha"]["value"] == pytest.approx(1.0)
    assert found["passed"]["alpha"]["listeners"] == 2
