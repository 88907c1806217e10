"""Files and folders, local or in an object store through fsspec."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

from upath import UPath

__all__ = ["locate"]

_LISTED = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl"}


def locate(path: str | PathLike[str]) -> Any:
    """Return the UPath of a file, folder or URL, without cached listings of an object store.

    A path that begins with ``~/`` is in the home folder.

    fsspec caches listings of an object store for the lifetime of a process: a server, or a sensor
    next to the runs, would never see what other processes write.

    Examples
    --------
    >>> locate("memory://library/tracks.parquet").name
    'tracks.parquet'
    """
    text = str(path)
    if text == "~" or text.startswith("~/"):  # settings are not always expanded by a shell
        return UPath(str(Path(text).expanduser()))
    if "://" not in text and text.partition("::")[1]:
        return UPath(Path(text))  # a name with two colons, not files within files
    if text.startswith("file://"):  # the same folder, however it is written
        return UPath(UPath(text).path)
    found = UPath(path)
    if found.protocol not in _LISTED:
        return found
    return UPath(path, **{**found.storage_options, "use_listings_cache": False})
