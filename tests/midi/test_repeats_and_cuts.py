"""Repeats and cuts that only one of two performances plays are found, and nothing else is."""

import numpy as np
import pytest

from mess_core.midi import Performance, align, align_performances
from mess_core.midi.repeats_and_cuts import unshared_stretches
from mess_core.validation.synthetic_performances import perform_again
from tests.fixtures.pieces import piece


def _joined(*parts):
    """Play parts one after the other."""
    columns, now_s = [], 0.0
    for part in parts:
        shift = now_s - part.onset_s[0]
        columns.append((part.onset_s + shift, part.offset_s + shift, part.pitch, part.velocity))
        now_s += part.onset_s[-1] - part.onset_s[0] + 0.3
    return Performance(*map(np.concatenate, zip(*columns, strict=True)), np.empty((0, 2)))


@pytest.mark.parametrize("seed", range(4))
def test_a_repeat_and_a_cut_are_told_apart(seed):
    opening, middle, end = (piece(seed, first=at, last=at + 300) for at in (0, 300, 600))
    short = _joined(opening, middle, end)
    repeated, _ = perform_again(_joined(opening, middle, middle, end), seed=seed)
    cut, _ = perform_again(_joined(opening, end), seed=seed)
    (repeat,) = unshared_stretches(short, repeated, align(short, repeated))
    assert (repeat.only, repeat.repeat) == ("b", True)
    length = repeat.end_s - repeat.start_s
    assert length == pytest.approx((repeated.end_s - repeated.onset_s[0]) / 4, rel=0.25)
    (missing,) = unshared_stretches(short, cut, align(short, cut))
    assert (missing.only, missing.repeat) == ("a", False)
    assert missing.start_s == pytest.approx(short.onset_s[300], abs=2)
    assert missing.end_s == pytest.approx(short.onset_s[599], abs=2)


@pytest.mark.parametrize("seed", range(4))
def test_the_same_notes_played_differently_leave_nothing(seed):
    first = piece(seed)
    second, _ = perform_again(first, seed=seed, left_out=0.08, added=0.08)
    assert unshared_stretches(first, second, align(first, second)) == []


def test_works_record_repeats_that_only_some_play():
    parts = [piece(1, first=at, last=at + 300) for at in (0, 300)]
    short = [perform_again(_joined(*parts), seed=seed)[0] for seed in range(3)]
    repeated, _ = perform_again(_joined(parts[0], *parts), seed=9)
    together = align_performances([*short, repeated])
    assert [len(one) for one in together.unshared] == [0, 0, 0, 1]
    assert str(together.unshared[3][0]).endswith("a repeat")
