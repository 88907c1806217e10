"""From a folder of MIDI files to a trained encoder: works apart, clips, training, files to load."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from joblib import Parallel, delayed

from mess_core.audio import file_sha256
from mess_core.datasets import scan_source, track_table
from mess_core.datasets.shared_music import music_groups
from mess_core.datasets.works import joined_by
from mess_core.encoders.heard_works import HeardWorks
from mess_core.encoders.loading import load_encoder, pick_device
from mess_core.encoders.piano import WORKS
from mess_core.encoders.registry import PIANO_WEIGHTS
from mess_core.errors import EncoderError, MessError
from mess_core.midi.note_sketches import NO_NOTES, note_sketches
from mess_core.pretraining.clip_rendering import (
    RENDERING_VERSION,
    Instrument,
    installed_instruments,
    render_file,
)
from mess_core.pretraining.encoder_training import BEST, load_clips, train
from mess_core.pretraining.settings import Recipe
from mess_core.store.arrays import write_bytes
from mess_core.store.cache import fingerprint
from mess_core.store.findings import Finding
from mess_core.store.tables import write_json

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["check_trained", "train_encoder"]

Say = Callable[[str], None]


def train_encoder(
    midi: str | PathLike[str],
    out: str | PathLike[str],
    recipe: Recipe | None = None,
    *,
    device: str = "auto",
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
        "auto" takes a GPU if there is one.
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
        If there are too few works, nothing can be rendered, or another training was begun in
        `out`.
    DatasetError, AudioError
        If a folder or a soundfont is missing.

    Examples
    --------
    >>> train_encoder("maestro-v3.0.0", "encoders/mine")  # doctest: +SKIP
    >>> mess.load_encoder("encoders/mine")  # doctest: +SKIP
    """
    recipe, folder = recipe or Recipe(), Path(out)
    device = str(pick_device(device))
    instruments = installed_instruments(recipe.soundfonts)
    tracks, skipped = _tracks(Path(midi), recipe, say)
    files, unrendered = _clips(tracks, folder, recipe, instruments, say)
    skipped |= unrendered
    tracks = tracks[tracks["track_id"].isin(files)].reset_index(drop=True)
    held_out = _held_out(tracks["work"].tolist(), recipe)
    use = np.where(tracks["work"].isin(held_out), "held out", "training")
    say(f"{len(tracks)} files of {tracks['work'].nunique()} works, {len(held_out)} held out")
    training, choosing = (
        load_clips([files[one] for one in tracks.loc[use == side, "track_id"]])
        for side in ("training", "held out")
    )
    clips = [files[one].relative_to(folder).as_posix() for one in tracks["track_id"]]
    learning = asdict(recipe.training)
    for name in ("steps", "minutes", "check_every"):  # a longer training continues a shorter one
        del learning[name]
    found = train(
        training,
        choosing,
        folder / "state",
        recipe.training,
        made_from=fingerprint(clips, use.tolist(), learning),
        device=device,
        say=say,
    )
    _export(folder)
    heard = (tracks["work_id"], tracks["track_id"], use, tracks["sketch"])
    HeardWorks(*(tuple(one) for one in heard)).save(folder / WORKS)
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


def check_trained(folder: str | PathLike[str]) -> Finding:
    """Check what `train_encoder` wrote: weights load, and works held out were not trained on."""
    heard = HeardWorks.load(Path(folder) / WORKS)
    uses: dict[str, set[str]] = {}
    for work, use in zip(heard.works, heard.use, strict=True):
        uses.setdefault(work, set()).add(use)
    both = sorted(work for work, found in uses.items() if len(found) > 1)
    try:
        encoder = load_encoder(folder, device="cpu")
    except EncoderError as error:
        return Finding(False, {"problem": str(error)})
    return Finding(not both, {"encoder": encoder.name, "works": len(uses), "on both sides": both})


def _tracks(midi: Path, recipe: Recipe, say: Say) -> tuple[pd.DataFrame, dict[str, str]]:
    """Return usable files and why others are not used.

    ``work_id`` is a file's work by its title; ``work`` joins those that share notes.
    """
    table = track_table({"midi": scan_source(midi, "midi")})
    table = table[table["midi_path"].notna()].reset_index(drop=True)
    say(f"reading {len(table)} MIDI files …")
    sketches, skipped = note_sketches(table["midi_path"].tolist(), workers=recipe.workers)
    table = table[table["midi_path"].isin(sketches)].reset_index(drop=True)
    notes = [sketches[path] for path in table["midi_path"]]
    table["sketch"] = [one.in_key for one in notes]
    table["work"] = joined_by(table["work_id"], music_groups(notes, table["track_id"]))
    for other in recipe.exclude:
        works = _works_of(other, recipe.workers, say)
        hit = works.find(table["sketch"].tolist(), table["work_id"].tolist())
        gone = set(table.loc[[one is not None for one in hit], "work"])
        left_out = table.loc[table["work"].isin(gone), "midi_path"]
        skipped |= dict.fromkeys(left_out, f"its work is in {other}")
        table = table[~table["work"].isin(gone)].reset_index(drop=True)
    if recipe.shared_works is not None:
        kept = _some_shared(table["work"], recipe.shared_works, recipe.seed)
        left_out = table.loc[~kept, "midi_path"]
        skipped |= dict.fromkeys(left_out, "its work has several performances: for evaluation")
        table = table[kept].reset_index(drop=True)
    return table[["track_id", "midi_path", "work_id", "work", "sketch"]], skipped


def _some_shared(works: pd.Series[str], count: int, seed: int) -> pd.Series[bool]:
    """Say which files are of a work with one performance, or of one of `count` works with more."""
    performances = works.value_counts()
    shared = sorted(performances.index[performances > 1])
    chosen = np.random.default_rng([seed, 1]).permutation(shared)[:count]
    return works.isin(performances.index[performances == 1]) | works.isin(chosen)


def _works_of(folder: str, workers: int, say: Say) -> HeardWorks:
    """Return the works of a folder: by title alone where there are no readable notes."""
    # The same name as for the training files, since it is part of ids of works without composer.
    table = track_table({"midi": scan_source(folder, "midi")})
    paths = table["midi_path"]
    sketches, _ = note_sketches(paths.dropna().tolist(), workers=workers)
    notes = tuple(sketches.get(path, NO_NOTES).in_key for path in paths)
    say(f"leaving out {len(table)} recordings of {folder}, {len(sketches)} by their notes, too")
    uses = ("excluded",) * len(table)
    return HeardWorks(tuple(table["work_id"]), tuple(table["track_id"]), uses, notes)


def _clips(
    tracks: pd.DataFrame,
    folder: Path,
    recipe: Recipe,
    instruments: Sequence[Instrument],
    say: Say,
) -> tuple[dict[str, Path], dict[str, str]]:
    """Render what is not cached; return track id to file, and why others have none."""
    sounds = [(one.program, one.soundfont and file_sha256(one.soundfont)) for one in instruments]
    cached = fingerprint(RENDERING_VERSION, sounds, recipe.excerpts, recipe.seed)
    cache = folder / "clips" / cached[:12]
    digests = [file_sha256(path) for path in tracks["midi_path"]]
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
    write_bytes(folder / PIANO_WEIGHTS, save({name: one.half() for name, one in best.items()}))
