"""The listening test is prepared from its page: in steps, once, and never for another site."""

import itertools
import threading
import time

import pandas as pd
import pytest
from fastapi.testclient import TestClient

from mess_core.judgements.plan import TRIPLET_COLUMNS
from mess_core.listen import listening_test_preparation
from mess_core.listen.app import create_app
from mess_core.store import read_table, write_table
from tests.fixtures.listening_test import LISTENER

PREPARE, PLAN = "/api/listening-test/prepare", "/api/listening-test/plan"


def _client(root):
    return TestClient(create_app(root), base_url="http://127.0.0.1")


def _state(client):
    return client.get(PLAN, params={"listener": LISTENER}).json().get("state")


def _ended(client):
    for _ in range(600):
        found = client.get(PREPARE).json()
        if found["state"] != "running":
            return found
        time.sleep(0.1)
    raise AssertionError("still running after a minute")


@pytest.fixture
def held(monkeypatch, workbench):
    """Steps that wait to be let go on, and then write triplets of the library's tracks."""
    names = read_table(workbench.layout.tracks)["track_id"].astype(str).tolist()
    rows = [
        [f"n{row}", "same_passage", *(part for one in triple for part in (one, 0.5, 0.55)), ""]
        for row, triple in enumerate(itertools.islice(itertools.permutations(names, 3), 17))
    ]
    triplets = pd.DataFrame(rows, columns=TRIPLET_COLUMNS)
    go, begun = threading.Event(), []

    def first(layout):
        begun.append(layout)
        assert go.wait(60)

    def last(layout):
        write_table(layout.human_triplets, triplets)

    steps = (("waiting", first), ("drawing triplets", last))
    monkeypatch.setattr(listening_test_preparation, "_STEPS", steps)
    return go, begun


def test_it_says_what_runs_runs_once_and_then_the_test_can_begin(workbench, held):
    go, begun = held
    client = _client(workbench.root)
    assert client.get(PREPARE).json()["state"] == "idle"
    assert _state(client) == "empty"
    client.post(PREPARE)
    while not begun:
        time.sleep(0.01)
    again = client.post(PREPARE).json()
    assert (again["state"], again["step"], again["steps"], again["said"]) == (
        "running",
        0,
        2,
        "waiting",
    )
    go.set()
    found = _ended(client)
    assert (found["state"], found["step"]) == ("done", 2)
    assert len(begun) == 1
    assert _state(client) == "ready"
    refused = client.post(PREPARE)
    assert refused.status_code == 422
    assert "already" in refused.json()["problem"]


def test_a_library_with_too_few_performances_says_so(workbench):
    client = _client(workbench.root)
    client.post(PREPARE)
    found = _ended(client)
    assert found["state"] == "failed"
    assert "no passage has three performances" in found["said"]


def test_a_failure_is_said_with_its_remedy(tmp_path):
    client = _client(tmp_path)
    client.post(PREPARE)
    found = _ended(client)
    assert found["state"] == "failed"
    assert str(tmp_path) in found["said"]


def test_pages_of_other_sites_cannot_start_it(tmp_path):
    refused = _client(tmp_path).post(PREPARE, headers={"origin": "http://evil.example"})
    assert refused.status_code == 422
    assert "another site" in refused.json()["problem"]
