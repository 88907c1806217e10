"""Alignment recovers a known warping of time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mess_core.datasets.demo import Expression, demo_score, perform, write_midi
from mess_core.errors import MidiError
from mess_core.midi import align, timed_path
from mess_core.validation.synthetic_performances import perform_again, repeated_chords


@pytest.fixture
def pair(tmp_path):
    score = demo_score(2, bars=12)
    paths = []
    for name, factor, seed in (("a", 1.0, 1), ("b", 0.8, 2)):
        notes = perform(score, Expression(tempo_factor=factor, rubato=0.08), seed=seed)
        write_midi(notes, tmp_path / f"{name}.mid")
        paths.append((tmp_path / f"{name}.mid", notes))
    return paths


def test_known_warping_is_recovered(pair):
    (path_a, notes_a), (path_b, notes_b) = pair
    alignment = align(path_a, path_b)
    # Both perform one score: notes of one pitch correspond in order.
    errors = []
    for pitch in np.unique(notes_a.pitch):
        a = np.sort(notes_a.onset_s[notes_a.pitch == pitch])
        b = np.sort(notes_b.onset_s[notes_b.pitch == pitch])
        errors.append(np.abs(alignment.map_time(a) - b))
    assert np.median(np.concatenate(errors)) < 0.02
    assert np.percentile(np.concatenate(errors), 95) < 0.08


def test_map_is_monotone_and_invertible(pair):
    (path_a, _), (path_b, _) = pair
    there, back = align(path_a, path_b), align(path_b, path_a)
    times = np.linspace(-2, 40, 200)
    mapped = there.map_time(times)
    assert (np.diff(mapped) > 0).all()
    inside = np.linspace(2, 15, 50)
    assert np.abs(back.map_time(there.map_time(inside)) - inside).max() < 0.1


def test_confidence_falls_where_the_notes_differ(pair, tmp_path):
    (path_a, _), (path_b, _) = pair
    other = perform(demo_score(3, bars=12), Expression(), seed=5)
    write_midi(other, tmp_path / "other.mid")
    same, different = align(path_a, path_b), align(path_a, tmp_path / "other.mid")
    times = np.linspace(1, 15, 30)
    assert same.confidence(times).mean() > 0.9
    assert different.confidence(times).mean() < 0.6
    assert ((same.confidence(times) >= 0) & (same.confidence(times) <= 1)).all()


def test_nothing_to_align_is_an_error(pair, tmp_path):
    import pretty_midi

    midi = pretty_midi.PrettyMIDI()
    midi.instruments.append(pretty_midi.Instrument(0))
    midi.instruments[0].notes.append(pretty_midi.Note(60, 60, 0, 1))
    midi.write(str(tmp_path / "one.mid"))
    with pytest.raises(MidiError, match="fewer than two chords") as raised:
        align(pair[0][0], tmp_path / "one.mid")
    assert "one.mid" in str(raised.value)


def test_repeated_chords_do_not_slip():
    """Chords that are struck again and again differ in nothing but their time."""
    errors, trusted = [], []
    for seed in range(12):
        first = repeated_chords(seed)
        second, truth_s = perform_again(first, seed=1000 + seed)
        alignment = align(first, second)
        errors.append(np.abs(alignment.map_time(first.onset_s) - truth_s))
        trusted.append(alignment.trusted(first.onset_s))
    error_s = np.concatenate(errors)
    assert np.percentile(error_s, 99) < 0.06
    assert (np.concatenate(trusted) & (error_s > 0.25)).mean() < 0.003


def test_compiled_and_interpreted_paths_are_one(monkeypatch):
    first = repeated_chords(3, notes=150)
    second, _ = perform_again(first, seed=4)
    compiled = align(first, second)
    monkeypatch.setattr(timed_path, "_compiled", lambda: timed_path._best_path)
    interpreted = align(first, second)
    assert np.array_equal(compiled.a_s, interpreted.a_s)
    assert np.array_equal(compiled.b_s, interpreted.b_s)


@given(
    shape=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    shift=st.floats(-3, 3),
    seed=st.integers(0, 99),
)
def test_paths_ascend_for_any_map(shape, shift, seed):
    rng = np.random.default_rng(seed)
    a_s, b_s = (np.cumsum(rng.uniform(0.01, 1.5, count)) for count in shape)
    chords = [rng.random((count, 5)) for count in shape]
    chords = [one / np.linalg.norm(one, axis=1, keepdims=True) for one in chords]
    a, b = timed_path.timed_path(a_s, b_s, *chords, a_s + shift)
    assert len(a) == len(b) >= 1
    assert (np.diff(a) > 0).all()
    assert (np.diff(b) > 0).all()
    assert 0 <= a[0] <= a[-1] < shape[0]
    assert 0 <= b[0] <= b[-1] < shape[1]
