"""Sidecars record how embeddings were computed, and different embeddings never mix."""

import numpy as np
import pytest

from mess_core.errors import EncoderError, StoreError
from mess_core.store import EmbeddingStore, Layout

IDENTITY = {
    "encoder": "e@1",
    "window_s": 5.0,
    "hop_s": 2.5,
    "normalise": "window",
    "pooling": "mean",
    "layers": [0, 1],
    "dtype": "float32",
    "version": "1",
}


def _write(store, track_id="a", **changes):
    rng = np.random.default_rng(len(track_id))
    segments = rng.standard_normal((3, 2, 4)).astype(np.float32)
    sidecar = {**IDENTITY, "audio_sha256": "0" * 64, "start_s": [0], "end_s": [1], **changes}
    store.write("d", track_id, segments=segments, track=segments.mean(axis=0), sidecar=sidecar)
    return segments


@pytest.fixture
def store(tmp_path):
    return EmbeddingStore(Layout(tmp_path, "untrained-tiny"))


def test_round_trip_types(store):
    segments = _write(store)
    back = store.read("segments", "d", "a")
    assert back.dtype == np.float16
    assert store.read("aggregated", "d", "a").dtype == np.float32
    np.testing.assert_allclose(back, segments, atol=2e-3)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"encoder": "e@2"}, "other encoder"),
        ({"window_s": 10.0}, "other window_s"),
        ({"normalise": "track"}, "other normalise"),
        ({"layers": [0]}, "other layers"),
    ],
)
def test_stale_embeddings_are_detected(store, change, reason):
    _write(store)
    assert store.staleness("d", "a", wanted=IDENTITY, audio_sha256="0" * 64) is None
    assert reason in store.staleness("d", "a", wanted=IDENTITY | change, audio_sha256="0" * 64)


def test_changed_audio_and_missing_tracks_are_stale(store):
    _write(store)
    assert "audio" in store.staleness("d", "a", wanted=IDENTITY, audio_sha256="1" * 64)
    assert store.staleness("d", "b", wanted=IDENTITY, audio_sha256="1" * 64) == "missing"


def test_two_encoders_never_mix(store):
    _write(store, "a")
    _write(store, "bb", encoder="other@1")
    with pytest.raises(StoreError, match="another encoder"):
        store.matrix([("d", "a"), ("d", "bb")])


def test_interrupted_rewrite_counts_as_missing(store, monkeypatch):
    _write(store)
    import mess_core.store.embeddings as module

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "write_json", stop)
    with pytest.raises(KeyboardInterrupt):
        _write(store, encoder="e@2")
    assert store.sidecar("d", "a") is None
    with pytest.raises(StoreError, match="no embedding"):
        store.read("segments", "d", "a")


def test_non_finite_values_are_refused(store):
    bad = np.full((1, 2, 4), 1e6)  # infinite in float16
    with pytest.raises(EncoderError, match="not finite"):
        store.write("d", "a", segments=bad, track=bad[0], sidecar={**IDENTITY, "audio_sha256": "0"})
    assert store.sidecar("d", "a") is None
