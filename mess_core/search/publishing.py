"""Publish and fetch libraries as versioned, immutable folders.

``<root>/versions/<version>/`` has the layout of a data root and holds everything that search needs,
but no audio. Its ``manifest.json`` with the SHA-256 of every file is written last. Then the text
file ``<root>/latest``, which names the version to serve, is updated. The root is a folder
or a URL in an object store. A partial upload has no manifest, or one that does not match its files,
and is never served.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

from upath import UPath

from mess_core.encoders.chosen import choose_encoder
from mess_core.errors import StoreError
from mess_core.search.artifact import latest_manifest, load_artifact
from mess_core.store.arrays import write_bytes
from mess_core.store.layout import Layout
from mess_core.store.stored_encoders import indexed_encoders
from mess_core.store.tables import read_json, read_table, write_table
from mess_core.store.versions import Versions, file_sha256_of, hash_copy

__all__ = ["fetch", "publish", "served_folder", "served_root"]

_OF_PROBING = (
    "aspects.json", "probes.json", "probes.npy", "placed.parquet", "faithfulness.json",
    "faithfulness.parquet", "results.json", "results.parquet",
)  # fmt: skip
_OF_INDEX = ("index.faiss", "rows.parquet", "manifest.json")
_PATHS = ("audio_path", "midi_path")
Say = Callable[[str], None]


def publish(
    root: str | PathLike[str],
    destination: str | PathLike[str],
    *,
    encoder: str | None = None,
    say: Say = lambda _: None,
) -> dict[str, Any]:
    """Publish the library of a data root as a new version, and return its manifest.

    Parameters
    ----------
    root : path-like or fsspec URL
        Data root with built assets.
    destination : path-like or fsspec URL
        For example ``s3://bucket/mess``; credentials come from the environment.
    encoder : str, optional
        Publish what belongs to this encoder only, as in `Library.open`; all that can be searched
        by default.
    say : callable
        Called with one line of text per file.

    Returns
    -------
    dict
        The manifest, with ``version`` and ``sha256``.

    Raises
    ------
    StoreError
        If there is no track index, aspects and index belong to different embeddings, or a file
        cannot be read or written.
    """
    layout = Layout(root)
    first = choose_encoder(layout, encoder) if encoder is not None else None
    found = indexed_encoders(layout) if first is None else [str(first.encoder)]
    libraries = [layout.of(one) for one in found] or [choose_encoder(layout)]
    made = [load_artifact(one.indices, "track")[2] for one in libraries]
    for one, manifest in zip(libraries, made, strict=True):
        _same_embeddings(one, manifest["made_from"])
    with tempfile.TemporaryDirectory(prefix="mess-publish-") as folder:
        table = read_table(layout.tracks)
        without_paths = table.assign(**dict.fromkeys(_PATHS)).astype(table.dtypes[list(_PATHS)])
        write_table(UPath(folder) / "tracks.parquet", without_paths)
        sources = {"metadata/tracks.parquet": UPath(folder) / "tracks.parquet"}
        for one, manifest in zip(libraries, made, strict=True):
            sources |= _files_of(one, manifest, UPath(folder) / str(one.encoder))
        for name in ("proxy_targets.parquet", "proxy_targets.json"):
            if (layout.root / "proxy_targets" / name).exists():
                sources[f"proxy_targets/{name}"] = layout.root / "proxy_targets" / name
        sums = {file: file_sha256_of(source) for file, source in sorted(sources.items())}
        manifest = {
            "version": version_of(sums),
            "encoders": [one["made_from"]["encoder"] for one in made],
            "tracks": len(table),
            "sha256": sums,
        }
        for one, own in zip(libraries, made, strict=True):
            _same_embeddings(one, own["made_from"])  # files may have been replaced meanwhile
        return _write_version(manifest, sources, UPath(destination), say)


def _files_of(layout: Layout, made: dict[str, Any], scratch: Any) -> dict[str, Any]:
    """Return published path to file of all files of one encoder; pointers go to `scratch`."""
    encoder, sources = layout.encoder, {}
    for name in ("track", "passage"):
        manifest = made if name == "track" else latest_manifest(layout.indices, name)
        if manifest is None:
            continue
        version = str(manifest["version"])
        for file in _OF_INDEX:
            published = f"indices/{encoder}/{name}/{version}/{file}"
            sources[published] = layout.indices / name / version / file
        pointer = scratch / f"{name}-latest"
        write_bytes(pointer, version.encode())
        sources[f"indices/{encoder}/{name}/latest"] = pointer
    for file in _OF_PROBING:
        if (layout.probing / file).exists():
            sources[f"probing/{encoder}/{file}"] = layout.probing / file
    return sources


def fetch(
    source: str | PathLike[str], destination: str | PathLike[str], *, say: Say = lambda _: None
) -> dict[str, Any]:
    """Copy the served version of a published library, and return its manifest.

    Every file is verified against its checksum.

    Parameters
    ----------
    source, destination : path-like or fsspec URL
    say : callable
        Called with one line of text per file.

    Returns
    -------
    dict
        The manifest.

    Raises
    ------
    StoreError
        If nothing is published at `source`, or a file there does not match its checksum.
    """
    versions = _published(UPath(source))
    version = versions.latest()
    if version is None:
        raise StoreError(
            "holds no published library", path=str(source), remedy="Run `mess publish` to it"
        )
    manifest = _manifest(versions, version)
    manifest.setdefault("encoders", [manifest.get("encoder")])  # of earlier versions of MESS
    if "tracks" not in manifest:
        path = versions.folder / version / "manifest.json"
        raise StoreError("does not say how many tracks it has", path=str(path))
    sources = {file: versions.folder / version / file for file in manifest["sha256"]}
    return _write_version(manifest, sources, UPath(destination), say)


def served_root(root: str | PathLike[str]) -> Any:
    """Return the folder to open for a root: the served version, or the root itself.

    Raises
    ------
    StoreError
        If the version is incomplete or damaged.
    """
    versions = _published(UPath(root))
    version = versions.latest()
    if version is None:
        return root
    _manifest(versions, version)
    # Index files are verified when they are loaded.
    versions.verify(version, without=_OF_INDEX[:2])
    return versions.folder / version


def served_folder(root: str | PathLike[str]) -> Any:
    """Return what `served_root` does, without checking any file."""
    versions = _published(UPath(root))
    version = versions.latest()
    return root if version is None else versions.folder / version


def _published(root: Any) -> Versions:
    return Versions(root / "versions", root / "latest", "Publish or fetch the library again")


def _write_version(
    manifest: dict[str, Any], sources: dict[str, Any], root: Any, say: Say
) -> dict[str, Any]:
    """Copy files as a new version of a published library, and make it the served one."""
    if Layout(root).tracks.exists():
        raise StoreError(
            "is a data root, which a published library would hide",
            path=str(root),
            remedy="Choose another folder",
        )
    versions = _published(root)
    sums = manifest["sha256"]

    def copy(number: int, file: str, target: Path) -> None:
        say(f"{number}/{len(sums)} {file}")
        if hash_copy(sources[file], target) != sums[file]:
            raise versions.damaged(sources[file])

    about = {key: manifest[key] for key in ("encoders", "tracks")}
    writers = {file: partial(copy, number, file) for number, file in enumerate(sums, 1)}
    return versions.write(str(manifest["version"]), writers, about)


def _manifest(versions: Versions, version: str) -> dict[str, Any]:
    """Return the manifest of a version, after comparing the version with the checksums."""
    manifest = versions.manifest(version)
    if version != version_of(manifest["sha256"]):
        path = versions.folder / version / "manifest.json"
        raise StoreError("is not the manifest of its version", path=str(path))
    return manifest


def version_of(sums: dict[str, str]) -> str:
    """Return the name of a version: a hash of the checksums of its files."""
    return hashlib.sha256(json.dumps(sums, sort_keys=True).encode()).hexdigest()[:16]


def _same_embeddings(layout: Layout, made_from: dict[str, Any]) -> None:
    aspects_path = layout.probing / "aspects.json"
    if not aspects_path.exists():
        return
    if read_json(aspects_path)["made_from"]["matrix_sha256"] != made_from["matrix_sha256"]:
        raise StoreError(
            "aspects and track index are of different embeddings",
            path=str(layout.root),
            remedy="Materialise probing, aspects and the indices, then publish",
        )
