"""Relative curves recover the known differences between synthetic performances."""

import numpy as np
import pytest

from mess_core.datasets.demo import Expression, demo_score, perform
from mess_core.errors import MidiError
from mess_core.midi import align_performances
from mess_core.midi.performance import Performance


def _play(expression, seed=0, work=2, bars=16):
    notes = perform(demo_score(work, bars=bars), expression, seed=seed)
    return notes.performance


def test_known_differences_are_recovered_relative_to_the_others():
    played = [
        Expression(tempo_factor=1.0, velocity=60, articulation=0.8),
        Expression(tempo_factor=1.2, velocity=60, articulation=0.8),
        Expression(tempo_factor=1.0, velocity=80, articulation=0.8),
        Expression(tempo_factor=1.0, velocity=60, articulation=0.4),
    ]
    aligned = align_performances([_play(one, seed) for seed, one in enumerate(played)])
    tempo = np.nanmedian(aligned.relative(aligned.log2_tempo), axis=1)
    velocity = np.nanmean(aligned.relative(aligned.velocity), axis=1)
    length = np.nanmedian(aligned.relative(aligned.log2_length), axis=1)
    assert tempo[1] == pytest.approx(np.log2(1.2), abs=0.03)
    assert np.abs(np.delete(tempo, 1) + np.log2(1.2) / 3).max() < 0.04
    assert velocity[2] == pytest.approx(20, abs=2)
    assert length[3] == pytest.approx(-1.0, abs=0.15)
    assert int(np.argmin(length)) == 3


def test_known_rubato_is_ranked_correctly():
    known = [0.02, 0.05, 0.08, 0.11, 0.14]
    aligned = align_performances(
        [_play(Expression(rubato=value), seed) for seed, value in enumerate(known)]
    )
    rubato = [aligned.spread(index)[0] for index in range(5)]
    assert np.argsort(rubato).tolist() == [0, 1, 2, 3, 4]


def test_another_work_is_excluded_without_effect_on_the_others():
    alike = [_play(Expression(tempo_factor=factor), 1) for factor in (1.0, 1.1)]
    aligned = align_performances([*alike, _play(Expression(), 1, work=3, bars=16)])
    known = np.isfinite(aligned.log2_tempo).mean(axis=1)
    assert sorted(known > 0.5) == [False, True, True]


def test_omitted_passage_is_nan_and_the_rest_is_compared():
    whole, other = _play(Expression(), 1), _play(Expression(tempo_factor=1.1), 2)
    middle = (other.onset_s > 12) & (other.onset_s < 20)
    shift = np.where(other.onset_s >= 20, 8.0, 0.0)[~middle]
    cut = Performance(
        other.onset_s[~middle] - shift,
        other.offset_s[~middle] - shift,
        other.pitch[~middle],
        other.velocity[~middle],
        other.pedal_s,
    )
    aligned = align_performances([whole, cut, _play(Expression(), 3)])
    relative = aligned.relative(aligned.log2_tempo)[1]
    known = relative[np.isfinite(relative)]
    assert 0.4 < len(known) / len(relative) < 0.9
    assert np.median(known) == pytest.approx(np.log2(1.1), abs=0.05)


def test_one_performance_is_an_error():
    with pytest.raises(MidiError, match="alone"):
        align_performances([_play(Expression())])
    with pytest.raises(MidiError, match="beats in common"):
        align_performances([_play(Expression(), seed, bars=1) for seed in range(2)])
