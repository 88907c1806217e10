"""Curves and segment tables follow known changes on their time axes."""

import librosa
import numpy as np
import pandas as pd
import pytest

from mess_core.datasets.demo import Expression, demo_score, perform
from mess_core.encoders import EncoderSettings, load_encoder
from mess_core.midi.performance import Performance
from mess_core.targets import targets
from mess_core.targets.analysis import analyse
from mess_core.targets.curves import curve_times
from mess_core.targets.registry import curves
from mess_core.targets.segments import (
    curve_table,
    segment_bounds,
    segment_table,
    track_vectors,
)

RATE = 24_000


def _chord(pitches, seconds, gain=0.05):
    time_s = np.arange(int(seconds * RATE)) / RATE
    tone = sum(np.sin(2 * np.pi * librosa.midi_to_hz(pitch) * time_s) for pitch in pitches)
    return (gain * tone).astype(np.float32)


def _performance(expression=None, bars=12):
    notes = perform(demo_score(2, bars=bars), expression or Expression(), seed=0)
    return notes.performance


def _curve(table, name, low, high):
    return table.loc[(table["time_s"] > low) & (table["time_s"] < high), name]


def test_tension_is_low_on_a_fifth_and_high_on_a_cluster():
    samples = np.concatenate([_chord([60, 67], 6), _chord([60, 61, 62, 63, 64, 65], 6)])
    table = curve_table(analyse(samples), None, 12.0)
    assert len(table) == 24
    assert (
        _curve(table, "tonal_tension", 7, 11).min()
        > _curve(table, "tonal_tension", 1, 5).max() + 0.15
    )


def test_arc_and_centroid_and_novelty_follow_the_audio():
    swell = np.linspace(-20, 0, 20 * RATE)
    low, high = _chord([48], 10), _chord([84], 10)
    samples = np.concatenate([low, high]) * 10 ** (swell / 20).astype(np.float32)
    table = curve_table(analyse(samples), None, 20.0)
    arc = table["dynamic_arc"].to_numpy()
    assert np.polyfit(table["time_s"], arc, 1)[0] == pytest.approx(1.0, abs=0.15)  # dB per s
    centroid = _curve(table, "centroid_trajectory", 11, 19)
    assert centroid.median() == pytest.approx(librosa.midi_to_hz(84), rel=0.1)
    novelty = table.set_index("time_s")["structural_novelty"]
    assert novelty.idxmax() == pytest.approx(10, abs=2)


def test_local_tempo_follows_a_change():
    seconds, out = 60.0, np.zeros(60 * RATE, dtype=np.float32)
    onset = 0.5
    while onset < seconds - 1:
        click = _chord([69], 0.15) * np.exp(-np.arange(int(0.15 * RATE)) / 600).astype(np.float32)
        out[int(onset * RATE) : int(onset * RATE) + len(click)] += click
        onset += 60 / (90.0 if onset < 30 else 108.0)
    table = curve_table(analyse(out), None, seconds)
    bpm = 60 * 2 ** table["local_tempo"]
    first, second = (
        bpm[(table["time_s"] > a) & (table["time_s"] < b)] for a, b in ((8, 22), (38, 52))
    )
    assert first.median() == pytest.approx(90, rel=0.04)
    assert second.median() == pytest.approx(108, rel=0.04)


def test_performed_tempo_follows_a_known_drift():
    table = curve_table(None, _performance(Expression(tempo_drift=0.1, rubato=0.0), 24), 50.0)
    tempo = table["performed_tempo"].dropna()
    assert len(tempo) > 60
    assert np.ptp(tempo) == pytest.approx(2 * 0.1 * np.sqrt(2), rel=0.35)
    assert table["dynamic_arc"].isna().all()


def test_articulation_histogram_follows_articulation():
    share = {
        value: np.array(
            track_vectors(None, _performance(Expression(articulation=value)))[
                "articulation_histogram"
            ]
        )
        for value in (0.3, 1.1)
    }
    centre = (np.arange(16) + 0.5) * 1.5 / 16
    assert all(one.sum() == pytest.approx(1.0) for one in share.values())
    assert share[0.3] @ centre < 0.5
    assert share[1.1] @ centre > 0.9


def test_silent_or_short_track_has_one_row_without_values():
    table = curve_table(analyse(np.zeros(3000, dtype=np.float32)), None, 0.125)
    assert len(table) == 1
    assert table.drop(columns=["time_s", "dynamic_arc"]).isna().all(axis=None)
    assert curve_times(0.1).tolist() == [0.25]


def test_segments_are_the_windows_of_the_encoder():
    encoder = load_encoder("untrained:tiny", device="cpu", settings=EncoderSettings(hop_s=2.5))
    samples = np.random.default_rng(0).standard_normal(int(13.3 * RATE)).astype(np.float32)
    embedding = encoder.embed(samples)
    start, end = segment_bounds(len(samples), window_s=5.0, hop_s=2.5)
    np.testing.assert_allclose(start, embedding.start_s)
    np.testing.assert_allclose(end, embedding.end_s)


def test_values_of_a_segment_depend_on_that_segment_alone():
    quiet, loud = _chord([57], 10, 0.01), _chord([81], 10, 0.1)
    samples = np.concatenate([quiet, loud])
    table = segment_table(
        analyse(samples), _performance(), *segment_bounds(len(samples), window_s=5.0, hop_s=2.5)
    )
    assert list(table.columns[:2]) == ["start_s", "end_s"]
    assert set(table.columns[2:]) == {one.name for one in targets(extra=True) if one.on_segments}
    alone = analyse(loud[: 5 * RATE])
    values = {one.name: one.function(alone) for one in targets("audio") if one.on_segments}
    last = table.iloc[-1]
    for name in ("spectral_centroid", "zero_crossing_rate"):
        assert last[name] == pytest.approx(values[name], rel=0.05), name
    assert last["dynamic_range"] < 1.0  # dB: without the step between the halves
    assert table["spectral_centroid"].iloc[0] < 0.5 * last["spectral_centroid"]


def test_midi_segments_count_only_notes_struck_in_them():
    performance = _performance(Expression(dynamics=0.0))
    first_half = performance.onset_s < 10
    changed = Performance(
        performance.onset_s,
        performance.offset_s,
        performance.pitch,
        np.where(first_half, 40, 90),
        performance.pedal_s,
    )
    table = segment_table(
        None, changed, np.array([0.0, 10.0, 900.0]), np.array([10.0, 15.0, 905.0])
    )
    assert table["velocity_mean"].tolist()[:2] == [40, 90]
    assert table.iloc[2].drop(["start_s", "end_s"]).isna().all()


def test_every_curve_has_a_description_and_a_unit():
    assert len(curves()) == 8
    assert all(one.description and one.unit for one in curves())


def test_stored_tables_can_be_read_back(corpus, tmp_path):
    from mess_core.datasets import parse_sources
    from mess_core.store import Layout
    from mess_core.store.tables import read_json, read_table
    from mess_core.store.track_table import refresh_tracks
    from mess_core.targets import compute_track_targets

    layout = Layout(tmp_path / "root", "untrained-tiny")
    tracks, _ = refresh_tracks(layout, parse_sources(f"demo={corpus}"))
    outcome = next(iter(compute_track_targets(tracks.head(1), layout, hop_s=5.0)))
    assert outcome.status == "done"
    key = outcome.dataset, outcome.track_id
    segments = read_table(layout.segment_targets(*key))
    assert (np.diff(segments["start_s"]) > 0).all()
    assert segments["spectral_centroid"].notna().all()
    table = read_table(layout.curves(*key))
    assert isinstance(table, pd.DataFrame)
    assert table["performed_tempo"].notna().mean() > 0.5
    record = read_json(layout.track_targets(*key))
    assert len(record["vectors"]["articulation_histogram"]) == 16
    assert next(iter(compute_track_targets(tracks.head(1), layout, hop_s=5.0))).status == "fresh"
    assert next(iter(compute_track_targets(tracks.head(1), layout))).status == "done"
    # Windows that overlap include those that do not.
    assert next(iter(compute_track_targets(tracks.head(1), layout, hop_s=5.0))).status == "fresh"
