"""Public names of `mess_core`, called as users call them."""

import pkgutil

import numpy as np
import pandas as pd
import pytest

import mess_core as mess


def test_every_public_name_resolves():
    for name in mess.__all__:
        assert getattr(mess, name) is not None


def test_no_public_name_is_hidden_by_a_package_of_the_same_name():
    """Importing a subpackage sets it as an attribute of the package."""
    packages = {one.name for one in pkgutil.iter_modules(mess.__path__)}
    assert not packages & set(mess.__all__)


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no attribute"):
        _ = mess.absent


def test_public_encoder_calls(encoder, corpus):
    wave = 0.1 * np.random.default_rng(0).standard_normal(24_000).astype(np.float32)
    states = encoder.hidden_states(wave)
    assert states.dtype == np.float32
    assert states.shape == (13, 74, 64)
    embedding = encoder.embed(sorted(corpus.glob("*.flac"))[0])
    segments, layers, dim = embedding.segments.shape
    assert embedding.track.shape == (layers, dim) == (13, 64)
    assert embedding.start_s.shape == embedding.end_s.shape == (segments,)


def test_public_target_calls(corpus):
    audio = mess.targets_from_audio(str(sorted(corpus.glob("*.flac"))[0]))
    midi = mess.targets_from_midi(str(sorted(corpus.glob("*.mid"))[0]))
    assert len(audio) == 15
    assert {"velocity_mean", "rubato", "articulation_ratio", "onset_timing_std"} <= set(midi)


def test_public_discover_and_align_calls(corpus):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((40, 3, 8))
    y = pd.DataFrame({"tempo": x[:, 1, 0]})
    works = [f"w{index % 8}" for index in range(40)]
    found = mess.discover(x, y, works, folds=5)
    assert {"layer", "target", "r2"} <= set(found.table.columns)
    assert len(found.table) == 3
    assert found.aspects()["tempo"].weights == {1: 1.0}
    first, second = sorted(corpus.glob("demo_01_*.mid"))
    alignment = mess.align(str(first), str(second))
    assert alignment.map_time(5.0) > 0
    assert 0 <= alignment.confidence(5.0) <= 1


def test_public_library_calls(built):
    library = mess.Library.open(str(built.root))
    hits = library.similar("demo_01_steady", aspects={"brightness": 0.7, "rubato": 0.3}, k=5)
    assert list(hits["rank"]) == [1, 2, 3, 4, 5]
    assert {"track_id", "score", "brightness", "rubato"} <= set(hits.columns)
    np.testing.assert_allclose(hits["score"], hits["brightness"] + hits["rubato"])
    assert library.similar("demo_01_steady", k=99)["score"].is_monotonic_decreasing
    passages = library.passages("demo_01_steady", start_s=3.0, k=4)
    assert {"track_id", "start_s", "end_s", "score"} <= set(passages.columns)
    own = library.passages("demo_01_steady", start_s=3.0, k=50, include_own=True)
    overlapping = own.query(
        "track_id == 'demo_01_steady' and start_s < @own.attrs['query']['end_s'] "
        "and end_s > @own.attrs['query']['start_s']"
    )
    assert overlapping.empty


def test_scores_of_several_aspects_are_sums_of_single_aspect_scores(built):
    library = mess.Library.open(str(built.root))
    weights = {"brightness": 0.7, "phrasing": -0.4, "legato": 1.3}

    def scores(wanted):
        hits = library.similar("demo_02_steady", wanted, k=50, mode="cosine")
        return hits.set_index("track_id")["score"]

    together = scores(weights)
    total = sum(weight * scores({name: 1.0}) for name, weight in weights.items())
    np.testing.assert_allclose(together.sort_index(), total.sort_index(), atol=1e-6)
