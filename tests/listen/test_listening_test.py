"""FoldQueries without names, answers kept once: over HTTP, and on a server that is killed."""

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
from tests.fixtures.listening_test import LISTENER, QUESTIONS, RATE, Caller, asked, record

LISTEN = "from mess_core.cli.listen import listen; listen()"


@pytest.fixture
def client(judged):
    return TestClient(create_app(judged.root), base_url="http://127.0.0.1")


def test_questions_tell_no_names(client, judged):
    answer = client.get("/api/listening-test/plan", params={"listener": LISTENER})
    found = answer.json()
    assert (found["state"], found["total"], found["answered"]) == ("ready", QUESTIONS, 0)
    assert set(found["triplet"]) == {"position", "ticket", "clips"}
    headers = []
    for place in ("x", "left", "right"):
        clip = client.get(found["triplet"]["clips"][place])
        assert clip.headers["content-type"] == "audio/wav"
        headers.append(str(clip.headers))
        assert b"secret" not in clip.content
    for told in (answer.text, *headers):
        for word in ("secret", "n1", "same_passage", "attention", "repeat", "swapped", "audio_"):
            assert word not in told


def test_clips_are_the_passages_equally_loud_and_faded(client, judged):
    plan = listening_plan(LISTENER, read_triplets(judged))
    for position in (0, 5):
        loudness = []
        triplet = asked(client, after=position - 1)["triplet"]
        for place in ("x", "left", "right"):
            wave, rate = sf.read(io.BytesIO(client.get(triplet["clips"][place]).content))
            assert (rate, len(wave)) == (RATE, 0.05 * RATE)
            number = int(plan[position].shown(place).track.removeprefix("secret"))
            peak = np.argmax(np.abs(np.fft.rfft(wave))) * rate / len(wave)
            assert peak == pytest.approx(220 * 2 ** (number / 2), abs=20)
            assert abs(wave[0]) < 1e-3 > abs(wave[-1])
            loudness.append(integrated_loudness(wave, rate))
        assert np.ptp(loudness) < 0.3
    stale = {"listener": LISTENER, "position": 1, "clip": "x", "ticket": plan[0].ticket}
    assert client.get("/api/listening-test/clip", params=stale).status_code == 422
    assert client.get("/api/listening-test/clip", params={**stale, "clip": "y"}).status_code == 422


def test_answers_move_on_and_come_once(client, judged):
    triplet = asked(client)["triplet"]
    for _ in range(2):
        answer = client.post("/api/listening-test/answer", json=record(triplet))
        assert answer.status_code == 200
        assert answer.json()["answered"] == 1
    other = client.post("/api/listening-test/answer", json=record(triplet, answer="right"))
    assert other.status_code == 422
    assert "answered otherwise" in other.json()["problem"]
    assert asked(client)["triplet"]["position"] == 1
    assert asked(client, after=1)["triplet"]["position"] == 2
    assert asked(client, after=19)["triplet"]["position"] == 1
    assert asked(client, "zzzzzzzzzzzz")["answered"] == 0
    assert len(read_judgements(judged)) == 1


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
def test_malformed_answers_are_refused_and_write_nothing(client, judged, changes):
    sent = json.dumps(record(asked(client)["triplet"], **changes))
    answer = client.post("/api/listening-test/answer", content=sent)
    assert answer.status_code == 422
    assert answer.json()["problem"]
    assert not judged.evaluation.joinpath("judgements").exists()


@pytest.mark.parametrize(
    "sent", [b"", b"null", b"[]", b"{", b"\xff\xfe", b"[" * 1900, b'{"listener": "' + b"a" * 10**6]
)
def test_what_is_no_answer_is_refused(client, judged, sent):
    assert client.post("/api/listening-test/answer", content=sent).status_code == 422
    assert not judged.judgements.exists()


def test_foreign_pages_cannot_answer(client, judged):
    answer = client.post(
        "/api/listening-test/answer",
        json=record(asked(client)["triplet"]),
        headers={"Origin": "http://evil.example"},
    )
    assert answer.status_code == 422
    assert "another page" in answer.json()["problem"]
    assert not judged.judgements.exists()
    own = {"Origin": "http://127.0.0.1"}
    sent = record(asked(client)["triplet"])
    assert client.post("/api/listening-test/answer", json=sent, headers=own).status_code == 200


def test_problems_are_told_without_names(client, judged, tmp_path):
    clip = asked(client)["triplet"]["clips"]["x"]
    for path in (tmp_path / "audio").iterdir():
        path.unlink()
    answer = client.get(clip)
    assert answer.status_code == 422
    assert "cannot be played" in answer.json()["problem"]
    assert "secret" not in answer.text
    assert client.get("/api/listening-test/plan", params={"listener": "../x"}).status_code == 422
    write_table(judged.human_triplets, pd.DataFrame({"triplet_id": ["x"]}))
    broken = client.get("/api/listening-test/plan", params={"listener": LISTENER})
    assert broken.status_code == 404
    assert "lacks the columns" in broken.json()["problem"]
    judged.human_triplets.unlink()
    assert asked(client)["state"] == "empty"


def test_nobody_waits_for_clips_that_another_judge_asked_for(judged, monkeypatch):
    """While one triplet is decoded, others are answered; three requests decode it once."""
    began, go_on, made = threading.Event(), threading.Event(), []

    def slow(passages):
        made.append(passages)
        began.set()
        assert go_on.wait(20)
        return [b"x", b"a", b"b"]

    monkeypatch.setattr("mess_core.listen.listening_test.wav_clips", slow)
    app = create_app(judged.root)
    clips = []

    def fetch(url):
        with TestClient(app, base_url="http://127.0.0.1") as own:
            clips.append(own.get(url).content)

    client = TestClient(app, base_url="http://127.0.0.1")
    urls = asked(client)["triplet"]["clips"].values()
    threads = [threading.Thread(target=fetch, args=(url,)) for url in urls]
    for thread in threads:
        thread.start()
    assert began.wait(20)
    other = "zzzzzzzzzzzz"
    sent = record(asked(client, other)["triplet"], other)
    assert client.post("/api/listening-test/answer", json=sent).json()["answered"] == 1
    go_on.set()
    for thread in threads:
        thread.join()
    assert sorted(clips) == [b"a", b"b", b"x"]
    assert len(made) == 1


def test_two_judges_at_once_do_not_meet(judging, judged):
    listeners = [LISTENER, "zzzzzzzzzzzz"]

    def judge_all(listener):
        own = Caller(judging.address)
        while triplet := asked(own, listener)["triplet"]:
            own.post("/api/listening-test/answer", json=record(triplet, listener))

    threads = [threading.Thread(target=judge_all, args=(listener,)) for listener in listeners]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    table = read_judgements(judged)
    assert table.groupby("listener")["position"].apply(sorted).tolist() == [[*range(QUESTIONS)]] * 2
    assert table.attrs["bad_lines"] == 0


def test_a_killed_server_loses_at_most_the_answer_in_flight(judged, client):
    told = set()

    def started():
        process = subprocess.Popen(
            [sys.executable, "-c", LISTEN, "--port", "0", "--data", str(judged.root)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        address = process.stdout.readline().split()[2]
        return process, Caller(address)

    def judge_on(own):
        try:
            while triplet := asked(own)["triplet"]:
                own.post("/api/listening-test/answer", json=record(triplet))
                told.add(triplet["position"])
        except (OSError, http.client.HTTPException):
            return

    process, own = started()
    try:
        hand = threading.Thread(target=judge_on, args=(own,))
        hand.start()
        while len(told) < 7 and hand.is_alive():
            time.sleep(0.001)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    hand.join()
    kept = set(read_judgements(judged)["position"])
    assert 7 <= len(told) < QUESTIONS
    assert told <= kept
    assert len(kept - told) <= 1
    # What a harder crash would leave: half a line.
    with (judged.judgements / f"{LISTENER}.jsonl").open("ab") as file:
        file.write(b'{"listener": "abcdefgh0123", "pos')
    assert asked(client)["answered"] == len(kept)
    judge_on(client)
    assert asked(client)["triplet"] is None
    table = read_judgements(judged)
    assert sorted(table["position"]) == [*range(QUESTIONS)]
    assert table.attrs["bad_lines"] == 1
