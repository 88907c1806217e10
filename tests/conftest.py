"""Fixtures that several rooms share; all data is synthesised here."""

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

# Workers that compile librosa's functions into one cache at once break it: each has its own.
_WORKER = os.environ.get("PYTEST_XDIST_WORKER", "main")
os.environ["NUMBA_CACHE_DIR"] = str(Path(__file__).parents[1] / ".pytest_cache/numba" / _WORKER)
os.environ["MLFLOW_TRACKING_URI"] = "off"
os.environ.pop("MESS_DATASETS", None)
os.environ.pop("MESS_ENCODER", None)

pytest_plugins = [
    "tests.fixtures.browsing",
    "tests.fixtures.listening_test",
    "tests.fixtures.workbench",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that need the built library come first: one worker builds it, none waits for it."""
    needing = {one.path for one in items if "built" in getattr(one, "fixturenames", ())}
    items.sort(key=lambda one: one.path not in needing)


SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real recordings and golden numbers, where a developer has them."""
    if not SHARED.is_dir():
        pytest.skip("needs the developers' data folder, which users do not have")
    return SHARED


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small demo corpus: 6 works x 2 players of 4 bars, read-only."""
    from mess_core.datasets.demo import write_demo_corpus

    folder = tmp_path_factory.mktemp("corpus") / "demo"
    write_demo_corpus(folder, works=6, players=2, bars=4)
    return folder


@pytest.fixture(scope="session")
def encoder():
    from mess_core.encoders import load_encoder

    return load_encoder("untrained:tiny", device="cpu")


@pytest.fixture
def tone(tmp_path: Path) -> Path:
    """Seven seconds of a decaying two-tone at 24 kHz."""
    time_s = np.arange(7 * 24_000) / 24_000
    wave = 0.3 * np.sin(2 * np.pi * 220 * time_s) + 0.1 * np.sin(2 * np.pi * 660 * time_s)
    path = tmp_path / "tone.wav"
    sf.write(path, wave * np.exp(-time_s / 5), 24_000, subtype="PCM_16")
    return path
