"""MAESTRO: MIDI and Audio Edited for Synchronous TRacks and Organization.

Hawthorne et al., "Enabling factorized piano music modeling and generation with the
MAESTRO dataset", ICLR 2019. Version 3.0.0: 1,276 performances, 198.7 h, recorded on
Yamaha Disklaviers at the International Piano-e-Competition. Licence CC BY-NC-SA 4.0.
https://magenta.tensorflow.org/datasets/maestro

Layout as published: ``maestro-v3.0.0.csv`` (or ``.json``: a dict of columns in v3, a
list of rows in v2) next to folders by year with ``.midi`` and ``.wav`` files. Audio may
have any other format under the same stem, and may be missing.

The metadata names no players, and titles are not normalised: see `works.work_id`. The
``duration`` column is that of the audio.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path, PurePosixPath
from typing import Any

from mess_core.audio import AUDIO_SUFFIXES
from mess_core.datasets.base import MIDI_SUFFIXES, Scan, Track
from mess_core.datasets.layouts import scanner
from mess_core.datasets.text_tables import read_text_table
from mess_core.datasets.works import work_id
from mess_core.errors import DatasetError

__all__ = ["scan_maestro"]

_COLUMNS = ("canonical_composer", "canonical_title", "split", "year", "midi_filename")
_OTHER_COLUMNS = ("audio_filename", "duration")


def _metadata_file(root: Any) -> Any | None:
    for pattern in ("maestro-v*.csv", "maestro-v*.json"):
        for found in sorted(root.glob(pattern), reverse=True):
            return found
    return None


@scanner("maestro", recognises=lambda root: _metadata_file(root) is not None)
def scan_maestro(root: Any, dataset: str) -> Scan:
    """Read a MAESTRO folder.

    Parameters
    ----------
    root : UPath
        The folder that contains ``maestro-v3.0.0.csv`` or ``.json``.
    dataset : str
        Name of the data set, recorded in its tracks.

    Raises
    ------
    DatasetError
        If the metadata cannot be parsed or lacks a column.
    """
    scan = Scan(dataset, "maestro", str(root))
    metadata = _metadata_file(root)
    assert metadata is not None, "scan_maestro is only called if the metadata exists"
    files = _files(root)
    audio, midi = _by_stem(files, AUDIO_SUFFIXES), _by_stem(files, MIDI_SUFFIXES)
    seen: set[str] = set()
    for row in _rows(metadata, scan):
        midi_name = _posix(row["midi_filename"])
        if not midi_name or not row["canonical_composer"] or not row["canonical_title"]:
            scan.skip(metadata, f"a row lacks its file, composer or title: {list(row.values())}")
            continue
        audio_name = _posix(row.get("audio_filename"))
        for name in (midi_name, audio_name):
            if name.startswith("/") or ".." in PurePosixPath(name).parts:
                raise DatasetError(f"names a file outside its folder: {name!r}", path=str(metadata))
        stem = PurePosixPath(midi_name).stem
        if stem in seen:
            scan.skip(midi_name, "the metadata lists it twice")
            continue
        seen.add(stem)
        if audio_name not in files:
            audio_name = audio.get(_stem(audio_name or midi_name), "")
        if midi_name not in files:
            midi_name = midi.get(_stem(midi_name), midi_name)
        if midi_name not in files and not audio_name:
            scan.skip(midi_name, "neither its audio nor its MIDI is in the folder")
            continue
        composer, title = str(row["canonical_composer"]), str(row["canonical_title"])
        scan.tracks.append(
            Track(
                track_id=stem,
                dataset=dataset,
                audio_path=str(root / audio_name) if audio_name else None,
                midi_path=str(root / midi_name) if midi_name in files else None,
                composer=composer,
                title=title,
                work_id=work_id(composer, title),
                **scan.metadata(
                    f"{metadata}: {midi_name}",
                    year=row["year"],
                    split=row["split"],
                    duration_s=row.get("duration"),
                ),
            )
        )
    return scan


def _files(root: Any) -> set[str]:
    """Return all files below the folder, also in year folders that are symbolic links."""
    linked = [one for one in root.iterdir() if isinstance(one, Path) and one.is_symlink()]
    return {
        PurePosixPath(path.relative_to(root)).as_posix()
        for folder in (root, *(one for one in linked if one.is_dir()))
        for path in folder.rglob("*")
        if path.is_file()
    }


def _by_stem(files: set[str], suffixes: Collection[str]) -> dict[str, str]:
    """Return the files with these suffixes, in upper or lower case, by their name without it."""
    found: dict[str, str] = {}
    for name in sorted(files):
        if PurePosixPath(name).suffix.lower() in suffixes:
            found.setdefault(_stem(name), name)
    return found


def _stem(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))


def _posix(name: Any) -> str:
    """Return a file name of the metadata; tables saved on Windows may have backslashes."""
    return str(name or "").replace("\\", "/")


def _rows(metadata: Any, scan: Scan) -> list[dict[str, Any]]:
    if metadata.suffix == ".csv":
        table = read_text_table(metadata, required=_COLUMNS, known=_OTHER_COLUMNS)
        for note in table.notes:
            scan.skip(metadata, note)
        rows: list[dict[str, Any]] = [dict(row) for _, row in table.rows]
    else:
        rows = _json_rows(metadata)
    missing = [name for name in _COLUMNS if rows and name not in rows[0]]
    if missing or not rows:
        what = f"lacks the column {missing[0]!r}" if missing else "lists no performances"
        raise DatasetError(what, path=str(metadata), remedy="Download it again")
    return rows


def _json_rows(metadata: Any) -> list[dict[str, Any]]:
    try:
        content = json.loads(
            metadata.read_text(encoding="utf-8-sig"), parse_constant=lambda _: None
        )
        if isinstance(content, dict):  # v3: {column: {row: value}}
            columns = list(content)
            keys = list(content[columns[0]]) if columns else []
            return [{name: content[name].get(key) for name in columns} for key in keys]
        return list(content)  # v2: [{column: value}]
    except (ValueError, OSError, AttributeError, TypeError) as error:
        raise DatasetError(
            f"is not readable MAESTRO metadata ({error})",
            path=str(metadata),
            remedy="Download it again",
        ) from error
