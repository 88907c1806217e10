"""FAISS indices as versioned artifacts: ``<indices>/<name>/<version>/`` and ``latest``.

Each version holds ``index.faiss`` and ``rows.parquet``; see `mess_core.store.versions`.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mess_core.errors import StoreError
from mess_core.store.arrays import part_file
from mess_core.store.layout import is_local
from mess_core.store.tables import read_table
from mess_core.store.versions import Versions, file_sha256_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["index_versions", "latest_manifest", "load_artifact", "save_artifact"]


def index_versions(indices: Any, name: str) -> Versions:
    """Return the versions of an index.

    Parameters
    ----------
    indices : UPath
        Folder of all indices.
    name : str
    """
    folder = indices / name
    return Versions(folder, folder / "latest", f"Materialise `{name}_index` again")


def save_artifact(
    indices: Any,
    name: str,
    index: Any,
    rows: pd.DataFrame,
    made_from: dict[str, Any],
    measured: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Write a FAISS index and its row table as a new version, and make it the served one.

    Parameters
    ----------
    indices : UPath
        Folder of all indices.
    name : str
    index : faiss.Index
    rows : DataFrame
        One row per vector, in the index's order.
    made_from : dict
        Encoder identity, layers, and versions of the inputs of the index.
    measured : dict, optional
        Measurements of the index from its construction, such as its recall.

    Returns
    -------
    dict
        The manifest, with ``version``.

    Raises
    ------
    StoreError
        If index and rows differ in length, or a file cannot be written.
    """
    import faiss

    if index.ntotal != len(rows):
        raise StoreError(f"index {name!r} has {index.ntotal} vectors for {len(rows)} rows")
    table = io.BytesIO()
    rows.to_parquet(table, index=False, compression="zstd")
    with part_file(indices / name / "index.faiss") as part:
        try:
            faiss.write_index(index, part)
        except RuntimeError as error:  # FAISS reports a full disk this way
            raise StoreError(
                f"index {name!r} cannot be written ({error})",
                path=str(indices),
                remedy="Free some space or check the permissions of the data root, then run again",
            ) from error
        digest = hashlib.sha256(file_sha256_of(Path(part)).encode())
        digest.update(rows.to_csv(index=False).encode())
        digest.update(json.dumps([made_from, measured], sort_keys=True, default=str).encode())
        return index_versions(indices, name).write(
            digest.hexdigest()[:16],
            {
                "index.faiss": Path(part).replace,
                "rows.parquet": lambda path: path.write_bytes(table.getvalue()),
            },
            {
                "name": name,
                "vectors": int(index.ntotal),
                "dim": int(index.d),
                "made_from": made_from,
                "measured": measured or {},
            },
        )


def latest_manifest(indices: Any, name: str) -> dict[str, Any] | None:
    """Return the manifest of the served version, or None if the index was never built."""
    versions = index_versions(indices, name)
    version = versions.latest()
    return None if version is None else versions.manifest(version)


def load_artifact(indices: Any, name: str) -> tuple[Any, pd.DataFrame, dict[str, Any]]:
    """Load the served version of an index, verified against its checksums.

    Returns
    -------
    index : faiss.Index
    rows : DataFrame
    manifest : dict

    Raises
    ------
    StoreError
        If there is no index, or a file does not match the manifest.
    """
    import faiss

    versions = index_versions(indices, name)
    version = versions.latest()
    if version is None:
        raise StoreError(
            f"there is no {name} index", path=str(indices), remedy=f"Materialise `{name}_index`"
        )
    manifest = versions.verify(version)
    folder = versions.folder / version
    with _local(folder / "index.faiss") as file:
        index = faiss.read_index(file)
    rows = read_table(folder / "rows.parquet")
    if index.ntotal != len(rows) or index.ntotal != manifest["vectors"]:
        raise StoreError("index and row table differ in length", path=str(folder))
    return index, rows, manifest


@contextlib.contextmanager
def _local(path: Any) -> Iterator[str]:
    """Yield a local path of a file; a remote file is downloaded temporarily."""
    if is_local(path):
        yield str(path)
        return
    with part_file(path) as part:
        path.fs.get_file(path.path, part)
        yield part
