"""Both engines render loudness, length and pedal audibly."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from mess_core.datasets.rendering import _soundfont, engine_in_use, render
from mess_core.errors import AudioError
from mess_core.midi.performance import Performance

RATE = 24_000
INSTALL = "install FluidSynth (Debian): apt-get install fluidsynth"
INSTALLED = shutil.which("fluidsynth") is not None and _soundfont() is not None
ENGINES = [
    "demo",
    pytest.param(
        "fluidsynth",
        marks=pytest.mark.skipif(not INSTALLED, reason=f"{INSTALL} fluid-soundfont-gm"),
    ),
]
SCALE = Performance(
    3.0 + 0.5 * np.arange(6), 3.2 + 0.5 * np.arange(6), 60 + np.arange(6), np.full(6, 70),
    np.empty((0, 2)),
)  # fmt: skip


def power(wave, start_s, end_s):
    return float(np.square(wave[round(start_s * RATE) : round(end_s * RATE)]).mean())


@pytest.mark.parametrize("engine", ENGINES)
def test_changes_of_the_notes_are_audible(engine):
    plain = render(SCALE, engine=engine)
    assert plain.dtype == np.float32
    assert plain.ndim == 1
    assert 2.5 <= len(plain) / RATE < 20
    assert np.abs(plain).max() <= 1
    # The audio starts at the first note, and is almost silent between the notes.
    assert power(plain, 0, 0.2) > 20 * power(plain, 0.45, 0.5)
    assert power(plain, 0, 0.2) > 0
    loud = render(replace(SCALE, velocity=np.full(6, 110)), engine=engine)
    assert power(loud, 0, 3) > 2 * power(plain, 0, 3)
    pedalled = render(replace(SCALE, pedal_s=np.array([[3.0, 6.0]])), engine=engine)
    assert power(pedalled, 0.45, 0.5) > 5 * power(plain, 0.45, 0.5)
    assert power(pedalled, 0.45, 0.5) > 0
    held = render(replace(SCALE, offset_s=SCALE.onset_s + 0.45), engine=engine)
    assert power(held, 0.3, 0.4) > 3 * power(plain, 0.3, 0.4)
    np.testing.assert_array_equal(plain, render(SCALE, engine=engine))


def test_engine_in_use_and_missing_engine(monkeypatch, tmp_path):
    assert engine_in_use("demo") == "demo"
    monkeypatch.setenv("MESS_SOUNDFONT", str(tmp_path / "none.sf2"))
    assert engine_in_use("auto") == "demo"
    with pytest.raises(AudioError, match="not installed"):
        engine_in_use("fluidsynth")


@pytest.mark.skipif(not shutil.which("fluidsynth"), reason=INSTALL)
def test_invalid_soundfont_is_an_error(monkeypatch, tmp_path):
    broken = tmp_path / "broken.sf2"
    broken.write_bytes(b"no soundfont")
    monkeypatch.setenv("MESS_SOUNDFONT", str(broken))
    with pytest.raises(AudioError, match="MESS_SOUNDFONT"):
        render(SCALE, engine="fluidsynth")
