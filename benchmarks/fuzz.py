"""Look for inputs on which MESS fails with anything but an error of its own, guided by coverage.

    pip install atheris        (Linux, Python 3.11 or 3.12)
    python benchmarks/fuzz.py midi --seconds 1200 --corpus FOLDER

Targets: `midi` (the MIDI reader), `audio` (headers and decoding), `library` (the reader of
published libraries), `answers` (the endpoint that takes listeners' answers). Found inputs stay in
FOLDER, where a later call continues; what fails is written to `crash-*` beside it. An input that
takes over five seconds, or 2 GB in all, counts as a failure, too.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import random
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import atheris
import pandas as pd

with atheris.instrument_imports(include=["mess_core"]):
    from mess_core.audio import audio_info, load_audio
    from mess_core.audio.containers import open_sound
    from mess_core.audio.mp3 import with_length
    from mess_core.datasets.demo import Expression, demo_score, perform, write_midi
    from mess_core.datasets.synthesis import synthesise
    from mess_core.errors import MessError
    from mess_core.judgements.plan import TRIPLET_COLUMNS, listening_plan
    from mess_core.judgements.response_log import read_triplets
    from mess_core.listen.listening_test import listening_test_routes
    from mess_core.midi.reading import read_performance
    from mess_core.search.publishing import fetch, served_root, version_of
    from mess_core.store.layout import Layout
    from mess_core.store.tables import write_table

LATER = (open_sound, with_length)
"""Of modules that are imported at first use, and would not be instrumented by then."""

RAM = "/dev/shm" if Path("/dev/shm").is_dir() else None
NOTES = perform(demo_score(0, bars=2), Expression(), seed=0)


def midi(folder: Path) -> tuple[Callable[[bytes], None], list[bytes]]:
    path = folder / "a.mid"
    write_midi(NOTES, path)
    seeds = [path.read_bytes()]

    def one(data: bytes) -> None:
        path.write_bytes(data)
        read_performance(path)

    return one, seeds


def audio(folder: Path) -> tuple[Callable[[bytes], None], list[bytes]]:
    import soundfile as sf

    path, seeds = folder / "a.wav", []
    wave = synthesise(NOTES)[:4000]
    for kind in ("WAV", "FLAC", "OGG", "MP3", "AIFF", "AU", "CAF", "W64", "RF64"):
        sf.write(path, wave, 24_000, format=kind)
        seeds.append(path.read_bytes())

    def one(data: bytes) -> None:
        path.write_bytes(data)
        with contextlib.suppress(MessError):
            audio_info(path)
        load_audio(path)

    return one, seeds


def library(folder: Path) -> tuple[Callable[[bytes], None], list[bytes]]:
    sums = {"metadata/tracks.parquet": "0" * 64}
    version = version_of(sums)
    about = {"encoders": ["mess-piano"], "tracks": 3}
    seeds = [json.dumps({"format": 2, "version": version, "sha256": sums, **about}).encode()]
    seeds += [seeds[0].replace(b'"format": 2', b'"format": 1'), b"{}", b"[]"]
    root = folder / "root"
    manifest = root / "versions" / version / "manifest.json"
    manifest.parent.mkdir(parents=True)
    (root / "latest").write_text(version)

    def one(data: bytes) -> None:
        manifest.write_bytes(data)
        with contextlib.suppress(MessError):
            served_root(root)
        fetch(root, folder / "copy")

    return one, seeds


LISTENER = "abcdefgh0123"
CLIPS = ("x", "left", "right")
ODD = (None, True, -1, 0, 2**63, 1e308, float("nan"), "", "left", "../a", "\x00", "é" * 9, [], {})


def answers(folder: Path) -> tuple[Callable[[bytes], None], list[bytes]]:
    from fastapi import FastAPI
    from fastapi.testclient import TestClient

    rows = [
        [f"n{number}", "same_passage"]
        + [part for one in range(3) for part in (f"track{number}-{one}", 0.5, 5.5)]
        + [""]
        for number in range(17)
    ]
    layout = Layout(folder)
    write_table(layout.human_triplets, pd.DataFrame(rows, columns=TRIPLET_COLUMNS))
    plan = listening_plan(LISTENER, read_triplets(layout))
    app = FastAPI()
    app.include_router(listening_test_routes(folder), prefix="/api")
    client = TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=True)
    headers = {"content-type": "application/json", "origin": "http://127.0.0.1"}

    def one(data: bytes) -> None:
        with contextlib.suppress(MessError):  # malformed requests
            answer = client.post("/api/answer", content=data, headers=headers)
            assert answer.status_code < 500, answer.text
            assert set(answer.json()) == {"total", "answered", "minutes", "median_s"}
        with contextlib.suppress(MessError):  # whatever was stored must be readable
            client.get("/api/plan", params={"listener": LISTENER}).raise_for_status()

    return one, [json.dumps(_answer(step.position, step.ticket)).encode() for step in plan]


def _answer(position: int, ticket: str) -> dict[str, Any]:
    return {
        "listener": LISTENER,
        "position": position,
        "ticket": ticket,
        "answer": "left",
        "seconds": 4.2,
        "plays": dict.fromkeys(CLIPS, 1),
        "listened": dict.fromkeys(CLIPS, 9.5),
    }


def mutate_json(data: bytes, max_size: int, seed: int) -> bytes:
    """Change a field of a JSON object; every fourth time, and if it is none, change bytes."""
    rng = random.Random(seed)
    try:
        record = json.loads(data)
        where = record
        if rng.random() < 0.3:
            where = record[rng.choice(("plays", "listened"))]
    except (ValueError, TypeError, KeyError, RecursionError):
        return bytes(atheris.Mutate(data, max_size))
    if not isinstance(where, dict) or rng.random() < 0.25:
        return bytes(atheris.Mutate(data, max_size))
    name = rng.choice([*where, "other"])
    if rng.random() < 0.2:
        where.pop(name, None)
    else:
        where[name] = rng.choice((*ODD, rng.randint(-5, 30), rng.uniform(0, 4000)))
    return json.dumps(record).encode()[:max_size]


TARGETS = {"midi": midi, "audio": audio, "library": library, "answers": answers}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=1200)
    parser.add_argument("--corpus", type=Path, required=True)
    args = parser.parse_args()
    logging.disable(logging.CRITICAL)
    args.corpus.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="mess-fuzz-", dir=RAM))
    one, seeds = TARGETS[args.target](folder)
    for number, seed in enumerate(seeds):
        (args.corpus / f"seed-{number}").write_bytes(seed)

    def test(data: bytes) -> None:
        with contextlib.suppress(MessError):
            one(data)

    options = [
        f"-max_total_time={args.seconds}", "-timeout=5", "-rss_limit_mb=2048", "-max_len=20000",
        "-print_final_stats=1", str(args.corpus),
    ]  # fmt: skip
    how = {"custom_mutator": mutate_json} if args.target == "answers" else {}
    atheris.Setup([sys.argv[0], *options], test, **how)
    os.chdir(args.corpus.parent)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
