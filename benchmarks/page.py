"""How long the page takes: first tracks, hits, reasons, a comparison, the map; in Chromium.

    python benchmarks/page.py DATA [--width 1400] [--tracks 10000]
    python benchmarks/page.py --pair A.mid B.mid    what the server does for two long performances

Starts a server on a free port. With `--tracks`, of a library that repeats the tracks of DATA with a
little noise on their vectors, without its probing results. Each figure is the median of five, on a
server that has answered once; the comparison is of two performances that have not been compared
before.
"""

from __future__ import annotations

import argparse
import shutil
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import uvicorn
from playwright.sync_api import Page, sync_playwright

from mess_core.listen.app import create_app
from mess_core.midi import compare_performances, read_performance
from mess_core.search import Library
from mess_core.search.artifact import save_artifact
from mess_core.search.index import TrackIndex
from mess_core.store.layout import Layout
from mess_core.store.tables import read_table, write_table

REPEATS = 5


def served(data: str) -> str:
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    bound.listen()
    server = uvicorn.Server(uvicorn.Config(create_app(data), log_level="error"))
    threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True).start()
    return f"http://127.0.0.1:{bound.getsockname()[1]}"


def enlarged(data: str, count: int, folder: Path) -> str:
    """Write a library of `count` tracks, which are those of another with noise on their vectors."""
    library = Library.open(data)
    ids, vectors = library.vectors()
    rng = np.random.default_rng(0)
    chosen = np.arange(count) % len(ids)
    names = [ids[row] + ("" if turn < len(ids) else f"~{turn}") for turn, row in enumerate(chosen)]
    noisy = vectors[chosen] + 0.02 * rng.standard_normal((count, *vectors.shape[1:]), np.float32)
    noisy /= np.linalg.norm(noisy, axis=2, keepdims=True)
    layout = Layout(folder, library.layout.encoder)
    for path, wanted in (
        (library.layout.tracks, layout.tracks),
        (library.layout.proxy_targets, layout.proxy_targets),
    ):
        rows = read_table(path).set_index("track_id").loc[[ids[row] for row in chosen]]
        write_table(wanted, rows.reset_index().assign(track_id=names))
    index = TrackIndex.build(noisy, [int(layer) for layer in library.identity["layers"]])
    rows = pd.DataFrame({"track_id": names})
    save_artifact(layout.indices, "track", index.index, rows, library.identity)
    return str(folder)


def until(page: Page, condition: str) -> None:
    while not page.evaluate(condition):
        page.wait_for_timeout(5)


def pair(a: Path, b: Path) -> None:
    """Print how long two performances take to be compared."""
    both = read_performance(a), read_performance(b)
    report(
        f"compare {len(both[0])} and {len(both[1])} notes", lambda _: compare_performances(*both)
    )


def report(name: str, measure: Callable[[int], None]) -> None:
    measure(0)
    spent = []
    for number in range(1, REPEATS + 1):
        began = time.perf_counter()
        measure(number)
        spent.append(time.perf_counter() - began)
    print(f"| {name} | {statistics.median(spent):.2f} s | {max(spent):.2f} s |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="?")
    parser.add_argument("--width", type=int, default=1400)
    parser.add_argument("--tracks", type=int)
    parser.add_argument("--pair", type=Path, nargs=2)
    args = parser.parse_args()
    if args.pair:
        pair(*args.pair)
        return
    with tempfile.TemporaryDirectory() as folder:
        data = enlarged(args.data, args.tracks, Path(folder)) if args.tracks else args.data
        measure_page(data, args.width)


def first_visit(page: Page, data: str) -> str:
    """Print what the first visit takes, as soon as the server is there; return its address."""
    address = served(data)
    began = time.perf_counter()
    page.goto(f"{address}/")
    until(page, "document.querySelector('#tracks button') !== null")
    whole = time.perf_counter() - began
    painted = page.evaluate(
        "performance.getEntriesByName('first-contentful-paint')[0].startTime / 1000"
    )
    print(f"| first visit: paint | {painted:.2f} s | |\n| first visit: tracks | {whole:.2f} s | |")
    return address


def measure_page(data: str, width: int) -> None:
    """Print the table of one library."""
    tracks = Library.open(data).tracks
    several = tracks[tracks["midi_path"].notna()].groupby("work_id")["track_id"].apply(list)
    pairs = [(one[0], other) for one in several if len(one) > 1 for other in one[1:2]]
    with sync_playwright() as running:
        found = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
        browser = running.chromium.launch(executable_path=found, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": 950})
        page.goto("about:blank")
        print(f"{len(tracks)} tracks, {width} px\n")
        print("| what | median | largest |\n| --- | --- | --- |")
        address = first_visit(page, data)

        def first(_: int) -> None:
            page.goto(f"{address}/")
            until(page, "document.querySelector('#tracks button') !== null")

        def drawn(_: int) -> None:
            page.goto(f"{address}/")
            until(page, "/ tracks \\(/.test(document.querySelector('#map-line').textContent)")

        def frame(_: int) -> None:
            """Draw the map again, as for every step of moving or zooming it."""
            page.evaluate(
                "new Promise((done) => { const map = document.getElementById('map');"
                "map.dispatchEvent(new WheelEvent('wheel', { deltaY: -1, cancelable: true }));"
                "requestAnimationFrame(() => requestAnimationFrame(done)); })"
            )

        def hits(number: int) -> None:
            page.locator("#tracks button").nth(number).click()
            until(page, "document.querySelectorAll('#hits li').length > 0")
            until(page, "!document.querySelector('#results').hasAttribute('aria-busy')")

        def reasons(number: int) -> None:
            hits(number + REPEATS)
            until(page, "document.querySelector('#hits .words') !== null")

        def compare(number: int) -> None:
            query, hit = pairs[number % len(pairs)]
            page.goto(f"{address}/?track={query}&hit={hit}&same_work=1&compare=1")
            until(page, "document.querySelectorAll('#compare .curve').length > 3")

        for name, measure in (
            ("first tracks", first), ("with the map", drawn), ("two frames of zooming", frame),
            ("hits", hits),
            ("hits with their reasons", reasons), ("a link to a comparison, drawn", compare),
        ):  # fmt: skip
            report(name, measure)
        browser.close()


if __name__ == "__main__":
    main()
