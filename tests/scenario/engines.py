"""Engines for the same pipeline: the embedded default, one server, and a Ray cluster."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Protocol

from tests.scenario.services import postgres, s3, storage
from tests.scenario.stack import ROOT, free_port, wait_for


class Engine(Protocol):
    """Location of the data, and environment of the processes."""

    data_root: str
    environment: dict[str, str]

    def start(self, environment: dict[str, str]) -> None:
        """Start services that need the environment of the pipeline."""

    def close(self) -> None:
        """Stop everything."""


class Embedded:
    """SQLite and a local folder; the code server starts a process per run."""

    def __init__(self, folder: Path) -> None:
        self.data_root = str(folder / "data")
        self.environment: dict[str, str] = {}

    def start(self, environment: dict[str, str]) -> None:
        pass

    def close(self) -> None:
        pass


class Server:
    """PostgreSQL and an S3-compatible store."""

    def __init__(self, folder: Path) -> None:
        self._services = contextlib.ExitStack()
        _home(folder, self._services.enter_context(postgres(folder / "postgres")))
        self.environment = self._services.enter_context(s3(folder / "s3"))
        # The test process itself reads the store as well.
        os.environ.update(self.environment)
        self.data_root = "s3://mess/data"

    def start(self, environment: dict[str, str]) -> None:
        pass

    def close(self) -> None:
        self._services.close()


class Ray:
    """Steps as jobs of a Ray cluster of two nodes on this machine; PostgreSQL, a shared folder."""

    def __init__(self, folder: Path) -> None:
        self._services = contextlib.ExitStack()
        database = self._services.enter_context(postgres(folder / "postgres"))
        _home(folder, database, at_once=2)
        self.data_root = str(folder / "data")
        self._head, self._dashboard = free_port(), free_port()
        self._logs = folder / "ray.log"
        self.environment = {
            "MESS_EXECUTOR": "ray",
            "RAY_ADDRESS": f"http://127.0.0.1:{self._dashboard}",
        }

    def start(self, environment: dict[str, str]) -> None:
        # Jobs inherit a node's environment, and this address is that of the dashboard.
        env = {name: value for name, value in environment.items() if name != "RAY_ADDRESS"}
        # Steps are commands, found on the PATH.
        env["PATH"] = f"{Path(sys.executable).parent}:{env['PATH']}"
        common = ["--num-cpus=1", "--disable-usage-stats", "--node-ip-address=127.0.0.1"]
        head = [
            f"--port={self._head}",
            "--dashboard-host=127.0.0.1",
            f"--dashboard-port={self._dashboard}",
        ]
        self._ray(["start", "--head", *head, *common], env)
        self._services.callback(self._ray, ["stop", "--force"], env)
        self._ray(["start", f"--address=127.0.0.1:{self._head}", *common], env)
        wait_for("two Ray nodes", lambda: self._nodes(env) == 2, 60, 1.0)

    def _ray(self, arguments: list[str], env: dict[str, str]) -> None:
        with self._logs.open("ab") as log:
            subprocess.run(
                [sys.executable, "-m", "ray.scripts.scripts", *arguments],
                check=True,
                env=env,
                cwd=ROOT,
                stdout=log,
                stderr=log,
            )

    def _nodes(self, env: dict[str, str]) -> int:
        script = (
            f"import ray; ray.init('127.0.0.1:{self._head}', log_to_driver=False); "
            "print(sum(node['Alive'] for node in ray.nodes()))"
        )
        done = subprocess.run(
            [sys.executable, "-c", script], env=env, capture_output=True, text=True
        )
        return int(done.stdout.split()[-1]) if done.returncode == 0 else 0

    def close(self) -> None:
        self._services.close()


def _home(folder: Path, database: dict[str, str], at_once: int = 1) -> None:
    """Write the project's dagster.yaml with PostgreSQL and `at_once` simultaneous GPU steps."""
    text = (ROOT / ".dagster" / "dagster.yaml").read_text()
    text = text.replace("default_limit: 1", f"default_limit: {at_once}")
    text = text.replace("value: gpu, limit: 1", f"value: gpu, limit: {at_once}")
    (folder / "home").mkdir(parents=True, exist_ok=True)
    (folder / "home" / "dagster.yaml").write_text(storage(database["DAGSTER_PG_PORT"]) + text)


ENGINES = {"embedded": Embedded, "server": Server, "ray": Ray}
