"""Immutable version folders, one of which is served: indices, heads, published libraries.

A version is a folder of files and, written last, ``manifest.json`` with their SHA-256. A text
file, ``latest``, is then updated to name the version to serve. A killed writer leaves a folder
without a manifest, or with one that its files do not match; such a folder is never opened.
A version never changes after a reader has opened it.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mess_core.errors import StoreError
from mess_core.store.arrays import move_into_place, part_file, write_bytes
from mess_core.store.tables import read_json, write_json

__all__ = ["Versions", "Writer", "file_sha256_of", "hash_copy"]

FORMAT = 1

Writer = Callable[[Path], object]
"""Function that writes the content of a file to a local path."""


@dataclass(frozen=True)
class Versions:
    """All versions of one collection of files.

    Attributes
    ----------
    folder : UPath
        Contains a folder per version.
    pointer : UPath
        File that names the served version.
    remedy : str
        What to do about a damaged version.
    """

    folder: Any
    pointer: Any
    remedy: str

    def latest(self) -> str | None:
        """Return the served version, or None if there is none.

        Raises
        ------
        StoreError
            If the pointer cannot be read or names no version.
        """
        try:
            content: bytes = self.pointer.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise StoreError(f"cannot be read ({error})", path=str(self.pointer)) from error
        version = content.decode("ascii", errors="replace").strip()
        if not version.isalnum():
            raise StoreError("does not name a version", path=str(self.pointer))
        return version

    def manifest(self, version: str) -> dict[str, Any]:
        """Return the manifest of a version, whose file names are inside its folder.

        Raises
        ------
        StoreError
            If it is missing, of another format, or names a file outside its folder.
        """
        path = self.folder / version / "manifest.json"
        manifest = read_json(path)
        sums = manifest.get("sha256")
        if not isinstance(sums, dict) or manifest.get("format") != FORMAT:
            raise StoreError(
                "was written by another version of MESS", path=str(path), remedy=self.remedy
            )
        if manifest.get("version") != version:
            raise StoreError("is not the manifest of its version", path=str(path))
        for file in sums:
            parts = file.split("/")
            if "" in parts or ".." in parts or "\\" in file or ":" in file:
                raise StoreError(f"names {file!r}, outside its folder", path=str(path))
        return manifest

    def verify(self, version: str, *, without: Iterable[str] = ()) -> dict[str, Any]:
        """Return the manifest of a version after checking its files against it.

        Parameters
        ----------
        version : str
        without : iterable of str
            Endings of the names of files that are not checked.

        Raises
        ------
        StoreError
            As in `manifest`, or if a file is missing or does not match its checksum.
        """
        manifest = self.manifest(version)
        for file, expected in manifest["sha256"].items():
            path = self.folder / version / file
            if file.endswith(tuple(without)) or _found_sha256(path) == expected:
                continue
            raise self.damaged(path)
        return manifest

    def damaged(self, path: Any) -> StoreError:
        """Return the error to raise for a file that does not match its manifest."""
        return StoreError(
            "is missing or does not match its manifest's checksum",
            path=str(path),
            remedy=self.remedy,
        )

    def write(
        self, version: str, files: Mapping[str, Writer], about: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Write a version unless an intact copy exists, then serve it.

        Parameters
        ----------
        version : str
            Letters and digits; a hash of the content, so that equal content has one version.
        files : mapping of str to callable
            File name to the function that writes it to a local path.
        about : mapping
            Further entries of the manifest.

        Returns
        -------
        dict
            The manifest, with ``version`` and ``sha256``.

        Raises
        ------
        StoreError
            If a file cannot be written.
        """
        folder = self.folder / version
        manifest: dict[str, Any] | None = None
        with contextlib.suppress(StoreError):  # missing or damaged: written below
            manifest = self.verify(version)
        if manifest is None:
            (folder / "manifest.json").unlink(missing_ok=True)
            sums = {}
            for file, write in files.items():
                with part_file(folder / file) as part:
                    write(Path(part))
                    sums[file] = file_sha256_of(Path(part))
                    move_into_place(part, folder / file)
            manifest = {"format": FORMAT, "version": version, **about, "sha256": sums}
            write_json(folder / "manifest.json", manifest)
        write_bytes(self.pointer, version.encode())
        return manifest

    def withdraw(self) -> None:
        """Stop serving a version, without deleting any folder."""
        self.pointer.unlink(missing_ok=True)


def file_sha256_of(path: Any) -> str:
    """Return the SHA-256 of a file, read in blocks.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_copy(source: Any, target: Path) -> str:
    """Copy a file, which may be remote, to a local path; return the SHA-256 of its content.

    Raises
    ------
    StoreError
        If the file cannot be copied.
    """
    digest = hashlib.sha256()
    try:
        with source.open("rb") as reader, target.open("wb") as writer:
            while piece := reader.read(1 << 22):
                digest.update(piece)
                writer.write(piece)
    except OSError as error:
        raise StoreError(
            f"cannot be copied ({error})", path=str(source), remedy="Run it again"
        ) from error
    return digest.hexdigest()


def _found_sha256(path: Any) -> str:
    try:
        return file_sha256_of(path)
    except OSError:
        return "unreadable"
