"""Judges at work: in a real browser, two at once, and on a server that is killed."""

import http.client
import io
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
from fastapi.testclient import TestClient

from mess_core.evaluation.judgements import read_judgements, read_triplets
from mess_core.evaluation.judging_plan import TRIPLET_COLUMNS, judge_plan
from mess_core.listen.app import create_app
from mess_core.listen.clips import integrated_loudness, matched
from mess_core.store import Layout, write_table
from tests.browsing import NARROW, WIDE, Served, accessible, opened, until

JUDGE = "abcdefgh0123"
RATE = 24_000
LISTEN = "from mess_core.listen.command import listen; listen()"
QUESTIONS = 20
"""17 triplets, 2 of them twice, and an attention check."""


class Caller:
    """Asks a server in another thread or process, as `TestClient` asks an application."""

    def __init__(self, address):
        self.address = address

    def get(self, path, params):
        return self._sent(f"{path}?{urllib.parse.urlencode(params)}", None)

    def post(self, path, json):
        return self._sent(path, json)

    def _sent(self, path, record):
        body = None if record is None else json.dumps(record).encode()
        with urllib.request.urlopen(self.address + path, data=body, timeout=20) as answer:
            text = answer.read()
        return SimpleNamespace(json=lambda: json.loads(text))


@pytest.fixture
def layout(tmp_path):
    """Tracks and triplets alone: no index, no embeddings. Clips last 0.05 s, to be heard fast."""
    found = Layout(tmp_path / "library")
    (tmp_path / "audio").mkdir()
    time_s = np.arange(3 * RATE) / RATE
    tracks = []
    for number in range(7):
        path = tmp_path / "audio" / f"secret{number}.wav"
        wave = 0.8 / (1 + number) * np.sin(2 * np.pi * 220 * 2 ** (number / 2) * time_s)
        sf.write(path, wave, RATE, subtype="PCM_16")
        tracks.append({"track_id": f"secret{number}", "audio_path": str(path)})
    write_table(found.tracks, pd.DataFrame(tracks))
    triples = itertools.islice(itertools.permutations(range(7), 3), 17)
    rows = [
        [f"n{row}", "same_passage"]
        + [part for one in triple for part in (f"secret{one}", 0.5, 0.55)]
        + [""]
        for row, triple in enumerate(triples)
    ]
    write_table(found.human_triplets, pd.DataFrame(rows, columns=TRIPLET_COLUMNS))
    return found


@pytest.fixture
def client(layout):
    return TestClient(create_app(layout.root), base_url="http://127.0.0.1")


@pytest.fixture
def served(layout):
    running = Served(layout.root)
    yield running
    running.stop()


def asked(client, judge=JUDGE, **more):
    return client.get("/api/judge/plan", params={"judge": judge, **more}).json()


def record(triplet, judge=JUDGE, **changes):
    found = {
        "judge": judge,
        "position": triplet["position"],
        "ticket": triplet["ticket"],
        "answer": "left",
        "seconds": 4.2,
        "plays": {"x": 1, "left": 2, "right": 3},
    }
    return {**found, **changes}


# --- Over HTTP ---------------------------------------------------------------------------


def test_questions_tell_no_names(client, layout):
    answer = client.get("/api/judge/plan", params={"judge": JUDGE})
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


def test_clips_are_the_passages_equally_loud_and_faded(client, layout):
    plan = judge_plan(JUDGE, read_triplets(layout))
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
    stale = {"judge": JUDGE, "position": 1, "clip": "x", "ticket": plan[0].ticket}
    assert client.get("/api/judge/clip", params=stale).status_code == 422
    assert client.get("/api/judge/clip", params={**stale, "clip": "y"}).status_code == 422


def test_loudness_meets_the_standard():
    # ITU-R BS.1770-4: a full-scale sine of 997 Hz measures -3.01 LUFS.
    for rate in (24_000, 44_100, 48_000):
        time_s = np.arange(5 * rate) / rate
        sine = np.sin(2 * np.pi * 997 * time_s)
        assert integrated_loudness(sine, rate) == pytest.approx(-3.01, abs=0.05)
        # Silence between the notes does not count.
        gappy = np.concatenate([sine, np.zeros(5 * rate)])
        assert integrated_loudness(gappy, rate) == pytest.approx(-3.01, abs=0.4)
        bass = np.sin(2 * np.pi * 30 * time_s)
        assert integrated_loudness(bass, rate) < -6
    assert integrated_loudness(np.zeros(100), 24_000) == -np.inf


def test_levels_are_only_lowered_and_silence_is_left():
    rng = np.random.default_rng(0)
    waves = [level * rng.standard_normal(RATE).astype(np.float32) for level in (0.2, 0.05, 0.001)]
    silent = np.zeros(RATE, np.float32)
    found = matched([*waves, silent], RATE)
    levels = [integrated_loudness(wave, RATE) for wave in found[:3]]
    assert levels == pytest.approx([integrated_loudness(waves[2], RATE)] * 3, abs=0.05)
    assert not found[3].any()
    loud = matched(waves[:1], RATE)[0]
    assert integrated_loudness(loud, RATE) == pytest.approx(-26, abs=0.05)


def test_answers_move_on_and_come_once(client, layout):
    triplet = asked(client)["triplet"]
    for _ in range(2):
        answer = client.post("/api/judge/answer", json=record(triplet))
        assert answer.status_code == 200
        assert answer.json()["answered"] == 1
    other = client.post("/api/judge/answer", json=record(triplet, answer="right"))
    assert other.status_code == 422
    assert "answered otherwise" in other.json()["problem"]
    assert asked(client)["triplet"]["position"] == 1
    assert asked(client, after=1)["triplet"]["position"] == 2
    assert asked(client, after=19)["triplet"]["position"] == 1
    assert asked(client, "zzzzzzzzzzzz")["answered"] == 0
    assert len(read_judgements(layout)) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"judge": "zzzzzzzzzzzz"},
        {"judge": "../../../etc"},
        {"judge": "../../abcdef"},
        {"judge": None},
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
        {"more": 1},
    ],
)
def test_malformed_answers_are_refused_and_write_nothing(client, layout, changes):
    sent = json.dumps(record(asked(client)["triplet"], **changes))
    answer = client.post("/api/judge/answer", content=sent)
    assert answer.status_code == 422
    assert answer.json()["problem"]
    assert not layout.evaluation.joinpath("judgements").exists()


@pytest.mark.parametrize(
    "sent", [b"", b"null", b"[]", b"{", b"\xff\xfe", b"[" * 1900, b'{"judge": "' + b"a" * 10**6]
)
def test_what_is_no_answer_is_refused(client, layout, sent):
    assert client.post("/api/judge/answer", content=sent).status_code == 422
    assert not layout.judgements.exists()


def test_foreign_pages_cannot_answer(client, layout):
    answer = client.post(
        "/api/judge/answer",
        json=record(asked(client)["triplet"]),
        headers={"Origin": "http://evil.example"},
    )
    assert answer.status_code == 422
    assert "another page" in answer.json()["problem"]
    assert not layout.judgements.exists()
    own = {"Origin": "http://127.0.0.1"}
    sent = record(asked(client)["triplet"])
    assert client.post("/api/judge/answer", json=sent, headers=own).status_code == 200


def test_problems_are_told_without_names(client, layout, tmp_path):
    clip = asked(client)["triplet"]["clips"]["x"]
    for path in (tmp_path / "audio").iterdir():
        path.unlink()
    answer = client.get(clip)
    assert answer.status_code == 422
    assert "cannot be played" in answer.json()["problem"]
    assert "secret" not in answer.text
    assert client.get("/api/judge/plan", params={"judge": "../x"}).status_code == 422
    write_table(layout.human_triplets, pd.DataFrame({"triplet_id": ["x"]}))
    broken = client.get("/api/judge/plan", params={"judge": JUDGE})
    assert broken.status_code == 404
    assert "lacks the columns" in broken.json()["problem"]
    layout.human_triplets.unlink()
    assert asked(client)["state"] == "empty"


def test_two_judges_at_once_do_not_meet(served, layout):
    judges = [JUDGE, "zzzzzzzzzzzz"]

    def judge_all(judge):
        own = Caller(served.address)
        while triplet := asked(own, judge)["triplet"]:
            own.post("/api/judge/answer", json=record(triplet, judge))

    threads = [threading.Thread(target=judge_all, args=(judge,)) for judge in judges]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    table = read_judgements(layout)
    assert table.groupby("judge")["position"].apply(sorted).tolist() == [[*range(QUESTIONS)]] * 2
    assert table.attrs["bad_lines"] == 0


def test_a_killed_server_loses_at_most_the_answer_in_flight(layout, client):
    told = set()

    def started():
        process = subprocess.Popen(
            [sys.executable, "-c", LISTEN, "--port", "0", "--data", str(layout.root)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        address = process.stdout.readline().split()[2]
        return process, Caller(address)

    def judge_on(own):
        try:
            while triplet := asked(own)["triplet"]:
                own.post("/api/judge/answer", json=record(triplet))
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
        process.wait()
    hand.join()
    kept = set(read_judgements(layout)["position"])
    assert 7 <= len(told) < QUESTIONS
    assert told <= kept
    assert len(kept - told) <= 1
    # What a harder crash would leave: half a line.
    with (layout.judgements / f"{JUDGE}.jsonl").open("ab") as file:
        file.write(b'{"judge": "abcdefgh0123", "pos')
    assert asked(client)["answered"] == len(kept)
    judge_on(client)
    assert asked(client)["triplet"] is None
    table = read_judgements(layout)
    assert sorted(table["position"]) == [*range(QUESTIONS)]
    assert table.attrs["bad_lines"] == 1


# --- In a browser ------------------------------------------------------------------------


def begun(page, address):
    page.goto(address)
    page.wait_for_selector("#begin:enabled")
    page.click("#begin")
    page.wait_for_selector("#triplet:not([hidden])")


def listened(page, by="keys"):
    for key, place in zip("1ab", ("x", "left", "right"), strict=True):
        until(page, f"!document.querySelector('[data-place={place}] button').disabled")
        if by == "keys":
            page.keyboard.press(key)
        else:
            page.click(f"[data-place={place}] button")
        until(page, f"document.querySelector('[data-place={place}]').matches('.done:not(.on)')")


def listened_fast(page):
    """The same in one go, without a way to the browser and back at each step."""
    page.evaluate(
        """async () => {
            const soon = () => new Promise((done) => setTimeout(done, 5));
            for (const root of document.querySelectorAll('.clip')) {
                const button = root.querySelector('button');
                while (button.disabled) await soon();
                button.click();
                while (!root.matches('.done:not(.on)')) await soon();
            }
        }"""
    )


def count(page, number):
    until(page, f"document.querySelector('#count').textContent === '{number} of {QUESTIONS}'")


def test_twenty_questions_with_a_reload_in_the_middle(browser, served, layout):
    page, complaints = opened(browser, WIDE)
    begun(page, served.address + "/judge.html")
    judge = page.evaluate("localStorage.getItem('mess-judge')")
    assert page.url.endswith(f"#judge={judge}")
    for number in range(QUESTIONS):
        if number == 9:
            page.reload()
            page.wait_for_selector("#begin:enabled")
            assert "9 of 20 are answered" in page.inner_text("#standing")
            page.click("#begin")
        count(page, number)
        assert page.locator(".answers button:enabled").count() == 0
        page.keyboard.press("ArrowLeft")  # nothing was heard yet
        if number < 2:
            listened(page, by=("clicks", "keys")[number])
        else:
            listened_fast(page)
        if number % 4:
            page.keyboard.press("ArrowRight" if number % 2 else "ArrowLeft")
        else:
            page.click("[data-answer=left]")
    page.wait_for_selector("#end:not([hidden])")
    said = page.inner_text("#end")
    assert "all 20 questions" in said
    assert not any(word in said.lower() for word in ("right", "wrong", "correct"))
    accessible(page)
    page.reload()
    page.wait_for_selector("#end:not([hidden])")
    page.close()
    table = read_judgements(layout)
    assert table["judge"].unique().tolist() == [judge]
    assert table["position"].tolist() == [*range(QUESTIONS)]
    wanted = ["right" if number % 2 and number % 4 else "left" for number in range(QUESTIONS)]
    assert table["shown"].tolist() == wanted
    assert (table[["plays_x", "plays_a", "plays_b"]] == 1).all(axis=None)
    assert table["seconds"].between(0.1, 60).all()
    assert complaints == []


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["1280", "390"])
def test_the_page_fits_and_is_accessible(browser, served, viewport):
    page, complaints = opened(browser, viewport)
    page.goto(served.address + "/judge.html")
    page.wait_for_selector("#begin:enabled")
    accessible(page)
    page.click("#begin")
    page.wait_for_selector("[data-place=x] button:enabled")
    accessible(page)
    listened(page)
    accessible(page)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.close()
    assert complaints == []


def test_judges_go_on_elsewhere_or_start_anew(browser, served, layout):
    first, complaints = opened(browser, WIDE)
    begun(first, served.address + "/judge.html")
    listened(first)
    first.keyboard.press("ArrowLeft")
    count(first, 1)
    second, more = opened(browser, NARROW)  # a browser context of its own
    begun(second, served.address + "/judge.html")
    count(second, 0)
    second.goto(first.url)
    until(second, "document.querySelector('#standing').textContent.startsWith('1 of 20')")
    second.click("#begin")
    count(second, 1)
    second.click("#self summary")
    second.click("#another")
    until(second, "document.querySelector('#standing').textContent.startsWith('20 questions')")
    assert second.url != first.url
    first.close()
    second.close()
    assert complaints == more == []
    assert len(read_judgements(layout)) == 1


def test_a_server_that_is_gone_and_clips_that_are_gone_are_told(browser, served, layout):
    page, _ = opened(browser, WIDE)  # the browser itself reports the failed requests
    begun(page, served.address + "/judge.html")
    listened(page)
    page.route("**/api/judge/**", lambda route: route.abort())
    page.keyboard.press("ArrowLeft")
    until(page, "document.querySelector('#notice').textContent.includes('not kept yet')")
    page.unroute("**/api/judge/**")
    page.route("**/api/judge/clip*", lambda route: route.fulfill(status=422, json={"problem": "?"}))
    page.keyboard.press("ArrowLeft")
    count(page, 1)
    listened(page)  # its clips had come ahead
    page.keyboard.press("ArrowLeft")
    count(page, 2)
    page.wait_for_selector("#later:not([hidden])")
    page.unroute("**/api/judge/clip*")
    page.click("#later")
    listened(page)
    page.keyboard.press("ArrowRight")
    count(page, 3)
    page.close()
    # The question that could not be heard comes again later.
    assert read_judgements(layout)["position"].tolist() == [0, 1, 3]


def test_without_triplets_the_page_says_what_to_do(browser, tmp_path):
    running = Served(tmp_path)
    page, complaints = opened(browser, NARROW)
    try:
        page.goto(running.address + "/judge.html")
        page.wait_for_selector("#notice:not([hidden])")
        assert "Materialise the `human_triplets` asset" in page.inner_text("#notice")
        assert page.locator("#begin").is_disabled()
        accessible(page)
        page.click("nav a")
        page.wait_for_selector("h1:has-text('search by ear')")
        page.click("nav a")
        page.wait_for_selector("#begin")
    finally:
        page.close()
        running.stop()
    assert complaints == []
