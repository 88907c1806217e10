"""Python blocks of the README and the user guide run unchanged, and their commands exist."""

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
PAGES = [README, *(path.read_text() for path in sorted((ROOT / "docs" / "guide").glob("*.md")))]
COMMANDS = {name for text in PAGES for name in re.findall(r"^mess ([\w-]+)", text, re.MULTILINE)}


def _blocks(text: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)


def test_block_on_tracks_and_library(built, corpus, tmp_path, monkeypatch):
    first, second = sorted(corpus.glob("demo_01_*.flac"))
    shutil.copy(first, tmp_path / "take.flac")
    shutil.copy(first.with_suffix(".mid"), tmp_path / "take.mid")
    shutil.copy(second.with_suffix(".mid"), tmp_path / "other.mid")
    (tmp_path / "data").symlink_to(built.root)
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(_blocks(README)[0], names)
    assert len(names["audio"]) == 15
    assert names["embedding"].segments.ndim == 3


def test_block_on_layer_discovery():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((30, 2, 6))
    names = {
        "mess": __import__("mess_core"),
        "X": x,
        "Y": pd.DataFrame({"tempo": x[:, 0, 0]}),
        "works": [f"w{index % 6}" for index in range(30)],
    }
    exec(_blocks(README)[1], names)
    assert len(names["found"].table) == 2


def test_block_on_learning_from_ratings(corpus, monkeypatch):
    from mess_core.midi import read_performance
    from mess_core.ranking.perceived import describe_passage

    monkeypatch.setattr("mess_core.ranking.perceived._TREES", 5)
    rng = np.random.default_rng(0)
    works = [sorted(corpus.glob(f"demo_0{one}_*.mid")) for one in (1, 2, 3)]
    rated = [describe_passage([read_performance(path) for path in paths]) for paths in works]
    names = {
        "paths": works[0],
        "rated_passages": rated,
        "ratings": [rng.normal(size=(len(paths), 4)) for paths in works],
        "groups": ["a", "b", "c"],
    }
    blocks = [block for text in PAGES for block in _blocks(text)]
    block = next(block for block in blocks if "PerceivedDistance" in block)
    exec(block, names)
    found = names["distance"].distances(names["passage"])
    assert found.shape == (2, 2)
    assert found[0, 0] == 0


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_exists(command):
    from mess_core.cli import cli

    assert cli.get_command(None, command) is not None


def test_every_setting_is_documented():
    """Environment variables that the packages read are on the settings page."""
    page = (ROOT / "docs" / "reference" / "settings.md").read_text()
    code = "".join(
        path.read_text()
        for package in ("mess_core", "mess_assets")
        for path in sorted((ROOT / package).rglob("*.py"))
    )
    names = set(re.findall(r"""environ(?:\.get|\.setdefault)?[(\[]\s*["'](MESS_\w+)""", code))
    names |= set(re.findall(r"""["'](MESS_[A-Z_]+)["']""", code))
    assert len(names) > 15
    assert {name for name in names if f"`{name}`" not in page} == set()
