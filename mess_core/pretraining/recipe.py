"""From a folder of MIDI files to a trained encoder: works apart, clips, training, files to load."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from joblib import Parallel, delayed

from mess_core.datasets.base import scan_source, track_table
from mess_core.encoders.heard_works import HeardWorks, join_by_notes, note_sketches
from mess_core.encoders.piano import WEIGHTS, WORKS
from mess_core.errors import EncoderError, MessError
from mess_core.pretraining.rendering import Instrument, installed_instruments, render_file
from mess_core.pretraining.training import BEST, TrainingSettings, load_clips, train
from mess_core.store.arrays import write_bytes
from mess_core.store.tables import write_json

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Recipe", "train_encoder"]

Say = Callable[[str], None]


@dataclass(frozen=True)
class Recipe:
    """What an encoder is trained on.

    Attributes
    ----------
    soundfonts : tuple of str
        Paths of ``.sf2`` files that render the notes, besides the built-in synthesiser.
    excerpts : int
        Excerpts of 20 s per file, at most.
    held_out : float
        Share of works that choose the weights, and are not trained on.
    exclude : tuple of str
        Folders of MIDI whose works are left out, because they will be evaluated on.
    workers : int
        Processes that render.
    seed : int
        Of works held out, excerpts and manipulations.
    training : TrainingSettings
    """

    soundfonts: tuple[str, ...] = ()
    excerpts: int = 8
    held_out: float = 0.1
    exclude: tuple[str, ...] = ()
    workers: int = 2
    seed: int = 0
    training: TrainingSettings = field(default_factory=TrainingSettings)


def train_encoder(
    midi: str | PathLike[str],
    out: str | PathLike[str],
    recipe: Recipe | None = None,
    *,
    device: str = "cpu",
    say: Say = lambda _: None,
) -> dict[str, Any]:
    """Train the small piano encoder on a folder of MIDI files.

    Parameters
    ----------
    midi : path-like
        Folder in any layout that `mess_core.datasets.scan_source` reads; audio is not used.
    out : path-like
        Local folder. Clips and the state of training are kept there, so the same call continues
        where it stopped. ``load_encoder(out)`` loads the result.
    recipe : Recipe, optional
    device : str
        "cpu" or "cuda".
    say : callable
        Called with lines of progress.

    Returns
    -------
    dict
        As written to ``training.json``: files, works and hours, what was skipped, settings,
        seconds, and scores on the works held out.

    Raises
    ------
    EncoderError
        If there are too few works or nothing can be rendered.
    DatasetError, AudioError
        If a folder or a soundfont is missing.

    Examples
    --------
    >>> train_encoder("maestro-v3.0.0", "encoders/mine")  # doctest: +SKIP
    >>> mess.load_encoder("encoders/mine")  # doctest: +SKIP
    """
    recipe, folder = recipe or Recipe(), Path(out)
    instruments = installed_instruments(recipe.soundfonts)
    tracks, skipped = _tracks(Path(midi), recipe, say)
    files, unrendered = _clips(tracks, folder, recipe, instruments, say)
    skipped |= unrendered
    tracks = tracks[tracks["track_id"].isin(files)].reset_index(drop=True)
    held_out = _held_out(tracks["work"].tolist(), recipe)
    apart = tracks["work"].isin(held_out)
    say(f"{len(tracks)} files of {tracks['work'].nunique()} works, {len(held_out)} held out")
    training = load_clips([files[one] for one in tracks.loc[~apart, "track_id"]])
    found = train(
        training,
        load_clips([files[one] for one in tracks.loc[apart, "track_id"]]),
        folder / "state",
        recipe.training,
        device=device,
        say=say,
    )
    _export(folder)
    HeardWorks(
        tuple(tracks["work"]),
        tuple(tracks["track_id"]),
        tuple("held out" if one else "training" for one in apart),
        tuple(tracks["sketch"]),
    ).save(folder / WORKS)
    report = {
        "files": len(tracks),
        "works": int(tracks["work"].nunique()),
        "works_held_out": len(held_out),
        "hours_of_clips": training.hours,
        "instruments": [one.name for one in instruments],
        "skipped": skipped,
        "device": device,
        **asdict(recipe),
        **found,
    }
    write_json(folder / "training.json", report)
    return report


def _tracks(midi: Path, recipe: Recipe, say: Say) -> tuple[pd.DataFrame, dict[str, str]]:
    """Return ``track_id, midi_path, work, sketch`` of usable files, and why others are not used."""
    table = track_table({"midi": scan_source(midi, "midi")})
    table = table[table["midi_path"].notna()].reset_index(drop=True)
    say(f"reading {len(table)} MIDI files …")
    sketches, skipped = note_sketches(table["midi_path"].tolist(), workers=recipe.workers)
    table["sketch"] = [sketches.get(path) for path in table["midi_path"]]
    table = table[table["sketch"].notna()].reset_index(drop=True)
    table["work"] = join_by_notes(table["sketch"].tolist(), table["work_id"].tolist())
    for other in recipe.exclude:
        theirs = track_table({"excluded": scan_source(other, "excluded")})
        theirs = theirs[theirs["midi_path"].notna()]
        known, _ = note_sketches(theirs["midi_path"].tolist(), workers=recipe.workers)
        works = HeardWorks(
            tuple(theirs.loc[theirs["midi_path"].isin(known), "work_id"]),
            tuple(known),
            ("excluded",) * len(known),
            tuple(known[path] for path in theirs["midi_path"] if path in known),
        )
        hit = works.find(table["sketch"].tolist(), table["work_id"].tolist())
        gone = set(table.loc[[one is not None for one in hit], "work"])
        left_out = table.loc[table["work"].isin(gone), "midi_path"]
        skipped |= dict.fromkeys(left_out, f"its work is in {other}")
        table = table[~table["work"].isin(gone)].reset_index(drop=True)
    return table[["track_id", "midi_path", "work", "sketch"]], skipped


def _clips(
    tracks: pd.DataFrame,
    folder: Path,
    recipe: Recipe,
    instruments: Sequence[Instrument],
    say: Say,
) -> tuple[dict[str, Path], dict[str, str]]:
    """Render what is not cached; return track id to file, and why others have none."""
    settings = json.dumps([[asdict(one) for one in instruments], recipe.excerpts, recipe.seed])
    cache = folder / "clips" / hashlib.sha256(settings.encode()).hexdigest()[:12]
    digests = [hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in tracks["midi_path"]]
    files = [cache / f"{one[:32]}.npz" for one in digests]
    jobs = (
        delayed(_render)(path, file, instruments, recipe, int(digest[:8], 16))
        for path, file, digest in zip(tracks["midi_path"], files, digests, strict=True)
    )
    rendered: dict[str, Path] = {}
    skipped: dict[str, str] = {}
    # Processes that do not fork: forked ones would wait for ever on the locks of PyTorch's threads.
    reasons = Parallel(n_jobs=recipe.workers, return_as="generator")(jobs)
    for count, (row, file, reason) in enumerate(
        zip(tracks.itertuples(), files, reasons, strict=True), 1
    ):
        if reason is None:
            rendered[row.track_id] = file
        else:
            skipped[row.midi_path] = reason
        if count % 20 == 0 or count == len(files):
            say(f"rendered {count} of {len(files)} files")
    return rendered, skipped


def _render(
    path: str, cached: Path, instruments: Sequence[Instrument], recipe: Recipe, number: int
) -> str | None:
    """Cache the clips of a file; return why there are none."""
    seed = recipe.seed + number
    try:
        render_file(path, cached, instruments, excerpts=recipe.excerpts, seed=seed)
    except MessError as error:
        return str(error)
    return None if cached.exists() else "no excerpt of it has enough notes"


def _held_out(works: list[str], recipe: Recipe) -> set[str]:
    names = sorted(set(works))
    count = max(1, round(recipe.held_out * len(names)))
    if len(names) < 2:
        raise EncoderError(
            f"{len(names)} work to train on: at least one more is needed to choose the weights",
            remedy="Name a folder with MIDI files of several works",
        )
    chosen = np.random.default_rng(recipe.seed).choice(names, count, replace=False)
    return set(chosen.tolist())


def _export(folder: Path) -> None:
    """Write the best weights as float16, half the size: states differ in the third digit."""
    from safetensors.torch import load, save

    best = load((folder / "state" / BEST).read_bytes())
    write_bytes(folder / WEIGHTS, save({name: one.half() for name, one in best.items()}))
