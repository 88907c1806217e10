"""The common form of all data sets: a scan turns a folder into rows of one track table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from mess_core.errors import DatasetError

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "MIDI_SUFFIXES",
    "TRACK_COLUMNS",
    "Scan",
    "Skipped",
    "Track",
    "shown_name",
    "track_table",
    "validate_track_table",
]

MIDI_SUFFIXES = (".midi", ".mid")

TRACK_COLUMNS = (
    "track_id",
    "dataset",
    "audio_path",
    "midi_path",
    "composer",
    "title",
    "work_id",
    "performer",
    "year",
    "split",
    "duration_s",
    "audio_sha256",
    "music",
    "midi_source",
)


@dataclass(frozen=True)
class Track:
    """One performance: a row of the track table, without the hash of its audio.

    Examples
    --------
    >>> track = Track("take1", "takes", audio_path="/data/take1.flac", midi_path=None)
    >>> track.track_id, track.duration_s
    ('take1', nan)
    """

    track_id: str
    dataset: str
    audio_path: str | None
    midi_path: str | None
    composer: str | None = None
    title: str | None = None
    work_id: str | None = None
    performer: str | None = None
    year: int | None = None
    split: str | None = None
    duration_s: float = math.nan


@dataclass(frozen=True)
class Skipped:
    """A file or metadata row that did not become a track, and why.

    Examples
    --------
    >>> Skipped("/data/notes.txt", "neither audio nor MIDI by its suffix").reason
    'neither audio nor MIDI by its suffix'
    """

    path: str
    reason: str


@dataclass
class Scan:
    """Tracks and skipped files found in the folder of one data set.

    Examples
    --------
    >>> scan = Scan("takes", "folder", "/data/takes")
    >>> scan.tracks.append(Track("take1", "takes", "/data/takes/take1.flac", None))
    >>> scan.skip("/data/takes/notes.txt", "neither audio nor MIDI by its suffix")
    >>> report = scan.report()
    >>> report["tracks"], report["with_midi"], len(report["skipped"])
    (1, 0, 1)
    """

    dataset: str
    layout: str
    root: str
    tracks: list[Track] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)

    def skip(self, path: Any, reason: str) -> None:
        """Record that `path` does not become a track."""
        self.skipped.append(Skipped(shown_name(path), reason))

    def metadata(
        self, where: Any, *, year: Any = None, split: Any = None, duration_s: Any = None
    ) -> dict[str, Any]:
        """Return the fields of a `Track` that a row of metadata gives.

        An invalid value is recorded under `where` and left out, so that an error in one row
        affects neither the rest of its track nor any other track.
        """
        values: dict[str, Any] = {}
        for name, text, read in (
            ("year", year, _year),
            ("split", split, _split),
            ("duration_s", duration_s, _duration),
        ):
            if text is None or str(text).strip() == "":
                continue
            try:
                values[name] = read(str(text).strip())
            except ValueError:
                self.skip(where, f"the {name} {text!r} is not valid and is left out")
        return values

    def report(self) -> dict[str, Any]:
        """Return counts and skipped files as plain values."""
        return {
            "dataset": self.dataset,
            "layout": self.layout,
            "root": self.root,
            "tracks": len(self.tracks),
            "with_audio": sum(track.audio_path is not None for track in self.tracks),
            "with_midi": sum(track.midi_path is not None for track in self.tracks),
            "works": len({track.work_id for track in self.tracks}),
            "skipped": [asdict(skipped) for skipped in self.skipped],
        }


SPLITS = ("train", "validation", "test")
YEARS = (1800, 2200)


def _year(text: str) -> int:
    year = int(text.removesuffix(".0")) if text.isascii() else 0
    if not YEARS[0] <= year <= YEARS[1]:
        raise ValueError
    return year


def _split(text: str) -> str:
    if text not in SPLITS:
        raise ValueError
    return text


def _duration(text: str) -> float:
    duration_s = float(text)
    if not 0 <= duration_s < math.inf:
        raise ValueError
    return duration_s


def track_table(scans: Mapping[str, Scan]) -> pd.DataFrame:
    """Return one validated row per track of all scans, sorted by data set and track id.

    If two data sets share a track id, the track of the later one is moved to the skipped
    files of its scan, since track ids name files and partitions.

    Examples
    --------
    >>> track = Track("take1", "takes", "/data/take1.flac", None, work_id="bach:bwv846")
    >>> table = track_table({"takes": Scan("takes", "folder", "/data", [track])})
    >>> table[["track_id", "work_id"]].to_dict("records")
    [{'track_id': 'take1', 'work_id': 'bach:bwv846'}]
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    owner: dict[str, str] = {}
    for scan in scans.values():
        accepted: list[Track] = []
        for track in scan.tracks:
            if track.track_id in owner:
                scan.skip(
                    track.audio_path or track.midi_path,
                    f"track id {track.track_id!r} is taken by data set {owner[track.track_id]!r}",
                )
                continue
            owner[track.track_id] = scan.dataset
            accepted.append(track)
            rows.append({**asdict(track), "audio_sha256": None, "music": None, "midi_source": None})
        scan.tracks[:] = accepted
    table = pd.DataFrame(rows, columns=list(TRACK_COLUMNS))
    table = table.sort_values(["dataset", "track_id"], ignore_index=True)
    return validate_track_table(table)


def validate_track_table(table: pd.DataFrame) -> pd.DataFrame:
    """Validate a track table against its schema, and convert its columns to their types.

    Raises
    ------
    DatasetError
        If a rule is violated; the message names the column, the rule and up to three values.

    Examples
    --------
    >>> track = Track("take1", "takes", "/data/take1.flac", None, work_id="bach:bwv846")
    >>> table = track_table({"takes": Scan("takes", "folder", "/data", [track])})
    >>> table["split"] = "holdout"
    >>> validate_track_table(table)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    mess_core.errors.DatasetError: the track table violates its schema: column 'split', ...
    """
    import pandera.pandas as pa

    text = {"nullable": True, "coerce": True}
    schema = pa.DataFrameSchema(
        {
            "track_id": pa.Column("string", pa.Check.str_length(1, 200), unique=True, coerce=True),
            "dataset": pa.Column("string", pa.Check.str_length(1, 64), coerce=True),
            "audio_path": pa.Column("string", **text),
            "midi_path": pa.Column("string", **text),
            "composer": pa.Column("string", **text),
            "title": pa.Column("string", **text),
            "work_id": pa.Column("string", coerce=True),
            "performer": pa.Column("string", **text),
            "year": pa.Column("Int64", pa.Check.in_range(*YEARS), **text),
            "split": pa.Column("string", pa.Check.isin(SPLITS), **text),
            "duration_s": pa.Column("float64", pa.Check.ge(0), **text),
            "audio_sha256": pa.Column("string", pa.Check.str_matches(r"^[0-9a-f]{64}$"), **text),
            "music": pa.Column("string", **text),
            "midi_source": pa.Column("string", **text),
        },
        checks=pa.Check(
            lambda frame: frame["audio_path"].notna() | frame["midi_path"].notna(),
            name="a track has audio or MIDI",
        ),
        strict=True,
        ordered=True,
    )
    try:
        checked: pd.DataFrame = schema.validate(table, lazy=True)
    except pa.errors.SchemaErrors as error:
        cases = error.failure_cases
        first = cases.iloc[0]
        examples = ", ".join(repr(case) for case in cases["failure_case"].head(3))
        raise DatasetError(
            f"the track table violates its schema: column {first['column']!r}, rule "
            f"{first['check']!r}, for example {examples} ({len(cases)} in all)"
        ) from error
    return checked


def shown_name(path: Any) -> str:
    r"""Return a path as text that every file and terminal takes.

    Examples
    --------
    >>> print(shown_name(b"liesm\xfc.txt".decode(errors="surrogateescape")))
    liesm\xfc.txt
    """
    raw = str(path).encode("utf-8", "surrogateescape")
    return raw.decode("utf-8", "backslashreplace")
