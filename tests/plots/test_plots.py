"""The figures for papers show the values that they are given."""

import numpy as np
import pandas as pd
import pytest

from mess_core.datasets.demo import Expression, demo_score, perform, write_midi
from mess_core.errors import MidiError
from mess_core.midi import CURVES, Performance, carry, compare_performances
from mess_core.plots import (
    comparison_figure,
    most_performed_figure,
    performance_worm,
    tempo_curves,
)
from mess_core.plots.performances import smoothed


def performance(seed=0, **expression) -> Performance:
    notes = perform(demo_score(seed), Expression(**expression), seed=seed)
    return notes.performance


STEADY, FAST, LOUD = performance(), performance(tempo_factor=1.3), performance(velocity=95)


@pytest.fixture(scope="module")
def compared():
    return compare_performances(STEADY, FAST)


def test_a_faster_performance_is_faster_by_its_factor_and_else_the_same(compared):
    assert np.nanmedian(compared.b.tempo / compared.a.tempo) == pytest.approx(1.3, rel=0.02)
    np.testing.assert_allclose(
        np.nanmean(compared.b.velocity), np.nanmean(compared.a.velocity), rtol=0.02
    )
    assert compared.confidence > 0.95
    assert compared.differences == ()


def test_a_further_performance_is_carried_to_the_same_beats(compared):
    found = carry(compared, STEADY, LOUD)
    assert np.nanmedian(found.tempo / compared.a.tempo) == pytest.approx(1.0, rel=0.02)
    assert np.nanmean(found.velocity) > np.nanmean(compared.a.velocity) + 10
    assert carry(compared, STEADY, performance(seed=3)) is None


def repeated(one: Performance, until_s: float) -> Performance:
    """The performance with its first part played twice."""
    first = one.excerpt(0.0, until_s)
    later = {name: getattr(one, name) + until_s for name in ("onset_s", "offset_s", "pedal_s")}
    return Performance(
        *(
            np.concatenate([getattr(first, name), later.get(name, getattr(one, name))])
            for name in ("onset_s", "offset_s", "pitch", "velocity", "pedal_s")
        )
    )


def test_who_plays_a_repeat_is_named_rightly_and_only_shared_beats_count():
    long = perform(demo_score(0, bars=24), Expression(), seed=0)
    once = long.performance
    twice = repeated(once, float(once.onset_s[len(once) // 2]))
    for pair, who in (((once, twice), "b"), ((twice, once), "a")):
        found = compare_performances(*pair)
        assert found.differences
        assert all(text.startswith(f"only {who} ") for text in found.differences)
        both = np.isfinite(found.a.tempo) & np.isfinite(found.b.tempo)
        assert found.shared_beats == both.sum()
    other = carry(compare_performances(once, once), once, twice)
    assert np.nanmin(other.tempo) > 0.4 * np.nanmedian(other.tempo)


def test_two_works_are_not_compared():
    with pytest.raises(MidiError, match="in common"):
        compare_performances(STEADY, performance(seed=3))


def test_pedal_share_over_all_beats_is_that_of_the_performance():
    found = compare_performances(performance(seed=1), performance(seed=1, tempo_factor=1.2))
    one = performance(seed=1)
    known = np.isfinite(found.a.pedal)
    length = np.diff(found.a.beats_s)[known]
    inside = one.excerpt(float(np.nanmin(found.a.beats_s)), float(np.nanmax(found.a.beats_s)))
    down = float(np.sum(inside.pedal_s[:, 1] - inside.pedal_s[:, 0]))
    assert float(np.sum(found.a.pedal[known] * length)) == pytest.approx(down, rel=0.02, abs=0.05)


@pytest.mark.parametrize("curve", CURVES)
def test_lines_are_the_smoothed_curves(compared, curve):
    other = carry(compared, STEADY, LOUD)
    ax = tempo_curves(compared, others=[other], curve=curve, smooth_beats=2.0)
    thin, a, b = (line.get_ydata() for line in ax.lines)
    for line, side in ((a, compared.a), (b, compared.b), (thin, other)):
        np.testing.assert_allclose(line, smoothed(getattr(side, curve), 2.0), equal_nan=True)
    with pytest.raises(ValueError, match="no curve 'nothing'"):
        tempo_curves(compared, curve="nothing")


def test_figures_can_be_saved(compared, tmp_path):
    comparison_figure(compared, names=("a", "b"), title="two").savefig(tmp_path / "a.pdf")
    performance_worm(compared, beats=(2, 12)).figure.savefig(tmp_path / "b.svg")
    assert (tmp_path / "a.pdf").stat().st_size > 5_000
    assert "<svg" in (tmp_path / "b.svg").read_text()


def test_a_worm_is_of_the_beats_that_are_wanted(compared):
    whole, part = (performance_worm(compared, beats=one) for one in (None, (2, 12)))
    for ax, beats in ((whole, len(compared.a.tempo)), (part, 10)):
        points = [len(lines.get_segments()) + 1 for lines in ax.collections]
        assert all(0.8 * beats <= count <= beats for count in points)


def test_the_work_with_most_performances_is_drawn_without_what_cannot_be_read(tmp_path):
    takes = [Expression(tempo_factor=factor) for factor in (1.0, 1.1, 1.25)]
    rows = []
    for number, take in enumerate(takes):
        path = tmp_path / f"{number}.mid"
        write_midi(perform(demo_score(0), take, seed=0), path)
        rows.append((f"take{number}", "often", str(path)))
    (tmp_path / "damaged.mid").write_bytes(b"no MIDI")
    rows += [("damaged", "often", str(tmp_path / "damaged.mid")), ("alone", "once", rows[0][2])]
    tracks = pd.DataFrame(rows, columns=["track_id", "work_id", "midi_path"])
    figure = most_performed_figure(tracks)
    assert figure.get_suptitle() == "often: 3 of 4 performances"
    assert len(figure.axes[0].lines) == 3
    assert most_performed_figure(tracks[tracks["work_id"] == "once"]) is None
