"""Readers open complete versions after kill -9 while an index is built, published or switched.

`tests/fixtures/killed_writer.py` takes any number of kills; the tests use 8.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("stage", ["build", "publish", "switch"])
def test_readers_open_a_complete_version_after_kills(stage, tmp_path):
    done = subprocess.run(
        [
            sys.executable,
            str(Path(__file__).parents[1] / "fixtures/killed_writer.py"),
            stage,
            str(tmp_path),
            "8",
        ],
        capture_output=True,
        text=True,
        timeout=150,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["killed"] >= 8
    assert found["met"] >= 2
