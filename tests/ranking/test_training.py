"""Heads find planted signals on works they did not see, and nothing in shuffled labels."""

import numpy as np
import pytest
import torch

from mess_core.errors import MessError
from mess_core.ranking.heads import make_head
from mess_core.ranking.pairs import (
    content_triplets,
    expression_distances,
    expression_triplets,
    expression_unit,
    shuffled_within,
)
from mess_core.ranking.rerank import Reranker, interactions
from mess_core.ranking.training import Material, Settings, train_head

LAYERS, DIM = 3, 16


def library(seed=0, works=36, passages=3, players=4):
    """Layer 1 holds the way of playing in two dimensions under much that is played."""
    rng = np.random.default_rng(seed)
    vectors, values, names, groups, who = [], [], [], [], []
    for work in range(works):
        for passage in range(passages):
            what = rng.normal(0, 2.0, (LAYERS, DIM))
            for player in range(players):
                way = rng.normal(0, 1.0, 2)
                vector = what + rng.normal(0, 1.2, (LAYERS, DIM))
                vector[1, :2] = 2.0 * way + 0.1 * rng.normal(size=2)
                vectors.append(vector)
                values.append(way)
                names.append(f"{work}#{passage}")
                groups.append(f"w{work}")
                who.append(f"player {player}")
    return (
        np.array(vectors, dtype=np.float32), np.array(values), np.array(names), np.array(groups),
        np.array(who),
    )  # fmt: skip


def material(rows, shuffled=False, seed=0):
    vectors, values, names, groups, _ = (part[rows] for part in library(seed))
    values = shuffled_within(values, names.tolist(), seed=5) if shuffled else values
    passages = names.tolist()
    apart = expression_distances(values, passages, expression_unit(values, passages))
    return Material(vectors, expression_triplets(apart), passages, groups.tolist(), False)


def accuracy(unit, triplets):
    similarity = unit @ unit.T
    x, near, far = triplets.T
    return float((similarity[x, near] > similarity[x, far]).mean())


def sides():
    groups = library()[3]
    tested = np.isin(groups, [f"w{one}" for one in range(12)])
    return np.flatnonzero(~tested), np.flatnonzero(tested)


@pytest.mark.parametrize(
    ("kind", "loss"),
    [("diagonal", "triplet"), ("linear", "infonce"), ("linear", "supcon"), ("mlp", "infonce")],
)
def test_a_planted_way_of_playing_is_learned_for_other_works(kind, loss):
    train, test = sides()
    rate = 0.05 if kind == "diagonal" else 3e-3
    settings = Settings(kind, loss, learning_rate=rate, weight_decay=0.0, epochs=120)
    trained = train_head(material(train), settings)
    asked = material(test)
    learned = accuracy(trained.head(asked.vectors), asked.triplets)
    mean = asked.vectors.mean(axis=1)
    frozen = accuracy(mean / np.linalg.norm(mean, axis=1, keepdims=True), asked.triplets)
    # So little data is not for an MLP: it is only asked to be better than no learning.
    assert learned > frozen + (0.02 if kind == "mlp" else 0.05), (learned, frozen)


def test_shuffled_labels_teach_nothing():
    train, test = sides()
    trained = train_head(material(train, shuffled=True), Settings("linear", "infonce", epochs=60))
    asked = material(test, shuffled=True)
    assert abs(accuracy(trained.head(asked.vectors), asked.triplets) - 0.5) < 0.08


def test_training_is_the_same_each_time_and_stops_by_itself():
    train, _ = sides()
    settings = Settings("linear", "infonce", epochs=60, patience=5)
    first, second = (train_head(material(train), settings) for _ in range(2))
    for name, array in first.head.arrays.items():
        np.testing.assert_array_equal(array, second.head.arrays[name])
    assert len(first.history) < 60 or first.epoch > 50
    assert first.history[first.epoch] == max(first.history)


def test_the_scaler_knows_only_what_was_learned_from():
    train, _ = sides()
    given = material(train)
    trained = train_head(given, Settings("diagonal", "triplet", epochs=3))
    groups = np.asarray(given.groups)
    means = {name: given.vectors[groups == name].mean(axis=0) for name in np.unique(groups)}
    mean = trained.head.arrays["mean"]
    assert not np.allclose(mean, given.vectors.mean(axis=0))  # stopping works are left out
    held = round(0.25 * len(means))
    order = np.random.default_rng(0).permutation(np.unique(groups))
    kept = [means[name] for name in order[held:]]
    np.testing.assert_allclose(mean, np.mean(kept, axis=0), atol=1e-5)


@pytest.mark.parametrize("kind", ["diagonal", "linear", "mlp"])
def test_what_is_served_is_what_was_trained(kind):
    vectors = library()[0][:20]
    mean, scale = vectors.mean(axis=0), vectors.std(axis=0)
    model = make_head(kind, LAYERS, DIM, seed=1)
    with torch.no_grad():
        model.layer_logits += torch.tensor([0.3, -0.2, 0.5])
        expected = model(torch.from_numpy((vectors - mean) / scale)).numpy()
    served = model.export(mean, scale, {})(vectors)
    np.testing.assert_allclose(served, expected, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(served, axis=1), 1.0, atol=1e-5)


def test_content_pairs_are_other_performers_and_half_the_negatives_ones_own():
    _, _, names, _, who = library()
    tracks = np.char.add(np.char.add(names, " by "), who)
    triplets = content_triplets(names.tolist(), who.tolist(), tracks.tolist())
    x, positive, negative = triplets.T
    assert np.all(names[x] == names[positive])
    assert np.all(who[x] != who[positive])
    assert np.all(names[x] != names[negative])
    assert np.mean(who[x] == who[negative]) == pytest.approx(0.5)
    with pytest.raises(MessError, match="two performers"):
        content_triplets(["a", "b"], ["p", "p"], ["t", "u"])


def test_expression_triplets_stay_within_a_passage_and_order_distances():
    _, values, names, _, _ = library()
    unit = expression_unit(values, names.tolist())
    within = expression_distances(values, names.tolist(), unit)
    assert sorted(np.concatenate([members for members, _ in within])) == list(range(len(values)))
    triplets = expression_triplets(within)
    x, near, far = triplets.T
    assert np.all((names[x] == names[near]) & (names[x] == names[far]))
    scaled = values / unit
    apart = [np.linalg.norm(scaled[x] - scaled[other], axis=1) for other in (near, far)]
    assert np.all(apart[0] < 0.9 * apart[1] + 1e-9)
    assert not np.any((x == near) | (x == far))


def test_too_little_to_learn_from_is_said():
    given = material(np.arange(12))  # one work
    with pytest.raises(MessError, match="at least two works"):
        train_head(given, Settings("linear", "infonce"))


def test_a_reranker_finds_the_layer_that_matters():
    train, test = sides()
    learn, asked = material(train), material(test)

    def features(which, first, second):
        nothing = np.zeros((len(which.vectors), 0))
        return interactions(which.vectors, nothing, first, second)

    x, near, far = learn.triplets.T
    fitted = Reranker().fit(features(learn, x, near), features(learn, x, far))
    x, near, far = asked.triplets.T
    better = fitted.score(features(asked, x, near)) > fitted.score(features(asked, x, far))
    plain = features(asked, x, near).mean(axis=1) > features(asked, x, far).mean(axis=1)
    assert better.mean() > plain.mean() + 0.02
    with pytest.raises(MessError, match="not fitted"):
        Reranker().score(np.zeros((1, 3)))
