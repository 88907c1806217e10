"""Libraries as versioned, immutable folders that can be published and fetched.

``<place>/versions/<version>/`` is laid out as a data root and holds what searching needs and no
audio; its ``manifest.json`` with the SHA-256 of every file is written last. ``<place>/latest`` is a
text file that names the version to serve and is switched after that. A place is a folder or an
object store; what was uploaded in part has no manifest, or one that its files do not match, and is
never served.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import tempfile
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any

from upath import UPath

from mess_core.errors import StoreError
from mess_core.search.artifact import latest_manifest, load_artifact, sha256_of
from mess_core.store.arrays import move_into_place, part_file, write_bytes
from mess_core.store.layout import Layout
from mess_core.store.tables import read_json, read_table, write_json, write_table

__all__ = ["fetch", "publish", "served_root"]

FORMAT = 1
_OPTIONAL = (
    "probing/aspects.json", "probing/probes.json", "probing/probes.npy", "probing/placed.parquet",
    "probing/faithfulness.json", "probing/faithfulness.parquet", "probing/results.json",
    "probing/results.parquet", "proxy_targets/proxy_targets.parquet",
    "proxy_targets/proxy_targets.json",
)  # fmt: skip
_OF_INDEX = ("index.faiss", "rows.parquet", "manifest.json")
_HERE = ("audio_path", "midi_path")
Say = Callable[[str], None]


def publish(
    root: str | PathLike[str], place: str | PathLike[str], *, say: Say = lambda _: None
) -> dict[str, Any]:
    """Copy the library of a data root to a place as a new version, and serve it there.

    Parameters
    ----------
    root : path-like or fsspec URL
        Data root that the assets built.
    place : path-like or fsspec URL
        For example ``s3://bucket/mess``; credentials come from the environment.
    say : callable
        Told what is copied.

    Returns
    -------
    dict
        The manifest, with ``version`` and ``sha256``.

    Raises
    ------
    StoreError
        If there is no track index, aspects and index are not of the same embeddings, or a file
        cannot be read or written.
    """
    layout = Layout(root)
    _, _, made = load_artifact(layout.indices, "track")
    _same_embeddings(layout, made["made_from"])
    with tempfile.TemporaryDirectory(prefix="mess-publish-") as folder:
        table = read_table(layout.tracks)
        elsewhere = table.assign(**dict.fromkeys(_HERE)).astype(table.dtypes[list(_HERE)])
        write_table(UPath(folder) / "tracks.parquet", elsewhere)
        sources = {"metadata/tracks.parquet": UPath(folder) / "tracks.parquet"}
        for name in ("track", "passage"):
            manifest = made if name == "track" else latest_manifest(layout.indices, name)
            if manifest is None:
                continue
            version = str(manifest["version"])
            for file in _OF_INDEX:
                sources[f"indices/{name}/{version}/{file}"] = layout.indices / name / version / file
            pointer = UPath(folder) / f"{name}-latest"
            write_bytes(pointer, version.encode())
            sources[f"indices/{name}/latest"] = pointer
        for file in _OPTIONAL:
            if (layout.root / file).exists():
                sources[file] = layout.root / file
        sums = {file: sha256_of(source) for file, source in sorted(sources.items())}
        manifest = {
            "format": FORMAT,
            "version": _version(sums),
            "encoder": made["made_from"]["encoder"],
            "tracks": len(table),
            "sha256": sums,
        }
        _same_embeddings(layout, made["made_from"])  # not replaced while they were read
        _place(manifest, sources, UPath(place), say)
    return manifest


def fetch(
    source: str | PathLike[str], place: str | PathLike[str], *, say: Say = lambda _: None
) -> dict[str, Any]:
    """Copy the version that is served at one place to another, verified, and serve it there.

    Parameters
    ----------
    source, place : path-like or fsspec URL
    say : callable
        Told what is copied.

    Returns
    -------
    dict
        The manifest.

    Raises
    ------
    StoreError
        If nothing is published at `source`, or a file there does not match its checksum.
    """
    version = _latest(UPath(source))
    if version is None:
        raise StoreError(
            "holds no published library", path=str(source), remedy="Run `mess publish` to it"
        )
    folder = UPath(source) / "versions" / version
    manifest = _manifest(folder, version)
    sources = {file: folder / file for file in manifest["sha256"]}
    _place(manifest, sources, UPath(place), say)
    return manifest


def served_root(root: str | PathLike[str]) -> Any:
    """The folder to open for a root: the version served there, or the root itself.

    Raises
    ------
    StoreError
        If the version is incomplete or damaged.
    """
    version = _latest(UPath(root))
    if version is None:
        return root
    folder = UPath(root) / "versions" / version
    manifest = _manifest(folder, version)
    for file, expected in manifest["sha256"].items():
        if not file.endswith(_OF_INDEX[:2]):  # indices are verified as they are loaded
            _matching(folder / file, expected)
    return folder


def _place(manifest: dict[str, Any], sources: dict[str, Any], place: Any, say: Say) -> None:
    """Copy files, then the manifest, then switch ``latest``."""
    if Layout(place).tracks.exists():
        raise StoreError(
            "is a data root, which a published library would hide",
            path=str(place),
            remedy="Choose another folder",
        )
    version = str(manifest["version"])
    folder = place / "versions" / version
    complete = False
    with contextlib.suppress(StoreError):  # not there yet, or damaged: copied (again)
        found = _manifest(folder, version)
        for file, expected in found["sha256"].items():
            _matching(folder / file, expected)
        complete = True
    if not complete:
        (folder / "manifest.json").unlink(missing_ok=True)
        for number, (file, expected) in enumerate(manifest["sha256"].items(), 1):
            say(f"{number}/{len(sources)} {file}")
            _copied(sources[file], folder / file, expected)
        write_json(folder / "manifest.json", manifest)
    write_bytes(place / "latest", version.encode())


def _copied(source: Any, target: Any, expected: str) -> None:
    with part_file(target) as part:
        digest = hashlib.sha256()
        try:
            with source.open("rb") as reader, Path(part).open("wb") as writer:
                while piece := reader.read(1 << 22):
                    digest.update(piece)
                    writer.write(piece)
        except OSError as error:
            raise StoreError(
                f"cannot be copied ({error})", path=str(source), remedy="Run it again"
            ) from error
        if digest.hexdigest() != expected:
            raise _damaged(source)
        move_into_place(part, target)


def _matching(path: Any, expected: str) -> None:
    try:
        found = sha256_of(path)
    except OSError:
        found = "unreadable"
    if found != expected:
        raise _damaged(path)


def _damaged(path: Any) -> StoreError:
    return StoreError(
        "is missing or does not match its manifest's checksum",
        path=str(path),
        remedy="Publish or fetch the library again",
    )


def _latest(place: Any) -> str | None:
    try:
        pointer: bytes = (place / "latest").read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StoreError(f"cannot be read ({error})", path=str(place)) from error
    version = pointer.decode("ascii", errors="replace").strip()
    if not version.isalnum():
        raise StoreError("does not name a version", path=str(place / "latest"))
    return version


def _manifest(folder: Any, version: str) -> dict[str, Any]:
    """The manifest of a version, whose file names stay inside its folder."""
    manifest = read_json(folder / "manifest.json")
    sums = manifest.get("sha256")
    if not isinstance(sums, dict) or not manifest.get("version") == version == _version(sums):
        raise StoreError("is not the manifest of its version", path=str(folder / "manifest.json"))
    for file in sums:
        parts = file.split("/")
        if "" in parts or ".." in parts or "\\" in file or ":" in file:
            raise StoreError(f"names {file!r}, outside its folder", path=str(folder))
    return manifest


def _version(sums: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(sums, sort_keys=True).encode()).hexdigest()[:16]


def _same_embeddings(layout: Layout, made_from: dict[str, Any]) -> None:
    place = layout.probing / "aspects.json"
    if not place.exists():
        return
    if read_json(place)["made_from"]["matrix_sha256"] != made_from["matrix_sha256"]:
        raise StoreError(
            "aspects and track index are of different embeddings",
            path=str(layout.root),
            remedy="Materialise probing, aspects and the indices, then publish",
        )
