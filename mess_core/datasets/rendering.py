"""Render performances as audio, with FluidSynth if it is installed or else a small synthesiser.

Neither normalises, so differences in loudness between clips are preserved.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from os import PathLike
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mess_core.datasets.demo import write_midi
from mess_core.datasets.synthesis import Notes, synthesise
from mess_core.errors import AudioError
from mess_core.midi.performance import Performance

__all__ = ["Engine", "check_soundfont", "engine_in_use", "play_soundfont", "render"]

Engine = Literal["auto", "demo", "fluidsynth"]
_SOUNDFONTS = (
    "/usr/share/sounds/sf2/FluidR3_GM.sf2",
    "/usr/share/sounds/sf2/default-GM.sf2",
    "/opt/homebrew/share/soundfonts/default.sf2",
)
_GAIN = "0.6"
_LONGEST_S = 600


def engine_in_use(engine: Engine = "auto") -> str:
    """Return "demo", or "fluidsynth:" and the name of the soundfont.

    Results depend on the engine and the soundfont, which ``MESS_SOUNDFONT`` selects.

    Raises
    ------
    AudioError
        If FluidSynth is requested explicitly and it or a soundfont is not installed.
    """
    if engine == "demo":
        return "demo"
    soundfont = _soundfont()
    if shutil.which("fluidsynth") and soundfont is not None:
        return f"fluidsynth:{soundfont.name}"
    if engine == "fluidsynth":
        raise AudioError(
            "FluidSynth or a soundfont is not installed",
            remedy="Install fluidsynth and set MESS_SOUNDFONT to an .sf2 file",
        )
    return "demo"


def render(
    performance: Performance, *, engine: Engine = "demo", sample_rate: int = 24_000
) -> NDArray[np.float32]:
    """Render a performance as audio that starts at its first note.

    Parameters
    ----------
    performance : Performance
        ``pedal_s`` determines the pedal.
    engine : {"demo", "fluidsynth", "auto"}
        "auto" uses FluidSynth if it is installed.
    sample_rate : int
        Hz.

    Returns
    -------
    ndarray, float32, shape [samples]
        Mono.

    Raises
    ------
    AudioError
        If FluidSynth fails.
    """
    start = float(performance.onset_s[0])
    notes = Notes(
        performance.onset_s - start,
        performance.offset_s - start,
        performance.pitch,
        performance.velocity,
        (performance.pedal_s - start).clip(0.0),
    )
    if engine_in_use(engine) == "demo":
        return synthesise(notes, sample_rate=sample_rate)
    return play_soundfont(notes, _soundfont(), sample_rate=sample_rate)


def check_soundfont(soundfont: str | PathLike[str] | None) -> None:
    """Check that FluidSynth can use a file; by itself it would only warn, and use another one.

    Raises
    ------
    AudioError
        If FluidSynth or the file is missing, or it is not a soundfont.
    """
    if shutil.which("fluidsynth") is None:
        raise AudioError("FluidSynth is not installed", remedy="Install fluidsynth")
    remedy = "Name an .sf2 file, or set MESS_SOUNDFONT to one"
    if soundfont is None or not Path(soundfont).is_file():
        raise AudioError("there is no such soundfont", path=soundfont, remedy=remedy)
    with Path(soundfont).open("rb") as file:
        if file.read(12)[8:] != b"sfbk":
            raise AudioError("is not a soundfont", path=soundfont, remedy=remedy)


def play_soundfont(
    notes: Notes | Performance,
    soundfont: str | PathLike[str] | None,
    *,
    sample_rate: int,
    program: int = 0,
    reverb: bool = False,
) -> NDArray[np.float32]:
    """Play notes with FluidSynth.

    Parameters
    ----------
    notes : Notes
    soundfont : path-like
    sample_rate : int
        Hz.
    program : int
        General MIDI program, from 0.
    reverb : bool
        Whether to add FluidSynth's room.

    Returns
    -------
    ndarray, float32, shape [samples]
        Mono, not normalised.

    Raises
    ------
    AudioError
        If FluidSynth fails, or `check_soundfont` does.
    """
    import soundfile as sf

    check_soundfont(soundfont)
    with tempfile.TemporaryDirectory(prefix="mess-render-") as folder:
        midi, wav = Path(folder) / "a.mid", Path(folder) / "a.wav"
        write_midi(notes, midi, program=program)
        command = ["fluidsynth", "-ni", "-q", "-R", str(int(reverb)), "-C", "0", "-g", _GAIN]
        command += ["-r", str(sample_rate), "-T", "wav", "-O", "s16", "-F", str(wav)]
        command += [str(soundfont), str(midi)]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=_LONGEST_S)
            samples, _ = sf.read(wav, dtype="float32", always_2d=True)
        except (subprocess.SubprocessError, OSError, RuntimeError) as error:
            raise AudioError(
                f"FluidSynth failed ({type(error).__name__})",
                path=soundfont,
                remedy="Try another soundfont, or render with the demo synthesiser",
            ) from error
    mono: NDArray[np.float32] = samples.mean(axis=1, dtype=np.float32)
    return mono


def _soundfont() -> Path | None:
    named = os.environ.get("MESS_SOUNDFONT")
    candidates = [Path(named)] if named else [Path(one) for one in _SOUNDFONTS]
    return next((path for path in candidates if path.is_file()), None)
