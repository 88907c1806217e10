"""Names of encoders: what each refers to, and the folder of what is computed with it.

This module reads names and folders without loading a model, so it is cheap to import.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from mess_core.encoders.families import (
    FAMILIES,
    PIANO_FOLDER,
    PIANO_WEIGHTS,
    SETTINGS,
    Family,
)
from mess_core.encoders.published import PUBLISHED, Published
from mess_core.environment import PIANO
from mess_core.errors import EncoderError

__all__ = [
    "FAMILIES",
    "PIANO_FOLDER",
    "PIANO_WEIGHTS",
    "PUBLISHED",
    "UNTRAINED",
    "EncoderSource",
    "changed_settings",
    "family_named",
    "find_encoder",
    "folder_name",
    "known_names",
    "main_names",
    "weights_file",
]

UNTRAINED = (
    "tiny",
    "95m",
    "330m",
    *(name for name, one in PUBLISHED.items() if one.family != "mert"),
)
"""What ``untrained:<size>`` takes: sizes of MERT, and names of published weights."""


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
    settings : mapping
        Settings that the name gives.
    """

    name: str
    family: Family
    path: Path | None = None
    published: Published | None = None
    size: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

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
            Settings that are not the family's defaults, as returned by `changed_settings`; by
            default those that the name gives.
        """
        if changes is None:
            changes = changed_settings(self.family, self.settings)
        at = "" if self.known else self.digest()[:12]
        return folder_name(self.name, at, changes)


def known_names() -> list[str]:
    """Return the names that `load_encoder` takes, besides folders."""
    return [PIANO, *PUBLISHED, *(f"untrained:{size}" for size in UNTRAINED)]


def main_names() -> list[str]:
    """Return the names that messages list: without ``untrained:<published name>``."""
    return [
        one
        for one in known_names()
        if not (one.startswith("untrained:") and one.removeprefix("untrained:") in PUBLISHED)
    ]


def family_named(name: str) -> Family:
    """Return a family of MESS, or of an installed package (entry points ``mess.encoders``).

    Raises
    ------
    EncoderError
        If there is none of this name.
    """
    if name in FAMILIES:
        return FAMILIES[name]
    found = {one.name: one for one in _installed_families()}
    if name not in found:
        raise EncoderError(
            f"there is no family of encoders {name!r}",
            remedy=f"Known: {', '.join([*FAMILIES, *found])}",
        )
    return found[name]


def find_encoder(name_or_path: str | os.PathLike[str]) -> EncoderSource:
    """Return what a name or a folder refers to, without reading weights.

    Parameters
    ----------
    name_or_path : str or path-like
        Settings may follow a name after commas, such as ``"mess-piano,pooling=percentiles"``.

    Raises
    ------
    EncoderError
        If there is no such name, setting or folder, or the folder is of no known family.

    Examples
    --------
    >>> find_encoder("mess-piano").folder(), find_encoder("untrained:tiny").folder()
    ('mess-piano', 'untrained-tiny')
    >>> find_encoder("mess-piano").folder({"hop_s": 5.0})
    'mess-piano-87adf3'
    >>> find_encoder("mess-piano,hop_s=5").folder()
    'mess-piano-87adf3'
    """
    name = os.fspath(name_or_path)
    if "," in name and not Path(name).exists():
        name, *given = name.split(",")
        return replace(find_encoder(name), settings=_named_settings(given))
    lower = name.lower()
    if lower.startswith("untrained:"):
        size = lower.removeprefix("untrained:")
        if size not in UNTRAINED:
            raise EncoderError(
                f"there is no untrained size {size!r}", remedy=f"Known: {', '.join(UNTRAINED)}"
            )
        family = PUBLISHED[size].family if size in PUBLISHED else "mert"
        return EncoderSource(lower, FAMILIES[family], size=size)
    if lower in PUBLISHED:
        published = PUBLISHED[lower]
        return EncoderSource(lower, FAMILIES[published.family], published=published)
    if lower == PIANO:
        return EncoderSource(PIANO, FAMILIES[PIANO], path=PIANO_FOLDER)
    path = Path(name)
    if path.is_dir():
        return EncoderSource(path.resolve().name, _family_of(path), path=path.resolve())
    raise EncoderError(
        f"there is no encoder or folder {name!r}", remedy=f"Known: {', '.join(main_names())}"
    )


def _named_settings(given: list[str]) -> dict[str, Any]:
    """Read settings such as ``pooling=mean``."""
    found: dict[str, Any] = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals or name not in SETTINGS:
            raise EncoderError(
                f"{one!r} is not a setting of an encoder",
                remedy=f"Settings: {', '.join(SETTINGS)}; such as pooling=mean",
            )
        try:
            found[name] = type(SETTINGS[name])(value)
        except ValueError:
            raise EncoderError(f"{name} must be a number, not {value!r}") from None
    return found


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
    """Return the family of a model folder, by the files it contains and what they say."""
    if (folder / PIANO_WEIGHTS).is_file():
        return FAMILIES[PIANO]
    if (folder / FAMILIES["musicfm"].files[0]).is_file():
        return FAMILIES["musicfm"]
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if "w2v2_config" in config:
            return FAMILIES["muq"]
        kind = config.get("model_type") or config.get("architecture")
    except (OSError, ValueError, TypeError, AttributeError):
        return FAMILIES["mert"]  # which says what is wrong with the file
    families = [*FAMILIES.values(), *_installed_families()]
    found = [one for one in families if kind in one.model_types]
    if found:
        return found[0]
    known = sorted(kind for one in families for kind in one.model_types)
    raise EncoderError(
        f"is a model of type {kind!r}, which MESS does not know",
        path=str(folder),
        remedy=f"Known types: {', '.join(known)}",
    )


def _installed_families() -> list[Family]:
    """Return the families of installed packages. Names in a library never import anything."""
    found = []
    for point in importlib.metadata.entry_points(group="mess.encoders"):
        family = point.load()
        if not isinstance(family, Family):
            raise EncoderError(f"the entry point {point.value!r} of mess.encoders is not a Family")
        found.append(family)
    return found


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
