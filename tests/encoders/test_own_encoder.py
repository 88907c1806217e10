"""The documentation's encoder of one's own works as it is printed."""

import importlib.metadata
import re
from pathlib import Path

import numpy as np
import pytest

from mess_core.encoders import load_encoder
from mess_core.encoders.control import load_control
from mess_core.encoders.registry import find_encoder
from mess_core.errors import EncoderError

PAGE = Path(__file__).resolve().parents[2] / "docs" / "guide" / "encoders.md"
OWN = PAGE.read_text(encoding="utf-8").split("(encoder-of-your-own)=")[1]


def block(language):
    return re.search(rf"```{language}\n(.*?)```", OWN, re.DOTALL)[1]


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """As ``pip install -e .`` leaves it: a module on the path, and an entry point."""
    (tmp_path / "my_encoder.py").write_text(block("python"))
    group, name, value = re.search(r'entry-points\."(.*?)"\]\n(\w+) = "(.*?)"', OWN).groups()
    point = importlib.metadata.EntryPoint(name, value, group)
    real = importlib.metadata.entry_points
    monkeypatch.setattr(
        importlib.metadata,
        "entry_points",
        lambda **wanted: [point] if wanted == {"group": group} else real(**wanted),
    )
    monkeypatch.syspath_prepend(tmp_path)
    folder = tmp_path / "mel-64"
    folder.mkdir()
    (folder / "config.json").write_text(block("json"))
    return folder


def test_it_takes_about_forty_lines():
    lines = [line for line in block("python").splitlines() if line.strip()]
    assert len(lines) <= 45


def test_it_embeds_and_has_a_control(installed):
    encoder = load_encoder(installed, device="cpu", layers=[1])
    noise = np.random.default_rng(0).standard_normal(7 * 16_000).astype(np.float32)
    assert encoder.embed(noise).segments.shape == (2, 1, 64)
    assert encoder.state_names == ("change",)
    assert load_control(encoder).dim == 64
    assert re.fullmatch(r"mel-64-[0-9a-f]{6}", encoder.folder)


def test_without_its_package_the_folder_is_refused(tmp_path):
    (tmp_path / "config.json").write_text(block("json"))
    with pytest.raises(EncoderError, match="a model of type 'mel', which MESS does not know"):
        find_encoder(tmp_path)
