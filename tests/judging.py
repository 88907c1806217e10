"""A data root to judge in, and what a judge's page sends."""

import itertools
import json
import urllib.parse
import urllib.request
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from mess_core.evaluation.judging_plan import TRIPLET_COLUMNS
from mess_core.store import Layout, write_table
from tests.browsing import Served

JUDGE = "abcdefgh0123"
RATE = 24_000
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
def judged(tmp_path):
    """A layout with tracks and triplets alone: no index, no embeddings.

    Clips last 0.05 s, to be heard fast.
    """
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
def judging(judged):
    running = Served(judged.root)
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
        "listened": {"x": 10, "left": 9.5, "right": 2.0},
    }
    return {**found, **changes}
