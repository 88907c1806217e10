"""API of the listening test: blinded questions, stored answers, and a server that is killed."""

import http.client
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
from fastapi.testclient import TestClient

from mess_core.judgements.plan import listening_plan
from mess_core.judgements.response_log import read_judgements, read_triplets
from mess_core.listen.app import create_app
from mess_core.listen.loudness import integrated_loudness
from mess_core.store import write_table
from tests.fixtures.listening_test import LISTENER, QUESTIONS, RATE, Client, answer_record, get_plan

LISTEN = "from mess_core.cli.listen import listen; listen()"


@pytest.fixture
def client(listening_layout):
    return TestClient(create_app(listening_layout.root), base_url="http://127.0.0.1")


def test_questions_do_not_reveal_the_tracks(client, listening_layout):
    answer = client.get("/api/listening-test/plan", params={"listener": LISTENER})
    found = answer.json()
    assert (found["state"], found["total"], found["answered"]) == ("ready", QUESTIONS, 0)
    assert set(found["triplet"]) == {"position", "ticket", "clips"}
    headers = []
    for slot in ("x", "left", "right"):
        clip = client.get(found["triplet"]["clips"][slot])
        assert clip.headers["content-type"] == "audio/wav"
        headers.append(str(clip.headers))
        assert b"secret" not in clip.content
    for text in (answer.text, *headers):
        for word in ("secret", "n1", "same_passage", "attention", "repeat", "swapped", "audio_"):
            assert word not in text


def test_clips_are_the_passages_with_matched_loudness_and_fades(client, listening_layout):
    plan = listening_plan(LISTENER, read_triplets(listening_layout))
    for position in (0, 5):
        loudness = []
        triplet = get_plan(client, after=position - 1)["triplet"]
        for slot in ("x", "left", "right"):
            wave, rate = sf.read(io.BytesIO(client.get(triplet["clips"][slot]).content))
            assert (rate, len(wave)) == (RATE, 0.05 * RATE)
            number = int(plan[position].shown(slot).track.removeprefix("secret"))
            peak = np.argmax(np.abs(np.fft.rfft(wave))) * rate / len(wave)
            assert peak == pytest.approx(220 * 2 ** (number / 2), abs=20)
            assert abs(wave[0]) < 1e-3 > abs(wave[-1])
            loudness.append(integrated_loudness(wave, rate))
        assert np.ptp(loudness) < 0.3
    stale = {"listener": LISTENER, "position": 1, "clip": "x", "ticket": plan[0].ticket}
    assert client.get("/api/listening-test/clip", params=stale).status_code == 422
    assert client.get("/api/listening-test/clip", params={**stale, "clip": "y"}).status_code == 422


def test_answers_advance_the_plan_and_are_stored_once(client, listening_layout):
    triplet = get_plan(client)["triplet"]
    for _ in range(2):
        answer = client.post("/api/listening-test/answer", json=answer_record(triplet))
        assert answer.status_code == 200
        assert answer.json()["answered"] == 1
    other = client.post("/api/listening-test/answer", json=answer_record(triplet, answer="right"))
    assert other.status_code == 422
    assert "already has a different answer" in other.json()["problem"]
    assert get_plan(client)["triplet"]["position"] == 1
    assert get_plan(client, after=1)["triplet"]["position"] == 2
    assert get_plan(client, after=19)["triplet"]["position"] == 1
    assert get_plan(client, "zzzzzzzzzzzz")["answered"] == 0
    assert len(read_judgements(listening_layout)) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"listener": "zzzzzzzzzzzz"},
        {"listener": "../../../etc"},
        {"listener": "../../abcdef"},
        {"listener": None},
        {"position": 1},
        {"position": 20},
        {"position": -1},
        {"position": 10**400},
        {"position": True},
        {"position": "0"},
        {"ticket": "0" * 16},
        {"ticket": None},
        {"ticket": ["n1"]},
        {"answer": "a"},
        {"answer": ""},
        {"answer": ["left"]},
        {"seconds": -0.1},
        {"seconds": 1e9},
        {"seconds": float("nan")},
        {"seconds": float("inf")},
        {"seconds": 10**400},
        {"seconds": "4"},
        {"seconds": None},
        {"plays": {"x": 1, "left": 1, "right": 0}},
        {"plays": {"x": 1, "left": 1}},
        {"plays": {"x": 1, "left": 1, "right": 10**9}},
        {"plays": [1, 1, 1]},
        {"listened": {"x": 1, "left": 1}},
        {"listened": {"x": 1, "left": 1, "right": float("nan")}},
        {"listened": {"x": 1, "left": 1, "right": True}},
        {"more": 1},
    ],
)
def test_malformed_answers_are_refused(client, listening_layout, changes):
    sent = json.dumps(answer_record(get_plan(client)["triplet"], **changes))
    answer = client.post("/api/listening-test/answer", content=sent)
    assert answer.status_code == 422
    assert answer.json()["problem"]
    assert not listening_layout.evaluation.joinpath("judgements").exists()


@pytest.mark.parametrize(
    "sent", [b"", b"null", b"[]", b"{", b"\xff\xfe", b"[" * 1900, b'{"listener": "' + b"a" * 10**6]
)
def test_malformed_requests_are_refused(client, listening_layout, sent):
    assert client.post("/api/listening-test/answer", content=sent).status_code == 422
    assert not listening_layout.judgements.exists()


def test_other_sites_cannot_answer(client, listening_layout):
    answer = client.post(
        "/api/listening-test/answer",
        json=answer_record(get_plan(client)["triplet"]),
        headers={"Origin": "http://evil.example"},
    )
    assert answer.status_code == 422
    assert "another site" in answer.json()["problem"]
    assert not listening_layout.judgements.exists()
    own = {"Origin": "http://127.0.0.1"}
    sent = answer_record(get_plan(client)["triplet"])
    assert client.post("/api/listening-test/answer", json=sent, headers=own).status_code == 200


def test_problems_are_reported_without_track_names(client, listening_layout, tmp_path):
    clip = get_plan(client)["triplet"]["clips"]["x"]
    for path in (tmp_path / "audio").iterdir():
        path.unlink()
    answer = client.get(clip)
    assert answer.status_code == 422
    assert "cannot be played" in answer.json()["problem"]
    assert "secret" not in answer.text
    assert client.get("/api/listening-test/plan", params={"listener": "../x"}).status_code == 422
    write_table(listening_layout.human_triplets, pd.DataFrame({"triplet_id": ["x"]}))
    broken = client.get("/api/listening-test/plan", params={"listener": LISTENER})
    assert broken.status_code == 404
    assert "lacks the columns" in broken.json()["problem"]
    listening_layout.human_triplets.unlink()
    assert get_plan(client)["state"] == "empty"


def test_listeners_do_not_wait_for_each_others_clips(listening_layout, monkeypatch):
    """Other requests are served while a triplet is decoded; its three requests decode it once."""
    began, proceed, calls = threading.Event(), threading.Event(), []

    def slow(passages):
        calls.append(passages)
        began.set()
        assert proceed.wait(20)
        return [b"x", b"a", b"b"]

    monkeypatch.setattr("mess_core.listen.listening_test.wav_clips", slow)
    app = create_app(listening_layout.root)
    clips = []

    def fetch(url):
        with TestClient(app, base_url="http://127.0.0.1") as own:
            clips.append(own.get(url).content)

    client = TestClient(app, base_url="http://127.0.0.1")
    urls = get_plan(client)["triplet"]["clips"].values()
    threads = [threading.Thread(target=fetch, args=(url,)) for url in urls]
    for thread in threads:
        thread.start()
    assert began.wait(20)
    other = "zzzzzzzzzzzz"
    sent = answer_record(get_plan(client, other)["triplet"], other)
    assert client.post("/api/listening-test/answer", json=sent).json()["answered"] == 1
    proceed.set()
    for thread in threads:
        thread.join()
    assert sorted(clips) == [b"a", b"b", b"x"]
    assert len(calls) == 1


def test_concurrent_listeners_do_not_interfere(listening_server, listening_layout):
    listeners = [LISTENER, "zzzzzzzzzzzz"]

    def answer_all(listener):
        own = Client(listening_server.address)
        while triplet := get_plan(own, listener)["triplet"]:
            own.post("/api/listening-test/answer", json=answer_record(triplet, listener))

    threads = [threading.Thread(target=answer_all, args=(listener,)) for listener in listeners]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    table = read_judgements(listening_layout)
    assert table.groupby("listener")["position"].apply(sorted).tolist() == [[*range(QUESTIONS)]] * 2
    assert table.attrs["bad_lines"] == 0


def test_a_killed_server_loses_at_most_the_last_answer(listening_layout, client):
    confirmed = set()

    def started():
        process = subprocess.Popen(
            [sys.executable, "-c", LISTEN, "--port", "0", "--data", str(listening_layout.root)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        address = process.stdout.readline().split()[2]
        return process, Client(address)

    def answer_remaining(own):
        try:
            while triplet := get_plan(own)["triplet"]:
                own.post("/api/listening-test/answer", json=answer_record(triplet))
                confirmed.add(triplet["position"])
        except (OSError, http.client.HTTPException):
            return

    process, own = started()
    try:
        thread = threading.Thread(target=answer_remaining, args=(own,))
        thread.start()
        while len(confirmed) < 7 and thread.is_alive():
            time.sleep(0.001)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    thread.join()
    stored = set(read_judgements(listening_layout)["position"])
    assert 7 <= len(confirmed) < QUESTIONS
    assert confirmed <= stored
    assert len(stored - confirmed) <= 1
    # A crash of the machine may leave an incomplete line.
    with (listening_layout.judgements / f"{LISTENER}.jsonl").open("ab") as file:
        file.write(b'{"listener": "abcdefgh0123", "pos')
    assert get_plan(client)["answered"] == len(stored)
    answer_remaining(client)
    assert get_plan(client)["triplet"] is None
    table = read_judgements(listening_layout)
    assert sorted(table["position"]) == [*range(QUESTIONS)]
    assert table.attrs["bad_lines"] == 1
