"""How long the page takes: first tracks, hits, reasons, a comparison, the map; in Chromium.

    python benchmarks/page.py DATA [--width 1400]
    python benchmarks/page.py --pair A.mid B.mid    what the server does for two long performances

Starts a server on a free port. Each figure is the median of five, on a server that has answered
once; the comparison is of two performances that have not been compared before.
"""

from __future__ import annotations

import argparse
import shutil
import socket
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path

import uvicorn
from playwright.sync_api import Page, sync_playwright

from mess_core.listen.app import create_app
from mess_core.midi import compare_performances, read_performance
from mess_core.search import Library

REPEATS = 5


def served(data: str) -> str:
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    bound.listen()
    server = uvicorn.Server(uvicorn.Config(create_app(data), log_level="error"))
    threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True).start()
    return f"http://127.0.0.1:{bound.getsockname()[1]}"


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
    parser.add_argument("--pair", type=Path, nargs=2)
    args = parser.parse_args()
    if args.pair:
        pair(*args.pair)
        return
    tracks = Library.open(args.data).tracks
    several = tracks[tracks["midi_path"].notna()].groupby("work_id")["track_id"].apply(list)
    pairs = [(one[0], other) for one in several if len(one) > 1 for other in one[1:2]]
    address = served(args.data)
    with sync_playwright() as running:
        found = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
        browser = running.chromium.launch(executable_path=found, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": args.width, "height": 950})
        print(f"{len(tracks)} tracks, {args.width} px\n")
        print("| what | median | largest |\n| --- | --- | --- |")

        def first(_: int) -> None:
            page.goto(f"{address}/")
            until(page, "document.querySelector('#tracks button') !== null")

        def drawn(_: int) -> None:
            page.goto(f"{address}/")
            until(page, "/ tracks \\(/.test(document.querySelector('#map-line').textContent)")

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
            ("first tracks", first), ("with the map", drawn), ("hits", hits),
            ("hits with their reasons", reasons), ("a link to a comparison, drawn", compare),
        ):  # fmt: skip
            report(name, measure)
        browser.close()


if __name__ == "__main__":
    main()
