"""Which layout a folder has: data sets are recognised from their content, or named.

To add a data set, write a module in this package with a function decorated with
`scanner`; nothing else has to change.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from mess_core.audio import AUDIO_SUFFIXES
from mess_core.datasets.base import MIDI_SUFFIXES, Scan
from mess_core.errors import DatasetError
from mess_core.paths import locate

__all__ = ["scan_source", "scanner"]

_MUSIC = {*AUDIO_SUFFIXES, *MIDI_SUFFIXES}
_DEEPEST = 5  # folders in folders, as archives are unpacked

ScanFunction = Callable[[Any, str], Scan]


@dataclass(frozen=True)
class _Scanner:
    layout: str
    recognises: Callable[[Any], bool]
    scan: ScanFunction
    priority: int


_SCANNERS: dict[str, _Scanner] = {}


def scanner(
    layout: str, *, recognises: Callable[[Any], bool], priority: int = 10
) -> Callable[[ScanFunction], ScanFunction]:
    """Register a function ``scan(root: UPath, dataset: str) -> Scan`` for a folder layout.

    Parameters
    ----------
    layout : str
        Name of the layout, such as "maestro": an identifier, as ``MESS_DATASETS`` can name it.
    recognises : callable
        Returns whether a folder (a UPath) has this layout.
    priority : int
        Layouts are tried in ascending order, equal ones by name; the first that recognises the
        folder reads it.

    Raises
    ------
    ValueError
        If the name is not an identifier of at least two characters.

    Examples
    --------
    >>> from mess_core.datasets import layouts
    >>> @scanner("listed", recognises=lambda root: (root / "takes.list").is_file())
    ... def scan_list(root, dataset):
    ...     return Scan(dataset, "listed", str(root))
    >>> "listed" in layouts._SCANNERS
    True
    >>> del layouts._SCANNERS["listed"]
    """

    if not layout.isidentifier() or len(layout) < 2:
        raise ValueError(f"layout {layout!r} is not an identifier of at least two characters")

    def register(scan: ScanFunction) -> ScanFunction:
        _SCANNERS[layout] = _Scanner(layout, recognises, scan, priority)
        return scan

    return register


def scan_source(root: str | PathLike[str], dataset: str, *, layout: str | None = None) -> Scan:
    """Read the folder of one data set.

    Parameters
    ----------
    root : path-like or fsspec URL
    dataset : str
        Name of the data set, recorded in its tracks.
    layout : str, optional
        A registered layout; by default it is recognised from the content of the folder.

    Returns
    -------
    Scan

    Raises
    ------
    DatasetError
        If the folder is missing, its layout unknown, or its metadata unreadable.

    Examples
    --------
    >>> import tempfile
    >>> from mess_core.datasets.demo import write_demo_corpus
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = write_demo_corpus(f"{folder}/demo", works=1, players=2, bars=1)
    ...     scan = scan_source(f"{folder}/demo", "demo")
    >>> scan.layout, [track.track_id for track in scan.tracks]
    ('folder', ['demo_01_free', 'demo_01_steady'])
    """
    folder = locate(root)
    if not getattr(folder, "protocol", ""):
        folder = folder.absolute()  # the table must not depend on the current directory
    if not folder.is_dir():
        raise DatasetError(
            f"the folder of data set {dataset!r} does not exist",
            path=str(root),
            remedy="Correct the path in MESS_DATASETS or mount the folder",
        )
    scanners = _scanners()
    if layout is not None:
        if layout not in scanners:
            raise DatasetError(f"unknown layout {layout!r}; known are {', '.join(scanners)}")
        return scanners[layout].scan(folder, dataset)
    *known, plain = sorted(scanners.values(), key=lambda one: (one.priority, one.layout))
    for where in _with_folders_below(folder):
        if found := next((one for one in known if one.recognises(where)), None):
            return found.scan(where, dataset)
    scan = plain.scan(folder, dataset)
    for part in sorted(filter(_is_visible_folder, folder.iterdir()), key=str):
        if found := next((one for one in known if one.recognises(part)), None):
            reason = f"could be a data set of its own ({found.layout}), with its metadata: "
            scan.skip(part, f"{reason}name it in MESS_DATASETS")
    return scan


def _with_folders_below(folder: Any) -> list[Any]:
    """Return a folder, the only one within it, and so on, as unpacked archives nest them.

    A folder with recordings or MIDI files of its own is the last.
    """
    chain = [folder]
    while len(chain) < _DEEPEST:
        content = list(chain[-1].iterdir())
        within = list(filter(_is_visible_folder, content))
        if len(within) != 1 or any(one.suffix.lower() in _MUSIC for one in content):
            break
        chain += within
    return chain


def _is_visible_folder(path: Any) -> bool:
    return not path.name.startswith((".", "__MACOSX")) and path.is_dir()


def _scanners() -> dict[str, _Scanner]:
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        importlib.import_module(f"{__package__}.{module.name}")
    return _SCANNERS
