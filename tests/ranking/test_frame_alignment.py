"""Clips compared over time: what the path and its cost tell, and where frames come from."""

from dataclasses import replace

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mess_core.encoders import load_encoder
from mess_core.errors import MessError
from mess_core.midi.performance import Performance
from mess_core.ranking.clips import Clips
from mess_core.ranking.frame_alignment import PairAlignments, align_frames
from mess_core.ranking.frames import clip_frames

NOTES = Performance(np.arange(3.0), np.arange(3.0) + 0.5, np.arange(60, 63), np.full(3, 64),
                    np.empty((0, 2)))  # fmt: skip


def sounds(frames=80, dim=6, seed=0):
    rng = np.random.default_rng(seed)
    return np.repeat(rng.standard_normal((frames // 4, dim)), 4, axis=0)


def played(frames, power, length):
    """Play the same, with a tempo that changes by a power of time."""
    at = (len(frames) - 1) * np.linspace(0, 1, length) ** power
    return frames[np.round(at).astype(int)]


@settings(deadline=None)  # the first call compiles
@given(st.integers(0, 50), st.floats(0.1, 10), st.floats(-3, 3))
def test_a_clip_is_aligned_with_itself_whatever_its_level(seed, gain, offset):
    frames = sounds(seed=seed)
    cost, bend, stretch = align_frames(frames, gain * frames + offset)
    assert cost < 1e-6
    assert bend < 0.02
    assert stretch == 0


def test_the_order_of_two_clips_does_not_matter():
    first, second = sounds(), played(sounds(seed=1), 1.1, 60)
    np.testing.assert_allclose(align_frames(first, second), align_frames(second, first), atol=0.02)


def test_tempo_changes_bend_the_path_and_other_music_costs_more():
    frames = sounds()
    bends = [align_frames(frames, played(frames, power, 90))[1] for power in (1.0, 1.2, 1.5)]
    assert bends[0] < bends[1] < bends[2]
    same, other = played(frames, 1.5, 90), sounds(seed=9)
    assert align_frames(frames, same)[0] < 0.1 * align_frames(frames, other)[0]


def test_twice_as_slow_is_told_by_the_stretch_alone():
    frames = sounds()
    cost, bend, stretch = align_frames(frames, played(frames, 1.0, 160))
    assert stretch == pytest.approx(np.log(2))
    assert cost < 0.05
    assert bend < 0.03


@settings(deadline=None)  # the first call compiles
@given(st.integers(0, 10_000), st.integers(2, 40), st.integers(2, 40))
def test_the_path_is_that_of_librosa(seed, rows, columns):
    rng = np.random.default_rng(seed)
    first, second = rng.standard_normal((rows, 5)), rng.standard_normal((columns, 5))

    def unit(frames):
        moving = frames - frames.mean(axis=0)
        return moving / np.linalg.norm(moving, axis=1, keepdims=True)

    total, path = librosa.sequence.dtw(C=1.0 - unit(first) @ unit(second).T)
    off = path[:, 0] / (rows - 1) - path[:, 1] / (columns - 1)
    cost, bend, _ = align_frames(first, second)
    assert cost == pytest.approx(total[-1, -1] / len(path))
    assert bend == pytest.approx(np.sqrt(np.mean(off**2)))


def test_the_features_of_a_pair_do_not_depend_on_which_clip_is_named_first():
    some = clips()
    backward = PairAlignments().features(some, [3, 2], [0, 1])
    forward = PairAlignments().features(some, [0, 1], [3, 2])
    np.testing.assert_array_equal(forward, backward)


def clips(count=4):
    frames = tuple(sounds(seed=number).astype(np.float16) for number in range(count))
    vectors = np.zeros((count, 1, 2), dtype=np.float32)
    ids = tuple(f"c{number}" for number in range(count))
    return Clips(ids, (NOTES,) * count, vectors, np.zeros((count, 1)), ids, frames)


def test_the_matrix_is_symmetric_and_of_the_clips_that_are_taken():
    all_clips, pairs = clips(), PairAlignments()
    whole = pairs.matrix(all_clips)
    np.testing.assert_array_equal(whole, whole.transpose(1, 0, 2))
    assert not whole[np.arange(4), np.arange(4)].any()
    part = PairAlignments().matrix(all_clips.take([2, 0]))
    np.testing.assert_array_equal(part[0, 1], whole[0, 2])


def test_without_frames_there_is_nothing_to_align():
    with pytest.raises(MessError, match="no frames to align"):
        PairAlignments().matrix(replace(clips(), frames=()))


def test_clips_keep_their_frames_when_they_are_taken_or_joined():
    some = clips()
    assert (some.take([1]) + some.take([3])).frames[1] is some.frames[3]
    assert (some + replace(some, frames=())).frames == ()
    assert (some.take([]) + some).frames == some.frames
    assert (some + some.take([])).frames == some.frames


def test_frames_are_the_middle_state_over_time():
    encoder = load_encoder("mess-piano", device="cpu")
    wave = np.random.default_rng(0).standard_normal(48_000).astype(np.float32)
    frames = clip_frames(encoder, wave)
    np.testing.assert_allclose(frames, encoder.hidden_states(wave)[4], rtol=1e-2, atol=1e-2)
