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

import csv
import io
import json
from pathlib import PurePosixPath
from typing import Any

from mess_core.audio import AUDIO_SUFFIXES
from mess_core.datasets.base import Scan, Track, scanner
from mess_core.datasets.works import work_id
from mess_core.errors import DatasetError

__all__ = ["scan_maestro"]

_COLUMNS = ("canonical_composer", "canonical_title", "split", "year", "midi_filename")


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
    files = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    by_stem: dict[str, str] = {}
    for name in sorted(files):
        if PurePosixPath(name).suffix.lower() in AUDIO_SUFFIXES:
            by_stem.setdefault(str(PurePosixPath(name).with_suffix("")), name)
    seen: set[str] = set()
    for row in _rows(metadata):
        midi_name = str(row["midi_filename"] or "")
        if not midi_name or not row["canonical_composer"] or not row["canonical_title"]:
            scan.skip(metadata, f"a row lacks its file, composer or title: {list(row.values())}")
            continue
        audio_name = str(row.get("audio_filename") or "")
        for name in (midi_name, audio_name):
            if name.startswith("/") or ".." in PurePosixPath(name).parts:
                raise DatasetError(f"names a file outside its folder: {name!r}", path=str(metadata))
        stem = PurePosixPath(midi_name).stem
        if stem in seen:
            scan.skip(midi_name, "the metadata lists it twice")
            continue
        seen.add(stem)
        if audio_name not in files:
            audio_name = by_stem.get(
                str(PurePosixPath(audio_name or midi_name).with_suffix("")), ""
            )
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


def _rows(metadata: Any) -> list[dict[str, Any]]:
    try:
        text = metadata.read_text(encoding="utf-8-sig")
        if metadata.suffix == ".csv":
            rows: list[dict[str, Any]] = list(csv.DictReader(io.StringIO(text)))
        else:
            content = json.loads(text)
            if isinstance(content, dict):  # v3: {column: {row: value}}
                columns = list(content)
                keys = list(content[columns[0]]) if columns else []
                rows = [{name: content[name].get(key) for name in columns} for key in keys]
            else:  # v2: [{column: value}]
                rows = content
    except (ValueError, OSError, AttributeError) as error:
        raise DatasetError(
            f"is not readable MAESTRO metadata ({error})",
            path=str(metadata),
            remedy="Download it again",
        ) from error
    missing = [name for name in _COLUMNS if rows and name not in rows[0]]
    if missing or not rows:
        what = f"lacks the column {missing[0]!r}" if missing else "lists no performances"
        raise DatasetError(what, path=str(metadata), remedy="Download it again")
    return rows
