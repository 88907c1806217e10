"""Any folder of audio files, optionally with MIDI files.

Audio and MIDI files whose paths differ only in their suffix are one track; the track id is the
file's stem, or, where several folders have files of that stem, its path: ``CD1/01``. An optional
``metadata.csv`` with a column ``track_id`` adds any of ``composer, title, work_id, performer, year,
split``. Without it, every track counts as a separate work, unless its name has the form
``WORK__PLAYER`` (two underscores).
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from pathlib import PurePosixPath
from typing import Any

from mess_core.audio import AUDIO_SUFFIXES, OTHER_AUDIO_SUFFIXES
from mess_core.datasets.base import MIDI_SUFFIXES, Scan, Track
from mess_core.datasets.layouts import scanner
from mess_core.datasets.text_tables import read_text_table
from mess_core.datasets.works import work_id

__all__ = ["scan_folder"]

_METADATA = ("composer", "title", "work_id", "performer", "year", "split")


@scanner("folder", recognises=lambda root: True, priority=100)
def scan_folder(root: Any, dataset: str) -> Scan:
    """Read a folder and its subfolders.

    Parameters
    ----------
    root : UPath
    dataset : str
        Name of the data set, recorded in its tracks.

    Raises
    ------
    DatasetError
        If ``metadata.csv`` exists but cannot be used.
    """
    scan = Scan(dataset, "folder", str(root))
    metadata = _metadata(root / "metadata.csv", scan)
    audio: dict[str, str] = {}
    midi: dict[str, str] = {}
    for path in sorted(root.rglob("*"), key=str):
        relative = PurePosixPath(str(path.relative_to(root)))
        if any(part.startswith(".") for part in relative.parts) or not path.is_file():
            continue
        kinds = {**dict.fromkeys(AUDIO_SUFFIXES, audio), **dict.fromkeys(MIDI_SUFFIXES, midi)}
        kind = kinds.get(relative.suffix.lower())
        if kind is None:
            if relative.name != "metadata.csv" and relative.suffix.lower() not in {".csv", ".json"}:
                scan.skip(path, _no_music(relative))
            continue
        # An archive made on a Mac may spell one umlaut in two ways.
        key = unicodedata.normalize("NFC", str(relative.with_suffix("")))
        if key in kind:
            scan.skip(path, f"the same track as {kind[key]}")
            continue
        kind[key] = str(path)
    of_stem: dict[str, list[str]] = defaultdict(list)
    for key in sorted({*audio, *midi}):
        of_stem[PurePosixPath(key).name].append(key)
    taken = set()
    for stem, keys in of_stem.items():
        for key in keys:
            track_id = stem if len(keys) == 1 else key
            taken.add(track_id)
            row = metadata.get(track_id, {})
            scan.tracks.append(_track(scan, track_id, audio.get(key), midi.get(key), row))
    for track_id in sorted(set(metadata) - taken):
        several = " or ".join(of_stem.get(track_id, [])[:2])
        reason = f"could be {several}: write the folder too" if several else "has no file"
        scan.skip(root / "metadata.csv", f"row {track_id!r} {reason}")
    return scan


def _track(
    scan: Scan, track_id: str, audio: str | None, midi: str | None, row: dict[str, str]
) -> Track:
    name, _, player = PurePosixPath(track_id).name.partition("__")
    work = name if player else track_id
    composer, title = row.get("composer") or None, row.get("title") or None
    if row.get("work_id"):
        identity = row["work_id"]
    elif composer and title:
        identity = work_id(composer, title)
    else:
        identity = f"{scan.dataset}:{work}"
    return Track(
        track_id=track_id,
        dataset=scan.dataset,
        audio_path=audio,
        midi_path=midi,
        composer=composer,
        title=title or name,
        work_id=identity,
        performer=row.get("performer") or player or None,
        **scan.metadata(
            f"{scan.root}/metadata.csv: {track_id}", year=row.get("year"), split=row.get("split")
        ),
    )


def _no_music(path: PurePosixPath) -> str:
    if path.suffix.lower() in OTHER_AUDIO_SUFFIXES:
        return f"a format that cannot be read: ffmpeg -i {path.name} {path.stem}.flac"
    return "neither audio nor MIDI by its suffix"


def _metadata(path: Any, scan: Scan) -> dict[str, dict[str, str]]:
    if not path.is_file():
        return {}
    found = read_text_table(path, required=("track_id",), known=_METADATA)
    for note in found.notes:
        scan.skip(path, note)
    table: dict[str, dict[str, str]] = {}
    for line, row in found.rows:
        track_id = row["track_id"]
        if not track_id:
            scan.skip(path, f"row {line} has no track_id")
        elif track_id in table:
            scan.skip(path, f"row {line} lists {track_id!r} again; the first row counts")
        else:
            table[track_id] = row
    return table
