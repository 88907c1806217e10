"""What the same pipeline runs on: the embedded default, one server, many machines."""

from __future__ import annotations

from pathlib import Path


class Embedded:
    """SQLite, a local folder, runs in processes of the code server."""

    def __init__(self, folder: Path) -> None:
        self.data_root = str(folder / "data")
        self.environment: dict[str, str] = {}

    def close(self) -> None:
        """Nothing to stop."""


ENGINES = {"embedded": Embedded}
