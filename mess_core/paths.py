"""Files and folders wherever they are: local, or in an object store through fsspec."""

from __future__ import annotations

from os import PathLike
from typing import Any

from upath import UPath

__all__ = ["locate"]

_LISTED = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl"}


def locate(path: str | PathLike[str]) -> Any:
    """UPath of a file, folder or URL, as others may change it at any time.

    fsspec keeps the listings of an object store for as long as a process lives: a server, or a
    sensor beside the runs, would never see what others write there.
    """
    found = UPath(path)
    if found.protocol not in _LISTED:
        return found
    return UPath(path, **{**found.storage_options, "use_listings_cache": False})
