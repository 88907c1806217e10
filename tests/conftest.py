"""Fixtures shared by several test folders; all data are synthetic."""

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

# Workers that compile librosa's functions into one cache at once corrupt it: each has its own.
_WORKER = os.environ.get("PYTEST_XDIST_WORKER", "main")
os.environ["NUMBA_CACHE_DIR"] = str(Path(__file__).parents[1] / ".pytest_cache/numba" / _WORKER)
os.environ["MLFLOW_TRACKING_URI"] = "off"
os.environ["MESS_WORKERS"] = "1"  # tests run in several processes already
os.environ.pop("MESS_DATASETS", None)
os.environ["MESS_ENCODER"] = "untrained:tiny"

pytest_plugins = [
    "tests.fixtures.browsing",
    "tests.fixtures.listening_test",
    "tests.fixtures.workbench",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run what takes longest first, so that no worker is left with it alone at the end.

    These are tests marked `longest`, and files that need the built library: one worker builds it
    while others have work.
    """
    needing = {one.path for one in items if "built" in getattr(one, "fixturenames", ())}
    items.sort(key=lambda one: (one.get_closest_marker("longest") is None, one.path not in needing))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder with real data sets, where ``MESS_TEST_DATA`` names one."""
    folder = os.environ.get("MESS_TEST_DATA", "")
    if not Path(folder, "maestro-midi").is_dir():
        pytest.skip("set MESS_TEST_DATA to a folder with maestro-midi, smd, asap and percepiano")
    return Path(folder)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a small demo corpus, read-only: 6 works x 2 players of 4 bars."""
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
    """File with seven seconds of two decaying tones at 24 kHz."""
    time_s = np.arange(7 * 24_000) / 24_000
    wave = 0.3 * np.sin(2 * np.pi * 220 * time_s) + 0.1 * np.sin(2 * np.pi * 660 * time_s)
    path = tmp_path / "tone.wav"
    sf.write(path, wave * np.exp(-time_s / 5), 24_000, subtype="PCM_16")
    return path
