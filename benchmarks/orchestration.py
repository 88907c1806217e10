"""Overhead of Dagster per partition, with almost no computation.

``python benchmarks/orchestration.py`` reports materialisations through the project's own
reporting code (`mess_assets.per_track`), in runs of 100 partitions and in runs of one. It uses
SQLite and, if PostgreSQL is installed, a temporary PostgreSQL server. ``--ui`` also times the
pages of the UI in a browser (needs Chromium). Both sides of a ratio come from the same call.
``--growth`` prints instead how the cost of a partition grows with their number, on any disk.
"""

import argparse
import contextlib
import os
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import dagster as dg

from mess_assets.partitions import TRACKS, range_tags
from mess_assets.per_track import report_outcomes
from mess_core.store.outcomes import TrackOutcome
from tests.scenario.services import find_postgres, postgres, storage
from tests.scenario.stack import BIN, ROOT, free_port, wait_for

_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
_SETTINGS = "telemetry: {enabled: false}\nnux: {enabled: false}\n"
_FACTS = {"shape": "[17, 13, 768]", "segments": 17, "layers": 13, "dim": 768, "norm": 1.0}


@dg.asset(
    partitions_def=TRACKS,
    backfill_policy=dg.BackfillPolicy.multi_run(100),
    output_required=False,
    code_version="1",
)
def trivial(context: dg.AssetExecutionContext) -> Iterator[dg.AssetMaterialization]:
    """Report as much per track as `embeddings`, without computing anything."""
    outcomes = (
        TrackOutcome(key, "bench", "done", {**_FACTS, "seconds": 0.1}, "0" * 64)
        for key in context.partition_keys
    )
    yield from report_outcomes(context, outcomes, "1")


DEFS = dg.Definitions(assets=[trivial], executor=dg.in_process_executor)


def overhead_ms(instance: dg.DagsterInstance, keys: list[str], batch: int) -> float:
    """Return the ms per partition of `keys` in runs of `batch`, in this process."""
    job = DEFS.resolve_job_def("__ASSET_JOB")
    began = time.perf_counter()
    for first in range(0, len(keys), batch):
        done = job.execute_in_process(
            instance=instance, tags=range_tags(keys[first : first + batch]), run_config=_QUIET
        )
        assert done.success
    return 1000 * (time.perf_counter() - began) / len(keys)


def measure(name: str, settings: str, counts: list[int], alone: int) -> None:
    """Print a line for each number of partitions, using a fresh instance for each."""
    for count in counts:
        with tempfile.TemporaryDirectory() as home:
            Path(home, "dagster.yaml").write_text(settings)
            with dg.DagsterInstance.from_config(home) as instance:
                keys = [f"track_{number:06d}" for number in range(count)]
                instance.add_dynamic_partitions(TRACKS.name, keys)
                overhead_ms(instance, keys[:5], 5)  # first use: imports, tables
                batched = overhead_ms(instance, keys, 100)
                single = overhead_ms(instance, keys[:alone], 1)
                found = len(instance.get_materialized_partitions(trivial.key))
                assert found == count
        ratio = single / batched
        print(
            f"{name:11s} {count:6d} partitions: {batched:6.1f} ms each in runs of 100, "
            f"{single:7.1f} ms each in runs of one ({alone} of them): {ratio:.1f} x",
            flush=True,
        )


def measure_growth(count: int, folder: Path | None) -> None:
    """Print what partitions cost while the event log grows: seconds, and those of the processor."""
    with tempfile.TemporaryDirectory(dir=folder) as home:
        Path(home, "dagster.yaml").write_text(_SETTINGS)
        with dg.DagsterInstance.from_config(home) as instance:
            keys = [f"track_{number:06d}" for number in range(count)]
            instance.add_dynamic_partitions(TRACKS.name, keys)
            overhead_ms(instance, keys[:5], 5)
            for first in range(0, count, 1000):
                part = keys[first : first + 1000]
                began = time.process_time()
                whole = overhead_ms(instance, part, 100)
                busy = 1000 * (time.process_time() - began) / len(part)
                print(
                    f"partitions {first + 1:6d} to {first + len(part):6d}: {whole:6.1f} ms each, "
                    f"{busy:6.1f} ms of the processor",
                    flush=True,
                )


def measure_ui(count: int) -> None:
    """Print the seconds until pages of the web server show their content, in Chromium."""
    from playwright.sync_api import sync_playwright

    port = free_port()
    with tempfile.TemporaryDirectory() as home:
        Path(home, "dagster.yaml").write_text(_SETTINGS)
        with dg.DagsterInstance.from_config(home) as instance:
            keys = [f"track_{number:06d}" for number in range(count)]
            instance.add_dynamic_partitions(TRACKS.name, keys)
            overhead_ms(instance, keys[:300], 100)
        server = subprocess.Popen(
            [
                *(BIN / "dagster-webserver", "-m", "mess_assets.definitions"),
                *("-h", "127.0.0.1", "-p", str(port)),
            ],
            cwd=ROOT,
            env={**os.environ, "DAGSTER_HOME": home},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        base = f"http://127.0.0.1:{port}"
        try:
            wait_for("web server", lambda: _answers(base), 90)
            with sync_playwright() as player:
                browser = player.chromium.launch(
                    executable_path="/usr/bin/chromium", args=["--no-sandbox"]
                )
                for path, text in (
                    ("/assets", "embedding_matrix"),
                    ("/assets/embeddings?view=partitions", f"{count:,}"),
                    ("/runs", "Success"),
                ):
                    page = browser.new_page()
                    times = []
                    for _ in range(3):
                        began = time.perf_counter()
                        page.goto(base + path)
                        page.get_by_text(text).first.wait_for(timeout=60_000)
                        times.append(time.perf_counter() - began)
                    print(f"{path:38s} {times[0]:5.1f} s first, {min(times[1:]):5.1f} s again")
                    page.close()
                browser.close()
        finally:
            server.terminate()
            server.wait(30)


def _answers(base: str) -> bool:
    with contextlib.suppress(OSError):
        return bool(urllib.request.urlopen(f"{base}/server_info", timeout=5).status == 200)
    return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--partitions", type=int, nargs="+", default=[200, 1276, 10_000])
    parser.add_argument("--alone", type=int, default=40, help="runs of one partition to time")
    parser.add_argument("--storage", choices=["sqlite", "postgres"], nargs="+")
    parser.add_argument("--ui", action="store_true", help="also time the pages of the UI")
    parser.add_argument("--growth", action="store_true", help="only: as the event log grows")
    parser.add_argument("--folder", type=Path, help="of the temporary Dagster home of --growth")
    given = parser.parse_args()
    if given.growth:
        measure_growth(max(given.partitions), given.folder)
        return
    wanted = given.storage or ["sqlite", *(["postgres"] if find_postgres() else [])]
    if "sqlite" in wanted:
        measure("SQLite", _SETTINGS, given.partitions, given.alone)
    if "postgres" in wanted:
        for count in given.partitions:
            with (
                tempfile.TemporaryDirectory() as folder,
                postgres(Path(folder) / "postgres") as database,
            ):
                settings = _SETTINGS + storage(database["DAGSTER_PG_PORT"])
                measure("PostgreSQL", settings, [count], given.alone)
    if given.ui:
        measure_ui(max(given.partitions))


if __name__ == "__main__":
    main()
