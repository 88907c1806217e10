"""Sections of the validation report on small synthetic data sets with known ground truth."""

import numpy as np
import pandas as pd
import pytest

from mess_core.datasets.asap import read_asap
from mess_core.datasets.demo import Expression, demo_score, perform, write_midi
from mess_core.datasets.percepiano import SCALES, read_ratings
from mess_core.errors import DatasetError
from mess_core.midi.performance import Performance
from mess_core.store import Layout
from mess_core.targets import targets
from mess_core.targets.first_published import first_published_targets
from mess_core.validation.beats import (
    WAYS,
    beat_table,
    timing_correlations,
    transfer_table,
    wrong_signs,
)
from mess_core.validation.correlation import grouped_spearman
from mess_core.validation.ratings import rating_table
from mess_core.validation.report import TargetsReport, check_targets_report, validate_targets
from mess_core.validation.sweeps import OWN_SWEEP, Clip, render


def test_within_ignores_differences_between_groups():
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(20), 10)
    signal = rng.standard_normal(200)
    level = 50.0 * group
    found = grouped_spearman(level + signal, level - signal, group.tolist())
    assert found.across > 0.95
    assert found.within == pytest.approx(-1.0)
    assert (found.groups, found.rows) == (20, 200)
    few = grouped_spearman(signal[:6], signal[:6], [0, 0, 0, 1, 1, 1])
    assert np.isnan(few.within)


def _beats(notes, score):
    """Return the times of whole beats of a synthesised performance, from its notes."""
    order = np.argsort(score.beat, kind="stable")
    beat, first = np.unique(score.beat[order], return_index=True)
    onset = notes.onset_s[order][first]
    whole = np.arange(0, np.floor(beat[-1]) + 1)
    return np.interp(whole, beat, onset)


@pytest.fixture(scope="module")
def asap(tmp_path_factory):
    folder = tmp_path_factory.mktemp("asap")
    rows = []
    for piece in (2, 3):
        for player, rubato in enumerate((0.02, 0.05, 0.08, 0.11)):
            score = demo_score(piece, bars=12)
            expression = Expression(rubato=rubato, tempo_drift=0.02 * (player + 1), asynchrony_ms=2)
            notes = perform(score, expression, seed=player)
            name = f"p{piece}_{player}"
            write_midi(notes, folder / f"{name}.mid")
            lines = [f"{time:.6f}\t{time:.6f}\tb" for time in _beats(notes, score)]
            (folder / f"{name}.txt").write_text("\n".join(lines))
            rows.append([f"C{piece}", "T", f"player{player}", f"{name}.mid", f"{name}.txt"])
    columns = ["composer", "title", "performer", "midi_performance", "performance_annotations"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "performances.csv", index=False)
    return folder


def test_timing_follows_the_beats_within_pieces(asap):
    table = beat_table(read_asap(asap), workers=1)
    assert len(table) == 8
    found = timing_correlations(table)
    carried = "annotated beats of one performance, carried over"
    for way in ("score-free", "aligned with the other performances", carried):
        assert found["rubato", way].within >= 0.8, way
        assert found["rubato", way].groups == 2
    assert found["rubato", carried].within > 0.99


def test_pieces_with_a_wrong_sign_are_named():
    columns = {f"{target}_{way}": [] for target in ("rubato", "tempo_variability")
               for way in ("truth", *WAYS.values())}  # fmt: skip
    rising = list(range(6))
    for name, values in columns.items():
        values += rising + (rising[::-1] if name == "rubato_aligned" else rising)
    table = pd.DataFrame(columns).assign(piece=["a"] * 6 + ["b"] * 6)
    found = {way: wrong for way, wrong in wrong_signs(table).items() if wrong}
    ((way, ((piece, correlation),)),) = found.items()
    assert way == ("rubato", "aligned with the other performances")
    assert (piece, correlation) == ("b", pytest.approx(-1.0))


def test_beats_are_transferred_within_milliseconds(asap):
    pairs, errors = transfer_table(read_asap(asap))
    assert len(pairs) == 2
    assert errors["error_ms"].median() < 10
    assert errors["trusted"].mean() > 0.95
    assert (pairs["seconds"] > 0).all()


def test_first_definitions_measure_chord_spread():
    score = demo_score(0, bars=8)

    def measured(asynchrony_ms, rubato):
        expression = Expression(asynchrony_ms=asynchrony_ms, rubato=rubato, tempo_drift=0)
        notes = perform(score, expression, seed=1)
        return first_published_targets(
            Performance(
                np.sort(notes.onset_s), notes.offset_s, notes.pitch, notes.velocity, notes.pedal_s
            )
        )["rubato"]

    # The reason for replacing them: they respond more to chord spread than to rubato.
    by_spread = np.log2(measured(8, 0.0) / measured(1, 0.0))
    by_rubato = np.log2(measured(1, 0.12) / measured(1, 0.0))
    assert abs(by_spread) > 2 * abs(by_rubato)


@pytest.fixture
def percepiano(tmp_path):
    rng = np.random.default_rng(1)
    (tmp_path / "midi").mkdir()
    ratings, answers = [], []
    for passage in ("a", "b", "c"):
        for player, velocity in enumerate((45, 55, 65, 75, 85)):
            name = f"{passage}_{player}"
            expression = Expression(velocity=velocity, rubato=0.02 * (player + 1))
            write_midi(
                perform(demo_score(2), expression, seed=player), tmp_path / f"midi/{name}.mid"
            )
            ratings.append([passage, player, f"midi/{name}.mid", *([velocity / 100] * 19)])
            for user in range(6):
                rating = velocity / 20 + 0.3 * rng.standard_normal(19)
                answers.append([user, name + ".wav", *rating, np.nan])
    pd.DataFrame(ratings, columns=["passage", "player", "midi", *SCALES]).to_csv(
        tmp_path / "ratings.csv", index=False
    )
    question_columns = [f"Question_{number}" for number in range(20)]
    pd.DataFrame(answers, columns=["user", "filename", *question_columns]).to_csv(
        tmp_path / "raters.csv", index=False
    )
    return tmp_path


def test_rating_correlations_have_a_ceiling_and_a_sign(percepiano):
    table = rating_table(*read_ratings(percepiano)).set_index(["target", "scale"])
    loud = table.loc[("velocity_mean", "timbre_loudness")]
    assert loud["within"] == pytest.approx(1.0)
    assert 0.8 < loud["ceiling"] <= 1.0
    assert loud["passages"] == 3


@pytest.mark.parametrize("read", [read_asap, read_ratings])
def test_other_folders_raise(read, tmp_path):
    with pytest.raises(DatasetError, match=r"is not an? "):
        read(tmp_path)


def test_every_target_has_a_sweep_of_its_own():
    assert set(OWN_SWEEP) == {one.name for one in targets()}


def test_gain_and_silence_of_a_rendered_clip():
    plain, loud = render(Clip(seconds=6)), render(Clip(seconds=6, gain=0.5, silence_s=1.0))
    assert len(loud) - len(plain) == 2 * 24_000
    np.testing.assert_allclose(loud[24_000:-24_000], 0.5 * plain, rtol=1e-5, atol=1e-9)


def test_report_is_markdown_with_pictures(asap, percepiano, built, tmp_path):
    report = validate_targets(asap=asap, percepiano=percepiano, library=built.root, sweeps=False)
    layout = Layout(tmp_path / "root", "untrained-tiny")
    report.write(layout.targets_report)
    text = (layout.targets_report / "report.md").read_text()
    for picture in report.pictures:
        assert f"]({picture})" in text
        assert (layout.targets_report / picture).read_bytes().startswith(b"\x89PNG")
    for heading in ("ASAP", "PercePiano", "Alignment", "The library: 12 tracks"):
        assert heading in text
    assert check_targets_report(layout).passed
    TargetsReport(figures={"sweeps_followed": 3.0}).write(layout.targets_report)
    assert not check_targets_report(layout).passed
