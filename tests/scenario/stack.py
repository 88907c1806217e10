"""Dagster as deployed: a code server that executes runs and a daemon, in separate processes."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as held:
        return int(held.getsockname()[1])


def wait_for(what: str, true: Callable[[], object], seconds: float, every: float = 0.5) -> None:
    """Poll until `true` returns a true value; raise TimeoutError with `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        time.sleep(every)


@dataclass
class Stack:
    """Processes around one Dagster home.

    Attributes
    ----------
    home : Path
        ``DAGSTER_HOME``, which also contains the logs of the processes.
    environment : dict
        Variables added to a clean environment: data root, engine, switches.
    """

    home: Path
    environment: dict[str, str]
    running: dict[str, subprocess.Popen] = field(default_factory=dict)
    port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        if not (self.home / "dagster.yaml").exists():
            shutil.copy(ROOT / ".dagster" / "dagster.yaml", self.home)
        (self.home / "workspace.yaml").write_text(
            f"load_from:\n  - grpc_server: {{host: 127.0.0.1, port: {self.port}, "
            "location_name: mess}\n"
        )
        # Two processes that open an empty SQLite home at once would corrupt it.
        self.call("dagster", "instance", "info")

    @property
    def env(self) -> dict[str, str]:
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("DAGSTER", "MESS", "PYTEST", "NUMBA"))
        }
        return {
            **inherited,
            "DAGSTER_HOME": str(self.home),
            "OMP_NUM_THREADS": "1",
            "MLFLOW_TRACKING_URI": "off",
            **self.environment,
        }

    def call(self, command: str, *arguments: str, timeout: float = 600) -> str:
        """Run a command of the virtual environment, and return its output."""
        done = subprocess.run(
            [BIN / command, *arguments],
            cwd=ROOT,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        if done.returncode:
            raise RuntimeError(f"{command} {arguments}: {done.stdout[-3000:]}{done.stderr[-3000:]}")
        return done.stdout

    def start(self, name: str) -> None:
        """Start ``code``, ``daemon`` or ``webserver``."""
        commands = {
            "code": [
                *("dagster", "code-server", "start", "-m", "mess_assets.definitions"),
                *("-h", "127.0.0.1", "-p", str(self.port)),
            ],
            "daemon": ["dagster-daemon", "run", "-w", str(self.home / "workspace.yaml")],
        }
        command = commands[name]
        with (self.home / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                [BIN / command[0], *command[1:]],
                cwd=ROOT,
                env=self.env,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if name == "code":
            wait_for("code server", self._serves, 90)

    def _serves(self) -> bool:
        if self.running["code"].poll() is not None:
            raise RuntimeError((self.home / "code.log").read_text()[-3000:])
        probe = [BIN / "dagster", "api", "grpc-health-check", "-p", str(self.port)]
        return subprocess.run(probe, env=self.env, capture_output=True).returncode == 0

    def kill(self, name: str) -> None:
        """Send SIGKILL, as on power loss or when the kernel runs out of memory."""
        self._signal(name, signal.SIGKILL)

    def _signal(self, name: str, number: int) -> None:
        process = self.running.pop(name)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        process.wait(60)

    def stop(self) -> None:
        """Stop all processes."""
        for name in ("daemon", "code"):
            if name in self.running:
                process = self.running[name]
                process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(15)
                self._signal(name, signal.SIGKILL)

    @contextlib.contextmanager
    def instance(self) -> Iterator[dg.DagsterInstance]:
        """Yield the instance that the processes share."""
        before = dict(os.environ)
        os.environ.update(self.environment)
        try:
            with dg.DagsterInstance.from_config(str(self.home)) as instance:
                yield instance
        finally:
            os.environ.clear()
            os.environ.update(before)
