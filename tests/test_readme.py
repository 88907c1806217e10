"""The README's Python runs as it stands."""

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

README = (Path(__file__).resolve().parents[1] / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def test_library_calls(built, corpus, tmp_path, monkeypatch):
    first, second = sorted(corpus.glob("demo_01_*.flac"))
    shutil.copy(first, tmp_path / "take.flac")
    shutil.copy(first.with_suffix(".mid"), tmp_path / "take.mid")
    shutil.copy(second.with_suffix(".mid"), tmp_path / "other.mid")
    (tmp_path / "data").symlink_to(built.root)
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(BLOCKS[0], names)
    assert len(names["audio"]) == 15
    assert names["embedding"].segments.ndim == 3


def test_discovery_calls():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((30, 2, 6))
    names = {
        "mess": __import__("mess_core"),
        "X": x,
        "Y": pd.DataFrame({"tempo": x[:, 0, 0]}),
        "works": [f"w{index % 6}" for index in range(30)],
    }
    exec(BLOCKS[1], names)
    assert len(names["found"].table) == 2


@pytest.mark.parametrize("command", re.findall(r"^mess (\w+)", README, flags=re.MULTILINE))
def test_every_command_exists(command):
    from mess_core.cli import cli

    assert cli.get_command(None, command) is not None
