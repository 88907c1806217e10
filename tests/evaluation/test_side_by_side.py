"""Encoders side by side: the same tracks and queries for all, and what is left out is said."""

import dagster as dg
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from fastapi.testclient import TestClient

from mess_core.cli import cli
from mess_core.encoders import embed_tracks, load_encoder
from mess_core.errors import TooLittleError
from mess_core.evaluation import common_tracks, encoder_criteria
from mess_core.evaluation.pipeline import cached_scores
from mess_core.evaluation.side_by_side import compare_stored_encoders
from mess_core.evaluation.side_by_side_report import check_side_by_side, save_side_by_side
from mess_core.listen.app import create_app
from mess_core.probing.layer_probing import ProbingSettings
from mess_core.store.embeddings import EmbeddingStore
from mess_core.store.matrix import build_matrix, load_matrix
from mess_core.store.stored_encoders import remove_encoder
from mess_core.store.tables import read_table

QUICK = ProbingSettings(alphas=(1.0, 100.0), resamples=50, folds=3, inner_folds=2, permutations=0)


@pytest.fixture
def library(workbench):
    """A library embedded with the small piano encoder, too."""
    layout = workbench.layout
    tracks = read_table(layout.tracks)
    list(embed_tracks(tracks, load_encoder("mess-piano", device="cpu"), layout))
    build_matrix(layout.of("mess-piano"), tracks)
    return workbench


def test_every_system_is_scored_on_the_same_tracks(library):
    found = compare_stored_encoders(library.layout, settings=QUICK)
    assert found.encoders == ["mess-piano", "untrained:tiny"]
    assert found.systems == [*found.encoders, "MFCC, chroma"]
    scores = found.tables["scores"]
    assert scores.groupby("target")["n"].nunique().max() == 1
    assert set(found.pivot("r2").columns) == set(found.systems)
    assert any("no untrained control" in note for note in found.notes)
    # Only the encoder of the library has been probed, and none has been evaluated.
    assert set(found.tables["faithfulness"]["encoder"]) == {"untrained:tiny"}
    assert found.tables["retrieval"].empty


def test_costs_are_those_of_the_files(library):
    costs = compare_stored_encoders(library.layout, settings=QUICK).tables["costs"]
    rows = costs.set_index("encoder")
    for encoder in rows.index:
        store = EmbeddingStore(library.layout.of(encoder.replace(":", "-")))
        tracks = read_table(library.layout.tracks)
        stored = [
            store.read(kind, row.dataset, row.track_id).nbytes
            for row in tracks.itertuples()
            for kind in ("segments", "aggregated")
        ]
        hours = tracks["duration_s"].sum() / 3600
        expected = sum(stored) / hours / 1e6
        assert rows.loc[encoder, "megabytes_per_hour"] == pytest.approx(expected, rel=0.01)
        assert rows.loc[encoder, "seconds_per_hour"] > 0


def test_tracks_that_one_encoder_lacks_or_has_heard_are_left_out_for_all(library, monkeypatch):
    layout = library.layout
    tracks = read_table(layout.tracks)
    build_matrix(layout.of("mess-piano"), tracks.iloc[1:])
    heard = str(tracks["work_id"].iloc[-1])
    monkeypatch.setattr(
        common_tracks,
        "works_in_training",
        lambda _, rows, encoder: (
            {
                track: heard
                for track, work in zip(rows["track_id"], rows["work_id"], strict=True)
                if work == heard
            }
            if encoder.startswith("untrained")
            else {}
        ),
    )
    found = common_tracks.common_tracks(layout)
    assert str(tracks["track_id"].iloc[0]) not in set(found.rows["track_id"])
    assert heard not in set(found.rows["work_id"])
    assert {len(x) for x in found.systems.values()} == {len(found.rows)} == {len(found.y)}
    assert any("1 tracks left out: mess-piano does not have them" in one for one in found.notes)
    assert any("an encoder was trained on these works" in one for one in found.notes)
    matrix, rows, _ = load_matrix(layout.of("mess-piano"))
    at = rows["track_id"].tolist().index(found.rows["track_id"].iloc[0])
    np.testing.assert_array_equal(found.systems["mess-piano"][0], matrix[at])


def test_one_encoder_is_too_few(workbench):
    with pytest.raises(TooLittleError, match="at least two encoders"):
        compare_stored_encoders(workbench.layout)
    result = CliRunner().invoke(cli, ["compare", "--data", str(workbench.root)])
    assert result.exit_code == 1
    assert "mess run --encoder A --encoder B" in result.output


def answers(systems, queries, value):
    return pd.DataFrame(
        [
            {"system": system, "criterion": criterion, "metric": "RR@10", "fold": 0,
             "query": query, "cluster": query[0], "value": value}
            for system in systems
            for criterion in ("content", "content (permuted)")
            for query in queries
        ]
    )  # fmt: skip


def test_retrieval_is_compared_on_shared_queries(library, monkeypatch):
    layout = library.layout
    monkeypatch.setattr(encoder_criteria, "library_fingerprint", lambda *_: "same")
    for encoder, name, queries, value in (
        ("mess-piano", "mess-piano", ["a1", "a2", "b1", "c1"], 1.0),
        ("untrained-tiny", "untrained:tiny", ["a1", "b1", "c1", "d1"], 0.25),
    ):
        systems = ["random", f"{name}, layer chosen for content"]
        table = answers(systems, queries, value)
        cached_scores(layout.of(encoder), "retrieval-work").save("x", table, library="same")
    common = common_tracks.common_tracks(layout)
    notes = []
    found, summary = encoder_criteria.retrieval_scores(layout, common, notes)
    assert set(found["query"]) == {"a1", "b1", "c1"}
    assert set(found["criterion"]) == {"content"}
    assert any("2 queries left out" in note for note in notes)
    means = summary.set_index(["encoder", "system"])["mean"]
    assert means["mess-piano", "layer chosen for content"] == 1.0
    assert means["untrained:tiny", "layer chosen for content"] == 0.25
    assert list(means.index.get_level_values("system")).count("random") == 1
    paired = encoder_criteria.retrieval_differences(found).iloc[0]
    assert (paired["first"], paired["difference"], paired["clusters"]) == ("mess-piano", 0.75, 3)


def test_scores_of_another_state_of_the_library_are_not_compared(library, monkeypatch):
    layout = library.layout
    monkeypatch.setattr(encoder_criteria, "library_fingerprint", lambda *_: "now")
    for encoder in ("mess-piano", "untrained-tiny"):
        table = answers(["random"], ["a1"], 1.0)
        cached_scores(layout.of(encoder), "retrieval-work").save("x", table, library="before")
    notes = []
    common = common_tracks.common_tracks(layout)
    assert encoder_criteria.retrieval_scores(layout, common, notes)[1].empty
    assert sum("of another state of the library" in note for note in notes) == 2


def test_the_page_is_served_and_notices_new_embeddings(library):
    layout = library.layout
    client = TestClient(create_app(library.root), base_url="http://127.0.0.1")
    missing = client.get("/encoders.html")
    assert missing.status_code == 404
    assert "mess compare" in missing.text
    save_side_by_side(layout, compare_stored_encoders(layout, settings=QUICK))
    page = client.get("/encoders.html")
    assert page.status_code == 200
    assert "untrained:tiny" in page.text
    assert "<script" not in page.text
    assert check_side_by_side(layout).passed
    build_matrix(layout.of("mess-piano"), read_table(layout.tracks).iloc[1:])
    assert check_side_by_side(layout).facts["stale"] == ["mess-piano"]
    remove_encoder(layout, "mess-piano")
    assert not check_side_by_side(layout).passed


def test_the_asset_compares_all_stored_encoders(library):
    from mess_assets.definitions import defs
    from mess_assets.defs.resources import TrackingResource

    done = dg.materialize(
        [*defs.assets, *defs.asset_checks],
        selection=dg.AssetSelection.assets("encoder_comparison"),
        instance=library.instance,
        resources={
            "store": library.store,
            "encoder": library.encoder,
            "tracking": TrackingResource(uri="off"),
        },
    )
    made = done.asset_materializations_for_node("encoder_comparison")[0]
    assert made.metadata["encoders"].value == "mess-piano, untrained:tiny"
    assert done.get_asset_check_evaluations()[0].passed
