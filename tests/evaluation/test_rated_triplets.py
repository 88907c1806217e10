"""Triplets from ratings: the protocol on synthetic raters, a baseline on real ones."""

import shutil
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest

from mess_core.datasets.demo import Expression, demo_score, perform, write_midi
from mess_core.datasets.percepiano import (
    SCALES,
    passage_groups,
    passage_movements,
    rated_passages,
    read_ratings,
)
from mess_core.errors import DatasetError
from mess_core.evaluation.permuted_labels import control_table, permuted_players
from mess_core.evaluation.rated_protocol import evaluate_on_ratings, nested_distances, rated_works
from mess_core.evaluation.rated_triplets import accuracy_per_passage, mean_ratings, rated_triplets
from mess_core.evaluation.run import evaluate_library
from mess_core.midi.reading import read_performance
from mess_core.ranking.descriptors import standardised
from mess_core.ranking.scaling import pair_distances
from mess_core.targets.first_published import first_published_targets

QUESTION_COLUMNS = [f"Question_{number}" for number in range(len(SCALES))]


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory):
    """Ratings by raters who respond only to pedal and tempo, with noise and individual biases."""
    folder = tmp_path_factory.mktemp("percepiano")
    (folder / "midi").mkdir()
    rng = np.random.default_rng(4)
    weights = rng.normal(0, 1, (2, len(SCALES)))
    ratings, answers = [], []
    for piece in range(1, 7):
        passage = f"Composer_Op{piece}_8bars_1"
        for player in [*range(7), "Score"]:
            style = rng.normal(0, 1, 2) if player != "Score" else np.array([-4.0, 0.0])
            expression = Expression(
                pedal=float(np.clip(0.5 + 0.2 * style[0], 0.05, 0.95)),
                tempo_factor=float(2 ** (0.15 * style[1])),
                velocity=float(rng.normal(64, 8)),
                articulation=float(rng.uniform(0.7, 1.0)),
            )
            name = f"{passage}_{player}"
            notes = perform(demo_score(piece, bars=4), expression, seed=int(rng.integers(1e6)))
            write_midi(notes, folder / "midi" / f"{name}.mid")
            perceived = style @ weights
            for rater in range(12):
                bias = np.random.default_rng(rater).normal(0, 1.0)
                rating = 4 + 0.8 * perceived + bias + rng.normal(0, 0.8, len(SCALES))
                answers.append([rater, 1, f"{name}.wav", *rating])
            ratings.append([passage, player, f"midi/{name}.mid", *(perceived / 14 + 0.5)])
    columns = ["passage", "player", "midi", *SCALES]
    pd.DataFrame(ratings, columns=columns).to_csv(folder / "ratings.csv", index=False)
    columns = ["user", "dataID", "filename", *QUESTION_COLUMNS]
    table = pd.DataFrame(answers, columns=columns)
    pd.concat([table, table.iloc[:100]]).to_csv(folder / "raters.csv", index=False)
    return folder


def test_duplicate_answers_count_once(synthetic):
    _, answers = read_ratings(synthetic)
    assert len(answers) == 6 * 8 * 12


def test_a_folder_without_percepiano_raises_at_once(synthetic, tmp_path):
    with pytest.raises(DatasetError, match="not a PercePiano folder"):
        evaluate_library(str(tmp_path / "no library"), percepiano=str(tmp_path))
    shutil.copytree(synthetic, tmp_path / "other")
    table = pd.read_csv(synthetic / "raters.csv")
    table.drop(columns=QUESTION_COLUMNS[-1]).to_csv(tmp_path / "other" / "raters.csv", index=False)
    with pytest.raises(DatasetError, match="not a PercePiano folder"):
        read_ratings(tmp_path / "other")


def test_passages_that_share_bars_are_one_group():
    names = ["S_D960_mv2_8bars_01", "S_D960_mv2_16bars_01", "S_D960_mv2_8bars_02",
             "S_D960_mv2_8bars_03", "S_D960_mv3_8bars_01", "B_WoO80_var8_8bars_6",
             "odd"]  # fmt: skip
    groups = passage_groups(names)
    together = {groups[name] for name in names[:3]}
    assert len(together) == 1
    assert len(set(groups.values())) == 5
    assert passage_movements(names)["B_WoO80_var8_8bars_6"] == "B_WoO80"


def test_deadpan_renders_are_left_out_and_triplets_have_three_performances(synthetic):
    ratings, answers = read_ratings(synthetic)
    passages = rated_passages(ratings)
    assert all("Score" not in one.players for one in passages)
    found = rated_triplets(passages, answers, splits=2, triplets=50)
    assert len(found) == 12
    for one in found:
        assert one.index.shape == (50, 3)
        assert all(len(set(row)) == 3 for row in one.index.tolist())
        assert one.index.max() < 7
    assert rated_works(passages) == {f"composer:op{one}" for one in range(1, 7)}


def mean_accuracy(triplets, distances=None):
    return np.mean(list(accuracy_per_passage(triplets, distances).values()))


def test_halves_of_raters_agree_and_permuted_ratings_do_not(synthetic):
    ratings, answers = read_ratings(synthetic)
    passages = rated_passages(ratings)
    triplets = rated_triplets(passages, answers)
    assert mean_accuracy(triplets) > 0.8
    # Both halves and the learner see the same permutation, so only memorising it helps.
    permuted = permuted_players(answers, seed=3)
    known = mean_ratings(passages, permuted)
    names = [one.passage for one in passages]
    memory = {n: pair_distances(one) for n, one in zip(names, known, strict=True)}
    assert mean_accuracy(rated_triplets(passages, permuted), memory) > 0.8
    assert abs(mean_accuracy(triplets, memory) - 0.5) < 0.1


def test_a_rater_is_never_in_both_halves(synthetic):
    """Repeated noise of one rater must not count as agreement between raters."""
    ratings, answers = read_ratings(synthetic)
    passages = rated_passages(ratings)
    rng = np.random.default_rng(0)
    scales = list(SCALES)
    noise = answers.assign(**{scale: rng.normal(size=len(answers)) for scale in scales})
    repeated = noise.assign(**{scale: noise[scale] + 1e-3 for scale in scales})
    twice = pd.concat([noise, repeated], ignore_index=True)
    assert mean_accuracy(rated_triplets(passages, twice)) == pytest.approx(0.5, abs=0.08)
    both = mean_ratings(passages, twice), mean_ratings(passages, noise)
    np.testing.assert_allclose(both[0][0], both[1][0], atol=1e-2)


def test_mean_ratings_do_not_depend_on_answers_to_other_passages(synthetic):
    ratings, answers = read_ratings(synthetic)
    passages = rated_passages(ratings)
    changed = answers.copy()
    outside = changed["passage"] != passages[0].passage
    changed.loc[outside, list(SCALES)] += 100.0
    for one, other in zip(
        mean_ratings(passages[:1], answers), mean_ratings(passages[:1], changed), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_biases_of_raters_are_removed(synthetic):
    ratings, answers = read_ratings(synthetic)
    passages = rated_passages(ratings)
    # One rater answers 3 points higher and rated only some of the performances.
    biased = answers[answers["user"] == 3].sample(frac=0.5, random_state=0).index
    skewed = answers.drop(index=answers[answers["user"] == 3].index.difference(biased))
    skewed.loc[biased, list(SCALES)] += 3.0
    reference, corrected = mean_ratings(passages, answers), mean_ratings(passages, skewed)
    uncorrected = mean_ratings(passages, skewed, prior=1e9)

    def error(found):
        return np.mean([np.abs(a - b).mean() for a, b in zip(found, reference, strict=True)])

    assert error(corrected) < 0.5 * error(uncorrected)


def test_evaluation_on_ratings(synthetic, monkeypatch):
    monkeypatch.setattr("mess_core.ranking.perceived._TREES", 10)
    monkeypatch.setattr("mess_core.ranking.perceived._INNER_FOLDS", 2)
    messages = []
    answers = evaluate_on_ratings(synthetic, say=messages.append)
    found = answers.groupby(["criterion", "system"])["value"].mean()
    learned = "midi, learned from ratings"
    assert found["PercePiano", learned] > 0.72
    assert found["PercePiano", learned] > found["PercePiano", "midi, curves"] + 0.02
    assert found["PercePiano, by movement", learned] > 0.7
    assert found["PercePiano", "raters, other half"] > 0.8
    assert abs(found["PercePiano (permuted)", learned] - 0.5) < 0.1
    assert not control_table(answers, {})["suspicious"].any()
    assert (answers.groupby(["criterion", "system"]).size() == 6).all()
    assert any("by movement" in line for line in messages)


def test_passages_that_share_bars_in_different_folds_raise(synthetic):
    ratings, _ = read_ratings(synthetic)
    passages = [replace(one, group="together") for one in rated_passages(ratings)]
    with pytest.raises(DatasetError, match="overlap"):
        nested_distances(passages, [], pd.DataFrame(), by=[one.passage for one in passages])


def test_one_recording_cut_twice_is_one_group(real_data):
    ratings, _ = read_ratings(real_data / "percepiano")
    wanted = ("D960_mv2_16bars_06", "D960_mv2_8bars_10", "D960_mv3_16bars_08", "D960_mv3_8bars_14")
    chosen = ratings[ratings["passage"].str.endswith(wanted)]
    group = {one.passage.removeprefix("Schubert_"): one.group for one in rated_passages(chosen)}
    assert group["D960_mv2_16bars_06"] == group["D960_mv2_8bars_10"]
    assert group["D960_mv3_16bars_08"] == group["D960_mv3_8bars_14"]
    assert len(set(group.values())) == 2


def test_the_first_published_descriptors_reach_their_known_accuracy(real_data, monkeypatch):
    read = cache(read_performance)  # each file is read twice: for grouping and for descriptors
    monkeypatch.setattr("mess_core.datasets.percepiano.read_performance", read)
    ratings, answers = read_ratings(real_data / "percepiano")
    passages = rated_passages(ratings)
    assert len(passages) == 47
    triplets = rated_triplets(passages, answers)
    distances = {
        one.passage: pair_distances(
            standardised([first_published_targets(read(path)) for path in one.midi])
        )
        for one in passages
    }
    accuracy = np.mean(list(accuracy_per_passage(triplets, distances).values()))
    assert accuracy == pytest.approx(0.520, abs=0.01)
