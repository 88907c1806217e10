"""The known encoders: families of architectures, published weights, and the names of both.

This module reads names and folders without loading a model, so it is cheap to import.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from mess_core.environment import PIANO
from mess_core.errors import EncoderError

__all__ = [
    "FAMILIES",
    "PIANO_FOLDER",
    "PIANO_WEIGHTS",
    "PUBLISHED",
    "SETTINGS",
    "UNTRAINED",
    "EncoderSource",
    "Family",
    "Published",
    "changed_settings",
    "find_encoder",
    "folder_name",
    "known_names",
]

SETTINGS: dict[str, Any] = {
    "window_s": 5.0,
    "hop_s": 2.5,
    "normalise": "window",
    "pooling": "mean",
}
"""Settings of `EncoderSettings` that change vectors, with the defaults of most families."""

PIANO_FOLDER = Path(__file__).with_name("weights")
"""Folder of the weights in the package."""

_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
PIANO_WEIGHTS = "mess-piano.safetensors"
"""File of the weights, in the package and in a folder that ``mess train-encoder`` writes."""


@dataclass(frozen=True)
class Family:
    """An architecture, and how MESS reads and runs it.

    Attributes
    ----------
    name : str
    module : str
        Module with ``open_folder(folder, family)`` and ``build(family, config)``, which return a
        `Checkpoint` and an untrained `StateModel`.
    files : tuple of str
        Files besides the weights that a folder of this family contains.
    weights : tuple of str
        Names of the file of weights; the first one found is read.
    settings : mapping
        Defaults that differ from `SETTINGS`.
    """

    name: str
    module: str
    files: tuple[str, ...] = ("config.json", "preprocessor_config.json")
    weights: tuple[str, ...] = _WEIGHTS
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def defaults(self) -> dict[str, Any]:
        """All settings that this family uses unless told otherwise."""
        return {**SETTINGS, **self.settings}


@dataclass(frozen=True)
class Published:
    """Published weights: family, hub repository, licence, and the revision of reported results."""

    family: str
    repository: str
    revision: str
    licence: str


FAMILIES = {
    one.name: one
    for one in (
        Family("mert", "mess_core.encoders.mert"),
        Family(
            PIANO,
            "mess_core.encoders.piano",
            files=(),
            weights=(PIANO_WEIGHTS,),
            settings={"pooling": "mean+std"},
        ),
    )
}
"""Families by name."""

PUBLISHED = {
    "mert-v1-95m": Published(
        "mert",
        "m-a-p/MERT-v1-95M",
        "12af15fef9d0ac838c3f475bfbbf26d2060dd4f5",
        "CC-BY-NC-4.0",
    ),
    "mert-v1-330m": Published(
        "mert",
        "m-a-p/MERT-v1-330M",
        "af10da70c94a0c849de9cc94b83e12769c4db499",
        "CC-BY-NC-4.0",
    ),
}
"""Weights on the Hugging Face hub, by the name that MESS gives them."""

UNTRAINED = ("tiny", "95m", "330m")
"""Sizes of ``untrained:<size>``."""


@dataclass(frozen=True)
class EncoderSource:
    """What a name or a folder refers to.

    Attributes
    ----------
    name : str
        Known name, or the name of the folder.
    family : Family
    path : Path or None
        Folder with the files; None if they are downloaded or drawn at random.
    published : Published or None
    size : str or None
        Of an untrained encoder.
    """

    name: str
    family: Family
    path: Path | None = None
    published: Published | None = None
    size: str | None = None

    @property
    def known(self) -> bool:
        """Whether it is known by its name alone, not a folder of the user."""
        return self.path is None or self.path == PIANO_FOLDER

    def digest(self) -> str:
        """Return the SHA-256 of the files of a folder, in hexadecimal.

        Raises
        ------
        EncoderError
            If there is no folder, or a file is missing.
        """
        if self.path is None:
            raise EncoderError(f"{self.name} has no folder")
        files = (*self.family.files, weights_file(self.path, self.family).name)
        try:
            stamps = tuple((self.path / file).stat().st_mtime_ns for file in files)
        except OSError as error:
            raise EncoderError(
                f"cannot be read ({error})", path=str(self.path), remedy="Download the model again"
            ) from error
        return _digest(self.path, files, stamps)

    def folder(self, changes: Mapping[str, Any] | None = None) -> str:
        """Return the name of the folder of everything computed with this encoder.

        Parameters
        ----------
        changes : mapping, optional
            Settings that are not the family's defaults, as returned by `changed_settings`.
        """
        at = "" if self.known else self.digest()[:12]
        return folder_name(self.name, at, changes or {})


def known_names() -> list[str]:
    """Return the names that `load_encoder` takes, besides folders."""
    return [PIANO, *PUBLISHED, *(f"untrained:{size}" for size in UNTRAINED)]


def find_encoder(name_or_path: str | os.PathLike[str]) -> EncoderSource:
    """Return what a name or a folder refers to, without reading weights.

    Raises
    ------
    EncoderError
        If there is no such name or folder, or the folder is of no known family.

    Examples
    --------
    >>> find_encoder("mess-piano").folder(), find_encoder("untrained:tiny").folder()
    ('mess-piano', 'untrained-tiny')
    >>> find_encoder("mess-piano").folder({"hop_s": 5.0})
    'mess-piano-87adf3'
    """
    name = os.fspath(name_or_path)
    lower = name.lower()
    if lower.startswith("untrained:"):
        size = lower.removeprefix("untrained:")
        if size not in UNTRAINED:
            raise EncoderError(
                f"there is no untrained size {size!r}", remedy=f"Known: {', '.join(UNTRAINED)}"
            )
        return EncoderSource(lower, FAMILIES["mert"], size=size)
    if lower in PUBLISHED:
        published = PUBLISHED[lower]
        return EncoderSource(lower, FAMILIES[published.family], published=published)
    if lower == PIANO:
        return EncoderSource(PIANO, FAMILIES[PIANO], path=PIANO_FOLDER)
    path = Path(name)
    if path.is_dir():
        return EncoderSource(path.resolve().name, _family_of(path), path=path.resolve())
    raise EncoderError(
        f"there is no encoder or folder {name!r}", remedy=f"Known: {', '.join(known_names())}"
    )


def weights_file(folder: Path, family: Family) -> Path:
    """Return the file of weights in a folder.

    Raises
    ------
    EncoderError
        If there is none.
    """
    for name in family.weights:
        if (folder / name).is_file():
            return folder / name
    raise EncoderError(
        f"contains no {' or '.join(family.weights)}",
        path=str(folder),
        remedy="Download the model again",
    )


def changed_settings(family: Family, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of `SETTINGS` that are not the family's defaults."""
    return {
        name: settings[name]
        for name, default in family.defaults.items()
        if name in settings and settings[name] != default
    }


def folder_name(name: str, digest: str = "", changes: Mapping[str, Any] | None = None) -> str:
    """Return a readable folder name for an encoder.

    Parameters
    ----------
    name : str
        Such as "mert-v1-95m" or "untrained:tiny".
    digest : str
        Of the weights, where the name alone does not determine them.
    changes : mapping, optional
        Settings that are not the defaults, see `changed_settings`.

    Returns
    -------
    str
        The name, in characters that every file system and object store takes. If there is a digest
        or a changed setting, a suffix of six hexadecimal digits follows.
    """
    readable = re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-.") or "encoder"
    if not digest and not changes:
        return readable
    told = ";".join([digest, *(f"{key}={value}" for key, value in sorted((changes or {}).items()))])
    return f"{readable}-{hashlib.sha256(told.encode()).hexdigest()[:6]}"


def _family_of(folder: Path) -> Family:
    if (folder / PIANO_WEIGHTS).is_file():
        return FAMILIES[PIANO]
    return FAMILIES["mert"]


@lru_cache(maxsize=8)
def _digest(folder: Path, files: tuple[str, ...], stamps: tuple[int, ...]) -> str:
    """`stamps` are times of modification, so that changed files are read again."""
    try:
        parts = [(folder / file).read_bytes() for file in files]
    except OSError as error:
        raise EncoderError(f"cannot be read ({error})", path=str(folder)) from error
    if len(parts) == 1:
        return hashlib.sha256(parts[0]).hexdigest()
    digest = hashlib.sha256()
    for part in parts:
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()
