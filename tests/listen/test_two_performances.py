"""What the server says of two performances, and that page and Python agree."""

import numpy as np
import pytest
from fastapi.testclient import TestClient

from mess_core.listen.app import create_app
from mess_core.midi import compare_performances, read_performance

PAIR = {"query": "demo_01_steady", "hit": "demo_01_free"}


@pytest.fixture(scope="module")
def client(built):
    return TestClient(create_app(built.root), base_url="http://127.0.0.1")


def test_curves_are_those_of_the_python_function(client, built):
    from mess_core.search import Library

    found = client.get("/api/compare", params=PAIR).json()
    tracks = Library.open(built.root).tracks.set_index("track_id")
    same = compare_performances(
        *(read_performance(tracks.loc[one, "midi_path"]) for one in PAIR.values())
    )
    assert found["how"] == "notes"
    for side, curves in (("a", same.a), ("b", same.b)):
        for name in found["curves"]:
            shown = np.array(found[side][name], dtype=float)
            np.testing.assert_allclose(shown, getattr(curves, name), atol=0.06, equal_nan=True)
    notes = found["notes"]
    assert all(
        notes["a"]["pitch"][one] == notes["b"]["pitch"][other] for one, other in found["links"]
    )


def test_only_performances_of_one_work_are_compared(client):
    for hit in ("demo_02_steady", "demo_01_steady", "absent"):
        refused = client.get("/api/compare", params={**PAIR, "hit": hit})
        assert refused.status_code == 422
        assert refused.json()["problem"]


def test_without_midi_curves_are_of_the_audio_and_the_answer_says_so(workbench):
    import pandas as pd

    path = str(workbench.layout.tracks)
    table = pd.read_parquet(path)
    table["midi_path"] = None
    table.astype({"midi_path": "string"}).to_parquet(path)
    client = TestClient(create_app(workbench.root), base_url="http://127.0.0.1")
    found = client.get("/api/compare", params=PAIR).json()
    assert (found["how"], found["notes"], found["links"]) == ("sound", None, [])
    assert "MIDI is missing" in found["note"]
    assert set(found["curves"]) == {"loudness", "brightness", "onset_density"}
    assert all(value is not None for value in found["a"]["loudness"])
    assert client.get("/api/others", params=PAIR).json()["performances"] == []


def test_reasons_name_the_targets_that_are_nearest_and_farthest(client):
    hits = ["demo_01_free", "demo_02_steady"]
    found = client.get("/api/reasons", params={"query": "demo_01_steady", "hit": hits}).json()
    assert [one["track_id"] for one in found["hits"]] == hits
    for one in found["hits"]:
        assert max(part["apart_sd"] for part in one["closest"]) <= min(
            part["apart_sd"] for part in one["farthest"]
        )
        assert all(0 <= share <= 100 for share in one["percentiles"].values())
    assert (
        client.get("/api/reasons", params={"query": "demo_01_steady", "hit": "x"}).status_code
        == 422
    )


def test_a_layer_profile_has_intervals_the_control_and_held_out_points(client):
    targets = client.get("/api/heatmap").json()["targets"]
    found = client.get("/api/layer", params={"target": targets[0]}).json()
    assert len(found["r2"]) == len(found["layers"]) == len(found["r2_low"])
    assert client.get("/api/layer", params={"target": "absent"}).status_code == 404
    assert {"track_id", "measured", "predicted"} <= set(found["points"][0])


@pytest.mark.parametrize("time_s", ["nan", "inf", "-inf"])
def test_a_time_that_is_no_number_is_refused(client, time_s):
    for hit in ("demo_01_steady", "demo_01_free"):
        found = client.get("/api/moment", params={**PAIR, "hit": hit, "time_s": time_s})
        assert found.status_code == 422


def test_target_values_are_those_of_the_table(client, built):
    import pandas as pd

    found = client.get("/api/targets").json()
    table = pd.read_parquet(str(built.layout.proxy_targets)).set_index("track_id")
    shown = found["targets"]["velocity_mean"]["values"]
    np.testing.assert_allclose(shown, table.loc[found["track_ids"], "velocity_mean"], atol=1e-3)
