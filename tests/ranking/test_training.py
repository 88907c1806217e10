"""Heads recover a synthetic signal on unseen works and learn nothing from shuffled labels."""

import numpy as np
import pytest
import torch

from mess_core.errors import MessError
from mess_core.ranking.heads import make_head
from mess_core.ranking.rerank import Reranker, interactions
from mess_core.ranking.training import Material, Settings, train_head
from mess_core.ranking.triplets import (
    content_triplets,
    expression_distances,
    expression_triplets,
    expression_unit,
    shuffled_within,
)

LAYERS, DIM = 3, 16


def library(seed=0, works=36, passages=3, players=4):
    """Make clips whose layer 1 encodes expression in two dimensions, with content in all."""
    rng = np.random.default_rng(seed)
    vectors, values, names, groups, performers = [], [], [], [], []
    for work in range(works):
        for passage in range(passages):
            content = rng.normal(0, 2.0, (LAYERS, DIM))
            for player in range(players):
                expression = rng.normal(0, 1.0, 2)
                vector = content + rng.normal(0, 1.2, (LAYERS, DIM))
                vector[1, :2] = 2.0 * expression + 0.1 * rng.normal(size=2)
                vectors.append(vector)
                values.append(expression)
                names.append(f"{work}#{passage}")
                groups.append(f"w{work}")
                performers.append(f"player {player}")
    return (
        np.array(vectors, dtype=np.float32), np.array(values), np.array(names), np.array(groups),
        np.array(performers),
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
def test_a_synthetic_signal_is_learned_for_unseen_works(kind, loss):
    train, test = sides()
    rate = 0.05 if kind == "diagonal" else 3e-3
    settings = Settings(kind, loss, learning_rate=rate, weight_decay=0.0, epochs=120)
    trained = train_head(material(train), settings)
    unseen = material(test)
    learned = accuracy(trained.head(unseen.vectors), unseen.triplets)
    mean = unseen.vectors.mean(axis=1)
    frozen = accuracy(mean / np.linalg.norm(mean, axis=1, keepdims=True), unseen.triplets)
    # With so little data an MLP is only required to beat the frozen encoder.
    assert learned > frozen + (0.02 if kind == "mlp" else 0.05), (learned, frozen)


def test_shuffled_labels_teach_nothing():
    train, test = sides()
    trained = train_head(material(train, shuffled=True), Settings("linear", "infonce", epochs=60))
    unseen = material(test, shuffled=True)
    assert abs(accuracy(trained.head(unseen.vectors), unseen.triplets) - 0.5) < 0.08


def test_training_is_reproducible_and_stops_early():
    train, _ = sides()
    settings = Settings("linear", "infonce", epochs=60, patience=5)
    first, second = (train_head(material(train), settings) for _ in range(2))
    for name, array in first.head.arrays.items():
        np.testing.assert_array_equal(array, second.head.arrays[name])
    assert len(first.history) < 60 or first.epoch > 50
    assert first.history[first.epoch] == max(first.history)


def test_the_scaler_is_fitted_on_training_works_only():
    train, _ = sides()
    given = material(train)
    trained = train_head(given, Settings("diagonal", "triplet", epochs=3))
    groups = np.asarray(given.groups)
    means = {name: given.vectors[groups == name].mean(axis=0) for name in np.unique(groups)}
    mean = trained.head.arrays["mean"]
    assert not np.allclose(mean, given.vectors.mean(axis=0))  # validation works are left out
    held = round(0.25 * len(means))
    order = np.random.default_rng(0).permutation(np.unique(groups))
    train_means = [means[name] for name in order[held:]]
    np.testing.assert_allclose(mean, np.mean(train_means, axis=0), atol=1e-5)


@pytest.mark.parametrize("kind", ["diagonal", "linear", "mlp"])
def test_a_served_head_equals_the_trained_module(kind):
    vectors = library()[0][:20]
    mean, scale = vectors.mean(axis=0), vectors.std(axis=0)
    model = make_head(kind, LAYERS, DIM, seed=1)
    with torch.no_grad():
        model.layer_logits += torch.tensor([0.3, -0.2, 0.5])
        expected = model(torch.from_numpy((vectors - mean) / scale)).numpy()
    served = model.export(mean, scale, {})(vectors)
    np.testing.assert_allclose(served, expected, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(served, axis=1), 1.0, atol=1e-5)


def test_content_positives_are_by_others_and_half_the_negatives_by_the_same_performer():
    _, _, names, _, performers = library()
    tracks = np.char.add(np.char.add(names, " by "), performers)
    triplets = content_triplets(names.tolist(), performers.tolist(), tracks.tolist())
    x, positive, negative = triplets.T
    assert np.all(names[x] == names[positive])
    assert np.all(performers[x] != performers[positive])
    assert np.all(names[x] != names[negative])
    assert np.mean(performers[x] == performers[negative]) == pytest.approx(0.5)
    with pytest.raises(MessError, match="two performers"):
        content_triplets(["a", "b"], ["p", "p"], ["t", "u"])


def test_expression_triplets_stay_within_a_passage_and_order_distances():
    _, values, names, _, _ = library()
    unit = expression_unit(values, names.tolist())
    distances = expression_distances(values, names.tolist(), unit)
    assert sorted(np.concatenate([members for members, _ in distances])) == list(range(len(values)))
    triplets = expression_triplets(distances)
    x, near, far = triplets.T
    assert np.all((names[x] == names[near]) & (names[x] == names[far]))
    scaled = values / unit
    near_far = [np.linalg.norm(scaled[x] - scaled[other], axis=1) for other in (near, far)]
    assert np.all(near_far[0] < 0.9 * near_far[1] + 1e-9)
    assert not np.any((x == near) | (x == far))


def test_too_little_training_data_raises():
    given = material(np.arange(12))  # one work
    with pytest.raises(MessError, match="at least two works"):
        train_head(given, Settings("linear", "infonce"))


def test_a_reranker_finds_the_layer_that_matters():
    train, test = sides()
    seen, unseen = material(train), material(test)

    def features(data, first, second):
        no_descriptors = np.zeros((len(data.vectors), 0))
        return interactions(data.vectors, no_descriptors, first, second)

    x, near, far = seen.triplets.T
    fitted = Reranker().fit(features(seen, x, near), features(seen, x, far))
    x, near, far = unseen.triplets.T
    better = fitted.score(features(unseen, x, near)) > fitted.score(features(unseen, x, far))
    plain = features(unseen, x, near).mean(axis=1) > features(unseen, x, far).mean(axis=1)
    assert better.mean() > plain.mean() + 0.02
    with pytest.raises(MessError, match="not been fitted"):
        Reranker().score(np.zeros((1, 3)))
