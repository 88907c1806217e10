"""Render the works that a collection of MIDI files contains in several performances.

The result is a folder data set with audio, MIDI and metadata: what learned similarity needs is the
same music, played in different ways.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mess_core.datasets.demo import write_midi
from mess_core.datasets.rendering import check_soundfont, play_soundfont
from mess_core.datasets.synthesis import Notes
from mess_core.errors import DatasetError, MessError
from mess_core.midi.performance import Performance
from mess_core.midi.reading import read_performance

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["excerpt_notes", "write_shared_works"]

_RATE = 24_000
_RECORD = "corpus.json"
_FEWEST_NOTES = 20

Say = Callable[[str], None]


def write_shared_works(
    files: pd.DataFrame,
    out: str | PathLike[str],
    soundfonts: Sequence[str | PathLike[str]],
    *,
    seconds: float = 60.0,
    seed: int = 0,
    jobs: int = 2,
    say: Say = lambda _: None,
) -> pd.DataFrame:
    """Render the beginnings of all performances of works that have several.

    Performances that have been rendered are kept, so a stopped call continues.

    Parameters
    ----------
    files : DataFrame
        Rows of a track table with ``track_id, midi_path, work_id, composer, title``.
    out : path-like
        Local folder to write to.
    soundfonts : sequence of path-like
        Each performance is rendered with one of them, drawn at random, so that the instrument does
        not tell performances apart. The level of the notes is kept.
    seconds : float
        Longest excerpt, from the first note.
    seed : int
    jobs : int
        Processes.
    say : callable
        Called with progress messages.

    Returns
    -------
    DataFrame
        The metadata: ``track_id, composer, title, work_id, soundfont``.

    Raises
    ------
    DatasetError
        If no work has two performances, or the folder holds a corpus of other settings.
    AudioError
        If FluidSynth or a soundfont cannot be used.
    """
    from joblib import Parallel, delayed

    folder = Path(out)
    chosen = files[files.groupby("work_id")["track_id"].transform("size") > 1]
    if chosen.empty:
        raise DatasetError(
            "no work has two performances", path=str(folder), remedy="Add other performances"
        )
    fonts = [str(font) for font in soundfonts]
    for font in fonts:
        check_soundfont(font)
    folder.mkdir(parents=True, exist_ok=True)
    _claim(
        folder,
        {
            "soundfonts": [Path(font).name for font in fonts],
            "drawn": "per track",  # in earlier versions in the order of the tracks
            "seconds": seconds,
            "seed": seed,
        },
    )
    draws = [_draw(track, seed, len(fonts)) for track in chosen["track_id"]]
    table = chosen[["track_id", "composer", "title", "work_id"]].assign(
        soundfont=[Path(fonts[draw]).name for draw in draws]
    )
    tasks = list(zip(chosen["midi_path"], table["track_id"], draws, strict=True))
    failed = []
    parallel = Parallel(n_jobs=jobs, return_as="generator")
    results = parallel(
        delayed(_render)(str(path), folder / _file_name(track), fonts[draw], seconds)
        for path, track, draw in tasks
    )
    for done, ((path, track, _), problem) in enumerate(zip(tasks, results, strict=True), start=1):
        if problem is not None:
            failed.append(track)
            say(f"{path}: left out, {problem}")
        if done % 50 == 0 or done == len(tasks):
            say(f"{done} of {len(tasks)} performances")
    table = table[~table["track_id"].isin(failed)]
    table = table.assign(track_id=[_file_name(track) for track in table["track_id"]])
    temporary = folder / ".part-metadata.csv"
    table.to_csv(temporary, index=False)
    temporary.replace(folder / "metadata.csv")
    return table


def excerpt_notes(performance: Performance, start_s: float, seconds: float) -> Notes | None:
    """Return the notes of an excerpt, from its start; None if it has almost none.

    Parameters
    ----------
    performance : Performance
    start_s, seconds : float
    """
    part = performance.excerpt(start_s, start_s + seconds)
    if part is None or len(part.pitch) < _FEWEST_NOTES:
        return None
    return Notes(
        (part.onset_s - start_s).clip(0),
        (part.offset_s - start_s).clip(1e-3),
        part.pitch,
        part.velocity,
        (part.pedal_s - start_s).clip(0),
    )


def _draw(track_id: str, seed: int, count: int) -> int:
    """Return a number below `count` that depends on nothing but the track and the seed.

    A folder to which performances are added keeps what was rendered.
    """
    return int(np.random.default_rng([seed, zlib.crc32(track_id.encode())]).integers(count))


def _file_name(track_id: str) -> str:
    """Return a track id without folders, as a file name."""
    return track_id.replace("/", "_").replace(os.sep, "_")


def _claim(folder: Path, settings: dict[str, Any]) -> None:
    """Write the settings of a new corpus, or check that they are those of the folder's."""
    record = folder / _RECORD
    if record.exists():
        known = json.loads(record.read_text(encoding="utf-8"))
        if known != settings:
            raise DatasetError(
                f"contains a corpus of other settings ({known})",
                path=str(folder),
                remedy="Name another folder",
            )
        return
    record.write_text(json.dumps(settings, indent=1), encoding="utf-8")


def _render(midi: str, target: Path, soundfont: str, seconds: float) -> str | None:
    """Write audio and MIDI of one performance, unless both exist; return what is wrong."""
    import soundfile as sf

    audio, notes_file = (
        target.with_name(f"{target.name}.flac"),
        target.with_name(f"{target.name}.mid"),
    )
    if audio.exists() and notes_file.exists():
        return None
    try:
        whole = read_performance(midi)
        notes = excerpt_notes(whole, float(whole.onset_s[0]), seconds)
        if notes is None:
            return f"fewer than {_FEWEST_NOTES} notes"
        wave = play_soundfont(notes, soundfont, sample_rate=_RATE)[: int(seconds * _RATE)]
        part = audio.with_name(f".part-{audio.name}")
        sf.write(part, wave, _RATE, subtype="PCM_16", format="FLAC")
        write_midi(notes, notes_file)
        part.replace(audio)  # last: a performance with audio is complete
    except MessError as error:
        return error.problem
    return None
