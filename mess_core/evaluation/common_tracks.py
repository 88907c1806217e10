"""The tracks that all stored encoders have in common, with the vectors of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mess_core.encoders.chosen import named_settings
from mess_core.errors import StoreError, TooLittleError
from mess_core.probing.folds import grouping
from mess_core.probing.pipeline import ProbingInputs, probing_inputs, works_in_training
from mess_core.store.layout import Layout
from mess_core.store.stored_encoders import stored_encoders

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["DESCRIPTORS", "CommonTracks", "common_tracks", "untrained_name"]

DESCRIPTORS = "MFCC, chroma"
"""Name of the baseline: means and standard deviations of audio descriptors."""

_FEWEST_TRACKS = 4


def untrained_name(encoder: str) -> str:
    """Return the name of an encoder's untrained counterpart among the systems."""
    return f"{encoder} (untrained)"


@dataclass(frozen=True)
class CommonTracks:
    """Vectors and targets of the tracks that all encoders have and none was trained on.

    Attributes
    ----------
    encoders : dict of str to dict
        Name of each encoder, with settings that are not its defaults, to its matrix's manifest.
    folders : dict of str to str
        Name to folder name.
    systems : dict of str to ndarray, shape [tracks, layers, dim]
        Encoders, then their untrained counterparts (each architecture once), then the descriptors.
    y : DataFrame, [tracks, targets]
    rows : DataFrame
        ``track_id, dataset, work_id, performer``.
    groups : list of str
        Group of each track that folds keep on one side: its work, or works with one recording.
    heard : dict of str to str
        Track to work, of the tracks left out because an encoder was trained on the work.
    notes : list of str
        What is left out or missing, and why.
    """

    encoders: dict[str, dict[str, Any]]
    folders: dict[str, str]
    systems: dict[str, NDArray[Any]]
    y: pd.DataFrame
    rows: pd.DataFrame
    groups: list[str]
    heard: dict[str, str]
    notes: list[str] = field(default_factory=list)


def common_tracks(layout: Layout, encoders: Sequence[str] = ()) -> CommonTracks:
    """Load what encoders, their untrained counterparts and descriptors say of the same tracks.

    Parameters
    ----------
    layout : Layout
    encoders : sequence of str
        Folder names; all encoders with a matrix by default.

    Raises
    ------
    StoreError
        If an encoder has no matrix of track vectors, or a table is missing.
    TooLittleError
        If fewer than two encoders are stored, or they have almost no track in common.
    """
    wanted = list(dict.fromkeys(encoders)) or [
        one for one in stored_encoders(layout) if layout.of(one).matrix_manifest.exists()
    ]
    if len(wanted) < 2:
        raise TooLittleError(
            f"a comparison needs at least two encoders, and there is {', '.join(wanted) or 'none'}",
            path=str(layout.root),
            remedy="Run `mess run --encoder A --encoder B`; `mess encoders` lists names",
        )
    folders = _names(layout, wanted)
    loaded = {name: _inputs(layout, folder) for name, folder in folders.items()}
    notes = [f"{name}: {note}" for name, one in loaded.items() for note in one.notes]
    heard: dict[str, str] = {}
    for name, one in loaded.items():
        identity = one.manifest["identity"]
        heard |= works_in_training(layout.of(folders[name]), one.rows, str(identity["encoder"]))
    keep = _common(loaded, heard, notes)
    if len(keep) < _FEWEST_TRACKS:
        raise TooLittleError(
            f"{', '.join(wanted)} have only {len(keep)} usable tracks in common",
            path=str(layout.root),
            remedy="Run `mess run` with these encoders",
        )
    first = next(iter(loaded.values()))
    rows = first.rows.set_index("track_id").loc[keep].reset_index()
    systems = {name: _select(one, keep, one.x) for name, one in loaded.items()}
    for name, one in loaded.items():
        if one.untrained is None:
            continue
        untrained = _select(one, keep, one.untrained)
        same = [other for other, x in systems.items() if np.array_equal(x, untrained)]
        if same:
            notes.append(f"{untrained_name(name)} is not shown: it is the same as {same[0]}")
        else:
            systems[untrained_name(name)] = untrained
    if first.descriptors is not None:
        systems[DESCRIPTORS] = _select(first, keep, first.descriptors)[:, None, :]
    return CommonTracks(
        encoders={name: one.manifest for name, one in loaded.items()},
        folders=folders,
        systems=systems,
        y=first.y.set_axis(first.rows["track_id"]).loc[keep].reset_index(drop=True),
        rows=rows,
        groups=grouping(layout, rows, "work"),
        heard=heard,
        notes=notes,
    )


def _names(layout: Layout, folders: Sequence[str]) -> dict[str, str]:
    """Return a readable name for each folder; folders of one name keep theirs."""
    named = {folder: named_settings(layout.of(folder)) for folder in folders}
    shared = [name for name in named.values() if list(named.values()).count(name) > 1]
    return {folder if name in shared else name: folder for folder, name in named.items()}


def _inputs(layout: Layout, encoder: str) -> ProbingInputs:
    try:
        return probing_inputs(layout.of(encoder))
    except StoreError as error:
        raise StoreError(
            f"{encoder}: {error.problem}",
            path=error.path,
            remedy=f"Run `mess run --encoder {encoder}`, or leave this encoder out",
        ) from error


def _common(loaded: dict[str, ProbingInputs], heard: dict[str, str], notes: list[str]) -> list[str]:
    """Return the track ids that can be compared, and say what is left out."""
    found = [list(one.rows["track_id"]) for one in loaded.values()]
    everywhere = set.intersection(*map(set, found))
    for name, one in loaded.items():
        lacking = len(set.union(*map(set, found)) - set(one.rows["track_id"]))
        if lacking:
            notes.append(f"{lacking} tracks left out: {name} does not have them")
    if heard:
        notes.append(
            f"{len(everywhere & set(heard))} tracks of {len(set(heard.values()))} works left out: "
            "an encoder was trained on these works"
        )
    first = next(iter(loaded.values()))
    unknown: set[str] = set()
    if first.descriptors is not None:
        finite = np.isfinite(first.descriptors).all(axis=1)
        unknown = set(first.rows["track_id"][~finite]) & everywhere
        if unknown:
            notes.append(f"{len(unknown)} tracks left out: they have no audio descriptors")
    return [
        one for one in found[0] if one in everywhere and one not in heard | dict.fromkeys(unknown)
    ]


def _select(inputs: ProbingInputs, keep: list[str], vectors: NDArray[Any]) -> NDArray[Any]:
    position = {track: row for row, track in enumerate(inputs.rows["track_id"])}
    return np.asarray(vectors[[position[track] for track in keep]])
