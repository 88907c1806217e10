"""The data sets of a library, and their merged track table.

Sources are ``name=path`` pairs in ``MESS_DATASETS`` (comma-separated), or else the
subfolders of ``<data root>/datasets``.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from mess_core.audio import audio_info, file_sha256
from mess_core.datasets.base import Scan, track_table, validate_track_table
from mess_core.datasets.layouts import scan_source
from mess_core.errors import AudioError, DatasetError
from mess_core.paths import locate

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Source", "configured_sources", "list_track_ids", "parse_sources", "read_tracks"]

_LONGEST_NAME = 190  # the store allows 200, and escapes a few more characters
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Source:
    """A data set's name, its folder, and its layout unless that is to be recognised.

    Examples
    --------
    >>> Source("takes", "/data/takes", layout="folder")
    Source(name='takes', root='/data/takes', layout='folder')
    """

    name: str
    root: str
    layout: str | None = None


def parse_sources(text: str) -> list[Source]:
    """Parse ``name=path`` or ``name=layout:path`` pairs, separated by commas.

    Raises
    ------
    DatasetError
        If a pair is malformed or a name is a duplicate.

    Examples
    --------
    >>> parse_sources("maestro=/data/maestro-v3.0.0, mine=folder:/home/me/takes")[1]
    Source(name='mine', root='/home/me/takes', layout='folder')
    """
    sources: list[Source] = []
    for pair in filter(None, (part.strip() for part in text.split(","))):
        name, equals, path = pair.partition("=")
        if not equals or not _NAME.fullmatch(name) or not path:
            raise DatasetError(
                f"MESS_DATASETS has {pair!r}, which is not name=path",
                remedy="Write for example MESS_DATASETS=maestro=/data/maestro-v3.0.0",
            )
        if name in {source.name for source in sources}:
            raise DatasetError(f"MESS_DATASETS names {name!r} twice")
        layout, colon, rest = path.partition(":")
        known = (
            bool(colon) and layout.isidentifier() and len(layout) > 1 and not rest.startswith("//")
        )
        sources.append(Source(name, rest if known else path, layout if known else None))
    return sources


def configured_sources(data_root: str | PathLike[str], datasets: str | None = None) -> list[Source]:
    """Return the sources in `datasets` or ``MESS_DATASETS``, or else those in ``datasets/``.

    Raises
    ------
    DatasetError
        If there are none.

    Examples
    --------
    >>> configured_sources("/data/mess", "takes=/data/takes")
    [Source(name='takes', root='/data/takes', layout=None)]
    """
    text = datasets if datasets is not None else os.environ.get("MESS_DATASETS", "")
    if sources := parse_sources(text):
        return sources
    parent = locate(data_root) / "datasets"
    if parent.is_dir():
        folders = [one for one in sorted(parent.iterdir(), key=str) if one.is_dir()]
        visible = [one.name for one in folders if not one.name.startswith(".")]
        sources = [Source(name, str(parent / text)) for text, name in _source_names(visible)]
    if not sources:
        raise DatasetError(
            "no data set is configured",
            path=str(parent),
            remedy="Put or link data sets into this folder, set MESS_DATASETS=name=path, "
            "or run `mess demo` for the synthesised demo corpus",
        )
    return sources


def read_tracks(
    sources: Sequence[Source],
    *,
    known_hashes: pd.DataFrame | None = None,
    known_tracks: pd.DataFrame | None = None,
) -> tuple[pd.DataFrame, dict[str, Any], pd.DataFrame]:
    """Scan all sources into one validated track table.

    Parameters
    ----------
    sources : sequence of Source
    known_hashes : DataFrame, optional
        Third result of an earlier call; files with unchanged size and modification time are
        not hashed again.
    known_tracks : DataFrame, optional
        First result of an earlier call. A source whose folder is missing, unreadable or empty now
        keeps its tracks of then, since its disk may not be mounted.

    Returns
    -------
    tracks : DataFrame
        Columns `base.TRACK_COLUMNS`, one row per track.
    report : dict
        Counts for each data set, every skipped file with its reason, and in ``problems`` the
        data sets that could not be read, each with ``dataset, problem, remedy, tracks``.
    hashes : DataFrame
        Columns ``path, size, modified, sha256, duration_s``.

    Raises
    ------
    DatasetError
        If no source's folder and metadata can be used, or none holds a recording.

    Examples
    --------
    >>> import tempfile
    >>> import mess_core as mess
    >>> from mess_core.datasets import parse_sources
    >>> from mess_core.datasets.demo import write_demo_corpus
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = write_demo_corpus(f"{folder}/demo", works=1, players=2, bars=1)
    ...     tracks, report, hashes = mess.read_tracks(parse_sources(f"demo={folder}/demo"))
    >>> tracks[["track_id", "work_id", "performer"]].to_dict("records")[0]
    {'track_id': 'demo_01_free', 'work_id': 'demo:work1', 'performer': 'free'}
    >>> report["with_midi"], report["skipped"], len(hashes)
    (2, 0, 2)
    """
    import pandas as pd

    scans, problems = _scan_all(sources, known_tracks)
    tracks = _with_earlier(track_table(scans), problems, known_tracks)
    cache: dict[tuple[str, int, float], tuple[str, float]] = {}
    if known_hashes is not None:
        for row in known_hashes.itertuples():
            cache[str(row.path), int(row.size), float(row.modified)] = (row.sha256, row.duration_s)
    rows = []
    for path in tracks["audio_path"].dropna().unique():
        # An unreadable file has no hash; the stages that need the file report it.
        with contextlib.suppress(OSError, AudioError):
            status = locate(path).stat()
            key = (str(path), int(status.st_size), float(getattr(status, "st_mtime", 0.0)))
            sha256, duration_s = cache.get(key) or (file_sha256(path), _duration_s(path))
            rows.append((*key, sha256, duration_s))
    if known_hashes is not None:  # of files that cannot be read now
        present, wanted = {row[0] for row in rows}, set(tracks["audio_path"].dropna())
        away = known_hashes[known_hashes["path"].isin(wanted - present)]
        rows += list(away.itertuples(index=False, name=None))
    hashes = pd.DataFrame(rows, columns=["path", "size", "modified", "sha256", "duration_s"])
    by_path = hashes.set_index("path")
    measured_sha = tracks["audio_path"].map(by_path["sha256"]).astype("string")
    tracks["audio_sha256"] = measured_sha.fillna(tracks["audio_sha256"])
    measured = tracks["audio_path"].map(by_path["duration_s"]).astype("float64")
    tracks["duration_s"] = measured.fillna(tracks["duration_s"])
    report = {
        "tracks": len(tracks),
        "with_audio": int(tracks["audio_path"].notna().sum()),
        "with_midi": int(tracks["midi_path"].notna().sum()),
        "works": int(tracks["work_id"].nunique()),
        "skipped": sum(len(scan.skipped) for scan in scans.values()),
        "hours": float(tracks["duration_s"].sum() / 3600),
        "datasets": [scan.report() for scan in scans.values()],
        "problems": problems,
    }
    return tracks, report, hashes


def list_track_ids(
    sources: Sequence[Source], *, known_tracks: pd.DataFrame | None = None
) -> list[str]:
    """Return the ids of the tracks that `read_tracks` would list, without hashing any file.

    Parameters
    ----------
    sources : sequence of Source
    known_tracks : DataFrame, optional
        As in `read_tracks`.

    Raises
    ------
    DatasetError
        If a source's folder or metadata cannot be used.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Path(folder, "take1.mid").touch()
    ...     list_track_ids([Source("takes", folder)])
    ['take1']
    """
    scans, problems = _scan_all(sources, known_tracks)
    tracks = _with_earlier(track_table(scans), problems, known_tracks)
    return [str(track_id) for track_id in tracks["track_id"]]


def _scan_all(
    sources: Sequence[Source], known: pd.DataFrame | None
) -> tuple[dict[str, Scan], list[dict[str, Any]]]:
    """Return the scans of the sources that can be read, and the problems of the others."""
    counts = {} if known is None else known["dataset"].value_counts().to_dict()
    scans: dict[str, Scan] = {}
    errors: dict[str, DatasetError] = {}
    for source in sources:
        try:
            scan = _scan(source)
            if not scan.tracks and (source.name in counts or len(sources) == 1):
                raise DatasetError(
                    f"the folder of data set {source.name!r} holds no recordings",
                    path=source.root,
                    remedy="Mount its disk, put recordings there, or take it out of MESS_DATASETS",
                )
            scans[source.name] = scan
        except DatasetError as error:
            errors[source.name] = error
        except OSError as error:
            remedy = "Check its permissions and the connection to its storage"
            errors[source.name] = DatasetError(
                f"cannot be read ({error})", path=source.root, remedy=remedy
            )
    staying = sum(counts.get(name, 0) for name in errors)
    if errors and not staying and not any(scan.tracks for scan in scans.values()):
        raise next(iter(errors.values()))
    problems = [
        {
            "dataset": name,
            "problem": f"{error.path}: {error.problem}" if error.path else error.problem,
            "remedy": error.remedy,
            "tracks": int(counts.get(name, 0)),
        }
        for name, error in errors.items()
    ]
    return scans, problems


def _with_earlier(
    tracks: pd.DataFrame, problems: list[dict[str, Any]], known: pd.DataFrame | None
) -> pd.DataFrame:
    """Return the track table with the earlier rows of data sets that cannot be read now."""
    import pandas as pd

    unread = {problem["dataset"] for problem in problems if problem["tracks"]}
    if known is None or not unread:
        return tracks
    earlier = known[known["dataset"].isin(unread) & ~known["track_id"].isin(tracks["track_id"])]
    both = pd.concat([tracks, earlier.reindex(columns=tracks.columns)])
    return validate_track_table(both.sort_values(["dataset", "track_id"], ignore_index=True))


def _source_names(folders: Sequence[str]) -> list[tuple[str, str]]:
    """Return each folder's name with the name of the data set that it becomes."""
    taken = {folder for folder in folders if _NAME.fullmatch(folder)}
    names = []
    for folder in folders:
        name = folder
        if folder not in taken:
            plain = unicodedata.normalize("NFKD", folder).encode("ascii", "ignore").decode()
            name = re.sub(r"[^A-Za-z0-9._-]+", "-", plain).strip("-._")[:57] or "dataset"
            if name in taken or name == "dataset":
                raw = folder.encode("utf-8", "surrogateescape")
                name = f"{name}-{hashlib.sha256(raw).hexdigest()[:6]}"
            taken.add(name)
        names.append((folder, name))
    return names


def _scan(source: Source) -> Scan:
    scan = scan_source(source.root, source.name, layout=source.layout)
    usable = []
    for track in scan.tracks:
        reason = _unusable_name(track.track_id)
        if reason is None and not all(map(_is_text, (track.audio_path, track.midi_path))):
            reason = "a folder in its path is not valid UTF-8: rename it"
        if reason is not None:
            scan.skip(track.audio_path or track.midi_path, reason)
            continue
        usable.append(replace(track, work_id=track.work_id or f"{source.name}:{track.track_id}"))
    scan.tracks[:] = usable
    return scan


def _is_text(path: str | None) -> bool:
    try:
        (path or "").encode()
    except UnicodeEncodeError:
        return False
    return True


def _unusable_name(track_id: str) -> str | None:
    """Return why a name cannot be a file name and partition key once escaped, or None."""
    if not track_id.isprintable():
        return "its name has control characters or is not valid UTF-8: rename it"
    if len(quote(track_id, safe="")) > _LONGEST_NAME:
        return f"its name takes over {_LONGEST_NAME} characters once escaped"
    return None


def _duration_s(path: str) -> float:
    # The embedding stage reports an unreadable header; here only the duration is missing.
    try:
        return audio_info(path).duration_s
    except AudioError:
        return float("nan")
