"""Probing of a whole data root: groupings, baselines, segments, curves and figures."""

import io
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.image import imread
from upath import UPath

from mess_core.encoders import (
    Encoder,
    EncoderSettings,
    build_control_matrix,
    embed_tracks,
    load_control,
)
from mess_core.encoders.control import check_control
from mess_core.encoders.untrained import untrained_checkpoint
from mess_core.errors import ProbingError, StoreError
from mess_core.probing import discover
from mess_core.probing.folds import grouping
from mess_core.probing.pictures import heatmap_html, heatmap_png, profiles_png, within_png
from mess_core.probing.pipeline import probe_store, probing_folder, probing_inputs
from mess_core.probing.results import load_discovery, save_discovery
from mess_core.probing.segment_pipeline import probe_segments, segment_inputs
from mess_core.store.embeddings import EmbeddingStore
from mess_core.store.layout import Layout
from mess_core.store.matrix import build_matrix, load_matrix
from mess_core.store.stored_encoders import record_encoder
from mess_core.store.tables import read_json, read_table, write_json, write_table
from mess_core.targets.registry import curves


@pytest.fixture(scope="module")
def trained():
    """Substitute for a trained encoder: other random weights, not named as untrained."""
    return Encoder(
        "trained@1",
        untrained_checkpoint("tiny", seed=7),
        device=torch.device("cpu"),
        dtype=torch.float32,
        layers=[0, 4],
        settings=EncoderSettings(hop_s=5.0),
    )


def test_descriptors_are_the_means_of_the_analysed_track(built):
    inputs = probing_inputs(built.layout)
    assert inputs.descriptors.shape == (12, 64)
    assert np.isfinite(inputs.descriptors).all()
    assert inputs.descriptors.std(axis=0).min() > 0
    assert any("untrained" in note for note in inputs.notes)


def test_other_groupings_warn(workbench):
    layout = workbench.layout
    for group_by, warned in (("work", False), ("performer", True), ("as first published", True)):
        found, _ = probe_store(layout, group_by=group_by, folds=2, permutations=3)
        assert any(note.startswith("WARNING") for note in found.notes) == warned, group_by
        stored = json.loads((probing_folder(layout, group_by) / "results.json").read_text())
        assert stored["settings"]["grouped_by"] == group_by
    assert found.settings["alphas"] == [1.0]
    # Aspects are never read from leaking results.
    assert load_discovery(layout.probing)[0].settings["grouped_by"] == "work"
    with pytest.raises(ProbingError, match="cannot group by"):
        probe_store(layout, group_by="composer")


def test_tracks_without_a_performer_form_their_own_groups(tmp_path):
    rows = pd.DataFrame(
        {
            "track_id": ["a", "b", "c"],
            "work_id": ["chopin:op25", "chopin:op25-3", "x"],
            "performer": [None, "p", "p"],
        }
    )
    layout = Layout(tmp_path, "untrained-tiny")
    assert grouping(layout, rows, "performer") == ["track a", "p", "p"]
    assert grouping(layout, rows, "track") == ["a", "b", "c"]
    write_table(layout.tracks, rows.assign(audio_sha256=["1", "2", None]))
    assert grouping(layout, rows, "work") == ["chopin:op25", "chopin:op25", "x"]
    write_table(layout.tracks, rows.assign(audio_sha256=["1", "2", "1"]))
    assert grouping(layout, rows, "work") == ["chopin:op25"] * 3


def test_segments_are_spread_over_tracks_and_have_their_own_targets(built):
    layout = built.layout
    _, rows, manifest = load_matrix(layout)
    x, table, segment_curves = segment_inputs(layout, rows, manifest["identity"], per_track=3)
    assert len(x) == len(table)
    assert table.groupby("track_id").size().max() == 3
    store = EmbeddingStore(layout)
    for position in (0, len(x) - 1):
        row = table.iloc[position]
        sidecar = store.sidecar(row["dataset"], row["track_id"])
        at = int(np.argmin(np.abs(np.array(sidecar["start_s"]) - row["start_s"])))
        vectors = store.read("segments", row["dataset"], row["track_id"])
        np.testing.assert_array_equal(x[position], vectors[at].astype(np.float32))
        stored = read_table(layout.segment_targets(row["dataset"], row["track_id"])).iloc[at]
        assert row["dynamic_range"] == stored["dynamic_range"]
        track_curves = read_table(layout.curves(row["dataset"], row["track_id"]))
        first = round(row["start_s"] * 2)
        known = segment_curves["dynamic_arc"][position]
        known = known[np.isfinite(known)]
        expected = track_curves["dynamic_arc"].to_numpy()[first : first + 10]
        np.testing.assert_array_equal(known, expected[np.isfinite(expected)])
    assert set(segment_curves) == {one.name for one in curves(timed=True)}
    assert all(values.shape == (len(x), 10) for values in segment_curves.values())


def test_segments_of_a_work_stay_on_one_side(workbench):
    found, shapes = probe_segments(workbench.layout, per_track=3)
    assert not found.notes or not found.notes[0].startswith("WARNING")
    assert found.table["n"].max() > 12
    assert found.table["works"].max() == 6
    assert found.table["p"].isna().all()
    assert {"dynamic_arc", "centroid_trajectory"} <= set(shapes["curve"])
    folder = workbench.layout.probing / "segments"
    again, _ = load_discovery(folder)
    pd.testing.assert_frame_equal(again.table, found.table)


def test_results_of_an_earlier_version_say_what_to_do(workbench, tmp_path):
    folder = UPath(tmp_path)
    save_discovery(load_discovery(workbench.layout.probing)[0], folder, made_from={"encoder": "x"})
    record = read_json(folder / "results.json")
    record["settings"]["version"] = "2"
    write_json(folder / "results.json", record)
    with pytest.raises(StoreError, match="version 2 of layer discovery") as error:
        load_discovery(folder)
    assert "again" in str(error.value)


def test_figures_and_the_html_page(built):
    found, made_from = load_discovery(built.layout.probing)
    for drawn in (heatmap_png(found, title="x"), profiles_png(found), within_png(found)):
        assert drawn.startswith(b"\x89PNG")
        assert len(drawn) > 20_000
    page = heatmap_html(found, title=made_from["encoder"])
    assert "Plotly.newPlot" in page
    assert 'src="http' not in page  # opens without a network
    assert "harmonic_complexity" in page


@pytest.mark.parametrize("layers", [2, 9, 13])
def test_nothing_is_cut_off_the_heatmap(built, layers):
    found, _ = load_discovery(built.layout.probing)
    fewer = replace(found, table=found.table[found.table["layer"] < layers])
    image = imread(io.BytesIO(heatmap_png(fewer, title="x")))[..., :3]
    for edge in (image[:, :3], image[:, -3:], image[:3], image[-3:]):
        assert (edge == 1).all()


def test_the_untrained_counterpart_has_the_same_architecture_and_other_weights(trained):
    counterpart, again = load_control(trained), load_control(trained)
    wave = np.random.default_rng(0).standard_normal(24_000).astype(np.float32)
    states = trained.hidden_states(wave)
    found = counterpart.hidden_states(wave)
    assert found.shape == states.shape
    assert not np.allclose(found, states, atol=0.1)
    np.testing.assert_array_equal(found, again.hidden_states(wave))
    assert counterpart.name.startswith("untrained:counterpart-64x12@")
    differing = {
        name
        for name in counterpart.identity
        if counterpart.identity[name] != trained.identity[name]
    }
    assert differing == {"encoder"}


def test_probing_compares_with_the_untrained_counterpart(workbench, trained):
    layout = workbench.layout.of(trained.folder)
    tracks = read_table(layout.tracks)
    assert all(one.status == "done" for one in embed_tracks(tracks, trained, layout))
    build_matrix(layout, tracks)
    assert not check_control(layout).passed
    found, _ = probe_store(layout, permutations=3)
    assert found.table["untrained_r2"].isna().all()
    assert any("no untrained control" in note for note in found.notes)
    build_control_matrix(tracks, trained, layout)
    assert check_control(layout).passed
    found, _ = probe_store(layout, permutations=3)
    assert found.table["untrained_r2"].notna().all()
    assert found.summary["untrained_gain_low"].notna().all()
    # The counterpart's scores equal those of probing its matrix alone.
    counterpart, _, _ = load_matrix(layout.control)
    inputs = probing_inputs(layout)
    alone = discover(
        counterpart,
        inputs.y,
        inputs.rows["work_id"].tolist(),
        groups=grouping(layout, inputs.rows, "work"),
        layers=[0, 4],
        permutations=0,
        resamples=10,
    )
    np.testing.assert_allclose(alone.table["r2"], found.table["untrained_r2"])
    # Tracks without a counterpart are left out of probing.
    build_matrix(layout.control, tracks.iloc[1:])
    manifest = read_json(layout.control.matrix_manifest)
    write_json(layout.control.matrix_manifest, {**manifest, "control_of": trained.identity})
    fewer = probing_inputs(layout)
    assert len(fewer.x) == len(fewer.untrained) == 11
    assert "1 tracks left out: the untrained control lacks them" in fewer.notes
    assert not check_control(layout).passed


def test_works_that_the_encoder_was_trained_on_are_placed_but_not_scored(workbench, tmp_path):
    from mess_core.encoders.heard_works import HeardWorks
    from mess_core.encoders.piano import WORKS
    from mess_core.midi.note_sketches import note_sketches

    tracks = read_table(workbench.layout.tracks)
    heard = tracks[tracks["work_id"] == "demo:work3"]
    sketches, _ = note_sketches(heard["midi_path"].tolist())
    own = tmp_path / "mine"  # as if the library's encoder had been trained
    own.mkdir()
    HeardWorks(
        ("another title",) * len(heard),
        tuple(heard["track_id"]),
        ("training",) * len(heard),
        tuple(sketches[path].in_key for path in heard["midi_path"]),
    ).save(own / WORKS)
    _, _, manifest = load_matrix(workbench.layout)
    record_encoder(workbench.layout, str(own), manifest["identity"])
    inputs = probing_inputs(workbench.layout)
    mask = inputs.rows["track_id"].isin(heard["track_id"]).to_numpy()
    assert mask.sum() == 2
    assert inputs.y[mask].isna().all(axis=None)
    assert inputs.y[~mask].notna().any(axis=1).all()
    assert len(inputs.x) == 12  # they are still searched
    (note,) = [one for one in inputs.notes if "trained on" in one]
    assert note.startswith("2 tracks are not scored: untrained:tiny@")
    segments, _ = probe_segments(workbench.layout)
    assert note in segments.notes
    assert segments.table["works"].max() == 5
