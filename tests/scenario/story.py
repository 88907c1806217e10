"""Scenario with real processes: backfill, new and corrupt tracks, killed processes, recovery.

``python -m tests.scenario.story FOLDER --tracks 500 --new 100`` runs it; the tests run a short one.
Prints every step, and the counts of `Scenario.findings` at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import dagster as dg

from mess_core.store import Layout, escape_track_id
from mess_core.store.failures import failures_table
from mess_core.store.matrix import load_matrix
from mess_core.store.tables import read_table
from tests.scenario.corpus import corrupt, write_tracks
from tests.scenario.digests import FILE, digests
from tests.scenario.engines import ENGINES
from tests.scenario.stack import ROOT, Stack, wait_for

_COUNTING = Path(__file__).parent / "counting"
_ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


class Scenario:
    """One data root, one stack of processes, and the steps of the scenario."""

    def __init__(
        self, folder: Path, engine: str, batch: int, say: Callable[[str], None] = print
    ) -> None:
        self.folder = folder
        self.takes = folder / "takes"
        self.counted = folder / "embedded.log"
        self.batch = batch
        self.began = time.monotonic()
        self._say = say
        self.engine = ENGINES[engine](folder)
        try:
            self.stack = Stack(folder / "home", {**self.engine.environment, **self._settings()})
            self.engine.start(self.stack.env)
        except BaseException:
            self.engine.close()
            raise
        self.layout = Layout(self.engine.data_root, "untrained-tiny")

    def _settings(self) -> dict[str, str]:
        return {
            "MESS_DATA_ROOT": self.engine.data_root,
            "MESS_DATASETS": f"takes={self.takes}",
            "MESS_ENCODER": "untrained:tiny",
            "MESS_DEVICE": "cpu",
            "MESS_AUTOMATION": "on",
            "MESS_SENSOR_SECONDS": "5",
            "MESS_TRACKS_PER_RUN": str(self.batch),
            "MESS_STEP_GPUS": "0",
            "MESS_COUNTED": str(self.counted),
            "NUMBA_CACHE_DIR": str(self.folder / "numba"),
            "PYTHONPATH": f"{_COUNTING}{os.pathsep}{ROOT}",
        }

    def say(self, text: str) -> None:
        self._say(f"{time.monotonic() - self.began:7.1f} s  {text}")

    def passes(self) -> Counter[str]:
        """Return how often each track was embedded, by any process."""
        if not self.counted.exists():
            return Counter()
        return Counter(line.split("\t")[0] for line in self.counted.read_text().splitlines())

    def backfill(self, tracks: int) -> None:
        """Write tracks and materialise them with ``mess backfill``."""
        write_tracks(self.takes, 0, tracks)
        self.say(f"{tracks} tracks written; mess backfill")
        self.stack.call("mess", "backfill", "--yes", timeout=3600)
        self.say(f"materialised; {sum(self.passes().values())} embedded")

    def add_tracks_and_kill_processes(self, tracks: int, new: int, broken: int) -> str:
        """Add tracks, some of them corrupt, and kill a worker and the daemon during the runs.

        Returns the id of the run whose worker was killed.
        """
        before = sum(self.passes().values())
        self.stack.environment["MESS_COUNTED_SLOWLY"] = "0.3"
        self.stack.start("code")
        self.stack.start("daemon")
        self.say("code server and daemon are up")
        time.sleep(12)  # the sensors are evaluated once and find nothing
        ids = write_tracks(self.takes, tracks, new)
        for track_id in ids[5 : 5 + broken]:
            corrupt(self.takes, track_id)
        self.say(f"{new} new tracks, {broken} of them corrupt")
        wait_for(
            "the first new embeddings", lambda: sum(self.passes().values()) >= before + 3, 300, 0.1
        )
        killed = self._kill_worker()
        self.stack.kill("daemon")
        self.say(f"worker of run {killed[:8]} and the daemon killed with SIGKILL")
        time.sleep(3)
        self.stack.environment["MESS_COUNTED_SLOWLY"] = "0"
        self.stack.start("daemon")
        self.say("daemon started again")
        return killed

    def _kill_worker(self) -> str:
        from mess_assets.workers import WORKER_TAG

        with self.stack.instance() as instance:
            started = instance.get_runs(
                dg.RunsFilter(job_name="embed", statuses=[dg.DagsterRunStatus.STARTED])
            )
        run = next(one for one in started if WORKER_TAG in one.tags)
        os.kill(int(json.loads(run.tags[WORKER_TAG])["pid"]), signal.SIGKILL)
        return run.run_id

    def wait_for_rebuild(self, good: int, rebuilds: int = 2) -> None:
        """Wait until all runs have ended and tables are rebuilt."""

        def idle() -> bool:
            with self.stack.instance() as instance:
                runs = instance.get_runs()
                done = [one for one in runs if one.job_name == "tables"]
                return len(done) >= rebuilds and all(one.status in _ENDED for one in runs)

        wait_for("the last rebuild", idle, 1200, 1.0)
        self.say("tables, probing and indices are rebuilt")
        time.sleep(15)  # time for any further run to start
        wait_for("no active runs", idle, 300, 1.0)
        rows = len(load_matrix(self.layout)[1])
        self.say(f"{rows} tracks in the matrix; {good} were expected")

    def findings(self, killed: str) -> dict[str, object]:
        """Return counts from the store, the event log and the log of embedded tracks."""
        from mess_core.search.artifact import load_artifact

        tracks = read_table(self.layout.tracks)
        _, rows, _ = load_matrix(self.layout)
        _, passages, _ = load_artifact(self.layout.indices, "passage")
        _, indexed, _ = load_artifact(self.layout.indices, "track")
        failed = failures_table(self.layout)
        with self.stack.instance() as instance:
            keys = instance.get_dynamic_partitions("tracks")
            runs = instance.get_runs()
            materialised = instance.get_materialized_partitions(dg.AssetKey("embeddings"))
            again = [one for one in runs if one.parent_run_id == killed]
            restarts = {dg.DagsterEventType.STEP_RESTARTED}
            restarted = len(instance.all_logs(killed, of_type=restarts))
            checks = [
                record
                for record in instance.event_log_storage.get_latest_asset_check_execution_by_key(
                    _check_keys()
                ).values()
                if record.status.value != "SUCCEEDED"
            ]
        passes = self.passes()
        good = set(rows["track_id"])
        return {
            "tracks": len(tracks),
            "good": len(good),
            "failed": sorted(set(failed["track_id"])),
            "failed_named": bool(failed["path"].notna().all() and failed["remedy"].notna().all()),
            "partitions": len(keys),
            "partitions_twice": len(keys) - len(set(keys)),
            "partitions_without_track": len(
                set(keys) - {escape_track_id(one) for one in tracks["track_id"]}
            ),
            "materialised": len(materialised),
            "embedded_never": len([one for one in good if f"{one}.wav" not in passes]),
            "embedded_twice": len([one for one, count in passes.items() if count > 1]),
            "embedded_more_often": len([one for one, count in passes.items() if count > 2]),
            "retries_of_killed_run": [one.status.value for one in again],
            "steps_retried": restarted,
            "rebuilds": len([one for one in runs if one.job_name == "tables"]),
            "tables_of_good_tracks": set(indexed["track_id"]) == good == set(passages["track_id"]),
            "runs": dict(Counter(f"{one.job_name} {one.status.value}" for one in runs)),
            "checks_not_passed": sorted(
                record.event.dagster_event.asset_check_evaluation_data.check_name
                for record in checks
            ),
        }

    def close(self) -> None:
        self.stack.stop()
        self.engine.close()


def _check_keys() -> list[dg.AssetCheckKey]:
    from mess_assets.definitions import defs

    keys = defs.resolve_asset_graph().asset_check_keys
    return [key for key in keys if key.asset_key.path != ["targets_report"]]


def run_scenario(
    folder: Path,
    *,
    tracks: int,
    new: int,
    broken: int = 3,
    batch: int = 25,
    engine: str = "embedded",
    say: Callable[[str], None] = print,
) -> dict[str, object]:
    """Run the whole scenario, and return `Scenario.findings`."""
    scenario = Scenario(folder, engine, batch, say)
    try:
        scenario.backfill(tracks)
        killed = scenario.add_tracks_and_kill_processes(tracks, new, broken)
        scenario.wait_for_rebuild(tracks + new - broken)
        made = digests(scenario.layout)
        (folder / FILE).write_text(json.dumps(made, indent=1))
        return scenario.findings(killed)
    finally:
        scenario.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="an empty folder; everything is written there")
    parser.add_argument("--tracks", type=int, default=500)
    parser.add_argument("--new", type=int, default=100)
    parser.add_argument("--broken", type=int, default=3)
    parser.add_argument("--batch", type=int, default=25)
    parser.add_argument("--engine", choices=sorted(ENGINES), default="embedded")
    given = vars(parser.parse_args())
    folder = given.pop("folder").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    print(json.dumps(run_scenario(folder, **given), indent=1))


if __name__ == "__main__":
    main()
