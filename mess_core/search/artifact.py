"""Versioned, immutable index folders; ``latest`` moves last.

``<indices>/<name>/<version>/`` holds ``index.faiss``, ``rows.parquet`` and, written last,
``manifest.json`` with their SHA-256; ``<indices>/<name>/latest`` is a text file that names
the version to serve. The version is a hash of the content, so building the same index
twice makes one folder, and a reader that has opened one never sees it change.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mess_core.errors import StoreError
from mess_core.store.arrays import move_into_place, part_file, write_bytes
from mess_core.store.layout import is_local
from mess_core.store.tables import read_json, read_table, write_json, write_table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["latest_manifest", "load_artifact", "save_artifact", "sha256_of"]

FORMAT = 1


def save_artifact(
    indices: Any,
    name: str,
    index: Any,
    rows: pd.DataFrame,
    made_from: dict[str, Any],
    measured: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Write a FAISS index and its row table as a new version, then point ``latest`` at it.

    Parameters
    ----------
    indices : UPath
        Folder of all indices.
    name : str
    index : faiss.Index
    rows : DataFrame
        One row per vector, in the index's order.
    made_from : dict
        Encoder identity, layers, and versions of what the index was built from.
    measured : dict, optional
        What the build found out about the index, such as its recall.

    Returns
    -------
    dict
        The manifest, with ``version``.
    """
    import faiss
    import pyarrow  # noqa: F401  loaded here so that a missing engine fails before writing

    if index.ntotal != len(rows):
        raise StoreError(f"index {name!r} has {index.ntotal} vectors for {len(rows)} rows")
    with part_file(indices / name / "index.faiss") as part:
        try:
            faiss.write_index(index, part)
        except RuntimeError as error:  # FAISS tells of a full disk in this way
            raise StoreError(
                f"index {name!r} cannot be written ({error})",
                path=str(indices),
                remedy="Free some space or check the permissions of the data root, then run again",
            ) from error
        with Path(part).open("rb") as file:
            content = hashlib.file_digest(file, "sha256")
        digest = content.copy()
        digest.update(rows.to_csv(index=False).encode())
        digest.update(json.dumps([made_from, measured], sort_keys=True, default=str).encode())
        version = digest.hexdigest()[:16]
        folder = indices / name / version
        manifest = None
        with contextlib.suppress(StoreError):  # not there yet, or damaged: written (again)
            found = read_json(folder / "manifest.json")
            _verify(folder, found, name)
            manifest = found
        if manifest is None:
            (folder / "manifest.json").unlink(missing_ok=True)
            move_into_place(part, folder / "index.faiss")
            write_table(folder / "rows.parquet", rows)
            manifest = {
                "format": FORMAT,
                "name": name,
                "version": version,
                "vectors": int(index.ntotal),
                "dim": int(index.d),
                "made_from": made_from,
                "measured": measured or {},
                "sha256": {
                    "index.faiss": content.hexdigest(),
                    "rows.parquet": sha256_of(folder / "rows.parquet"),
                },
            }
            write_json(folder / "manifest.json", manifest)
    write_bytes(indices / name / "latest", version.encode())
    return manifest


def latest_manifest(indices: Any, name: str) -> dict[str, Any] | None:
    """Manifest of the version being served, or None if none was ever built."""
    pointer = indices / name / "latest"
    if not pointer.exists():
        return None
    version = pointer.read_bytes().decode("ascii", errors="replace").strip()
    if not version.isalnum():
        raise StoreError("does not name a version", path=str(pointer))
    return read_json(indices / name / version / "manifest.json")


def load_artifact(indices: Any, name: str) -> tuple[Any, pd.DataFrame, dict[str, Any]]:
    """Open the version that ``latest`` names, verified against its checksums.

    Returns
    -------
    index : faiss.Index
    rows : DataFrame
    manifest : dict

    Raises
    ------
    StoreError
        If there is none, or a file is not what the manifest says.
    """
    import faiss

    manifest = latest_manifest(indices, name)
    if manifest is None:
        raise StoreError(
            f"there is no {name} index", path=str(indices), remedy=f"Materialise `{name}_index`"
        )
    folder = indices / name / manifest["version"]
    _verify(folder, manifest, name)
    with _local(folder / "index.faiss") as file:
        index = faiss.read_index(file)
    rows = read_table(folder / "rows.parquet")
    if index.ntotal != len(rows) or index.ntotal != manifest["vectors"]:
        raise StoreError("index and row table differ in length", path=str(folder))
    return index, rows, manifest


def sha256_of(path: Any) -> str:
    """SHA-256 of a file, read piece by piece.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _verify(folder: Any, manifest: dict[str, Any], name: str) -> None:
    for file, expected in manifest["sha256"].items():
        try:
            found = sha256_of(folder / file)
        except OSError:
            found = "unreadable"
        if found != expected:
            raise StoreError(
                "is missing or does not match its manifest's checksum",
                path=str(folder / file),
                remedy=f"Materialise `{name}_index` again",
            )


@contextlib.contextmanager
def _local(path: Any) -> Iterator[str]:
    """Local name of a file, downloaded for as long as it is needed where it is remote."""
    if is_local(path):
        yield str(path)
        return
    with part_file(path) as part:
        path.fs.get_file(path.path, part)
        yield part
