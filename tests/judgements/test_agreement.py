"""Planted listeners: perfect, random, inattentive; and cases computed by hand."""

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


def planted(answers):
    """Judgements whose first answers are an array [listeners, triplets] of 0, 1 or NaN."""
    return table(
        [
            (f"j{listener}", place, f"t{place}", "ab"[int(value)], False, False, "")
            for listener, row in enumerate(answers)
            for place, value in enumerate(row)
            if not np.isnan(value)
        ]
    )


def test_judges_of_one_mind_have_alpha_one():
    truth = np.random.default_rng(0).integers(0, 2, 50).astype(float)
    answers = np.tile(truth, (5, 1))
    found = agreement(planted(answers))
    whole = {"low": 1.0, "high": 1.0, "listeners": 5, "triplets": 50, "answers": 250}
    for name in ("alpha", "split_half", "leave_one_out"):
        assert found["all"][name] == {"value": pytest.approx(1.0), **whole}, name
    assert found["all"]["perfect"] == 1.0


def test_judges_who_toss_coins_have_alpha_near_zero():
    answers = np.random.default_rng(1).integers(0, 2, (8, 400)).astype(float)
    assert krippendorff_alpha(answers).value == pytest.approx(0, abs=0.03)
    found = split_half(answers)
    assert found.low < 0.5 < found.high
    assert found.high - found.low < 0.2


def test_noise_lowers_alpha_as_reckoned():
    # Each listener errs on a share e: alpha tends to (1 - 2e)^2 for balanced answers.
    rng = np.random.default_rng(2)
    truth = np.arange(2000) % 2
    answers = (truth ^ (rng.random((6, 2000)) < 0.2)).astype(float)
    assert krippendorff_alpha(answers).value == pytest.approx(0.36, abs=0.02)


def test_alpha_by_hand_and_whatever_clip_is_called_a():
    # Six of ten agree. With labels both ways chance is 1/2 less the usual small correction:
    # observed disagreement 0.4, expected 20 / 39: alpha = 1 - 0.4 * 39 / 20.
    answers = np.array([[0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]], float)
    found = krippendorff_alpha(answers)
    assert found.value == pytest.approx(1 - 0.4 * 39 / 20)
    assert (found.listeners, found.triplets, found.answers) == (2, 10, 20)
    assert np.isnan(found.low)  # two listeners say nothing of others
    turned = np.where(np.arange(10) % 2, 1 - answers, answers)
    assert krippendorff_alpha(turned).value == pytest.approx(found.value)
    # A triplet of one listener pairs with nothing.
    wider = np.hstack([answers, [[1], [np.nan]]])
    assert krippendorff_alpha(wider).value == found.value
    assert krippendorff_alpha(wider).triplets == 10


def test_a_judge_against_the_others_by_hand():
    # First triplet: all alike. Second: one of four against three: the three are right with
    # the majority of the others, the one is not.
    answers = np.array([[0, 1], [0, 0], [0, 0], [0, 0]], float)
    assert leave_one_out(answers).value == pytest.approx(7 / 8)
    # Of three, the two who differ have tied others: left out; the third disagrees... with none.
    assert leave_one_out(np.array([[0.0], [0.0], [1.0]])).value == 0.0
    assert np.isnan(leave_one_out(answers[:2]).value)  # one other is no majority


def test_a_perfect_measure_agrees_with_half_the_judges_as_reckoned():
    rng = np.random.default_rng(5)
    truth = rng.integers(0, 2, 4000)
    answers = (truth ^ (rng.random((6, 4000)) < 0.3)).astype(float)
    found = split_half(answers, splits=20)
    half = (answers[:3].sum(axis=0) > 1.5) == truth
    assert perfect_measure(found.value) == pytest.approx(half.mean(), abs=0.02)
    assert perfect_measure(0.45) == 0.5
    assert np.isnan(perfect_measure(np.nan))  # of one listener there are no halves


def test_intervals_hold_judges_too_and_cover():
    """Judges of different ability: the interval must allow for others of them."""
    rng = np.random.default_rng(6)
    covered = []
    for study in range(40):
        able = rng.uniform(0.55, 0.95, 6)
        answers = (rng.random((6, 60)) > able[:, None]).astype(float)
        found = leave_one_out(answers, seed=study)
        covered.append((found.low, found.high))
    # What such listeners reach on average, over all that there are.
    able = np.random.default_rng(7).uniform(0.55, 0.95, (400, 6))
    many = [
        leave_one_out((np.random.default_rng(s).random((6, 400)) > one[:, None]).astype(float))
        .value for s, one in enumerate(able[:60])
    ]  # fmt: skip
    truth = np.mean(many)
    assert np.mean([low <= truth <= high for low, high in covered]) > 0.85


@pytest.mark.parametrize(
    ("answers", "value"),
    [
        ([[0, 0, 1, 1], [0, 1, 1, 0]], 0.5),  # two listeners: the share of equal answers
        ([[0, 0, 1], [1, 1, 0]], 0.0),
        # One of three against two: the two agree on the first triplet (the third may not) and
        # are tied on the second unless the odd listener stands alone.
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
        for measure in (krippendorff_alpha, split_half, leave_one_out):
            found = measure(answers)
            assert np.isnan([found.value, found.low, found.high]).all()
            assert found.triplets == 0
    assert krippendorff_alpha(np.zeros((3, 5))).value == pytest.approx(1.0)  # all say "a"
    found = agreement(planted(np.array([[0.0, 1.0]])))
    assert found["listeners"][0]["answers"] == 2
    assert np.isnan(found["listeners"][0]["same"])
    assert found["consistency"]["n"] == 0
    assert agreement(planted(np.zeros((0, 0))))["listeners"] == []


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
    answers, listeners, triplets = answer_matrix(shuffled)
    assert answers.tolist() == [[1, 0] * 5]
    assert (listeners, len(triplets)) == (["j0"], 10)
    found = listener_table(shuffled).set_index("listener")
    assert found.loc["j0", ["answers", "repeats", "same"]].tolist() == [10, 4, 0.75]
    assert found.loc["j0", ["checks", "attentive", "status"]].tolist() == [5, 0.6, "failed"]
    # Four checks are too few to blame anybody, but not to trust in everybody.
    assert found.loc["j1", ["checks", "attentive", "status"]].tolist() == [4, 0.0, "unvetted"]


@pytest.mark.parametrize(
    ("right", "of", "status"),
    [(0, 0, "unvetted"), (3, 3, "unvetted"), (4, 4, "passed"), (4, 5, "unvetted"),
     (3, 5, "failed"), (8, 10, "unvetted"), (9, 10, "passed"), (7, 10, "failed")],
)  # fmt: skip
def test_who_has_passed_is_not_who_has_tossed_coins(right, of, status):
    rows = [("j", k, f"c{k}", "a" if k < right else "b", False, True, "a") for k in range(of)]
    rows.append(("j", 99, "t", "a", False, False, ""))
    found = listener_table(table(rows))
    assert found["status"].item() == status
    assert len(vetted(table(rows))) == (len(rows) if status == "passed" else 0)


def test_only_who_passed_counts_apart():
    truth = np.arange(40) % 2
    answers = np.vstack([truth, truth, 1 - truth]).astype(float)
    checks = table(
        [
            (
                f"j{listener}",
                100 + place,
                f"c{place}",
                "b" if listener == 2 else "a",
                False,
                True,
                "a",
            )
            for listener in range(3)
            for place in range(5)
        ]
    )
    found = agreement(pd.concat([planted(answers), checks]))
    assert [one["status"] for one in found["listeners"]] == ["passed", "passed", "failed"]
    assert found["all"]["alpha"]["value"] < 0
    assert found["passed"]["alpha"]["value"] == pytest.approx(1.0)
    assert found["passed"]["alpha"]["listeners"] == 2
