"""Stored results: a reader meets one complete state, whoever writes meanwhile."""

import threading
import time
from dataclasses import replace

import pytest
from upath import UPath

from mess_core.errors import StoreError
from mess_core.probing import results
from mess_core.probing.results import load_discovery, read_results, save_discovery


@pytest.fixture
def writing(workbench, tmp_path, monkeypatch):
    """Write two results in turn while the test reads."""
    for name in ("heatmap_png", "profiles_png", "within_png"):
        monkeypatch.setattr(results, name, lambda *_, **__: b"drawn")
    monkeypatch.setattr(results, "heatmap_html", lambda *_, **__: "drawn")
    first, _ = load_discovery(workbench.layout.probing)
    folder, ended = UPath(tmp_path), threading.Event()

    def write(number):
        found = replace(
            first,
            table=first.table.assign(mark=number),
            summary=first.summary.assign(mark=number),
        )
        save_discovery(found, folder, made_from={"encoder": "x", "number": number})

    def write_on():
        number = 1
        while not ended.is_set():
            write(number)
            number += 1
            time.sleep(0.1)

    write(0)
    writer = threading.Thread(target=write_on)
    writer.start()
    yield folder
    ended.set()
    writer.join()


def test_a_reader_sees_one_complete_state(writing):
    seen = set()
    until = time.monotonic() + 1.5
    while time.monotonic() < until or len(seen) < 3:
        found, made_from = load_discovery(writing)
        assert set(found.table["mark"]) == set(found.summary["mark"]) == {made_from["number"]}
        seen.add(made_from["number"])


def test_an_interrupted_writer_leaves_an_error_and_not_a_mixture(workbench, tmp_path):
    found, _ = load_discovery(workbench.layout.probing)
    folder = UPath(tmp_path)
    save_discovery(found, folder, made_from={"encoder": "x"})
    (folder / "results.json").unlink()
    with pytest.raises(StoreError, match=r"results\.json"):
        read_results(folder, "results.parquet")
