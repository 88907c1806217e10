"""Choose among the encoders of a data root, and move older stores to a folder per encoder."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from mess_core.encoders.registry import (
    FAMILIES,
    PUBLISHED,
    changed_settings,
    find_encoder,
    folder_name,
)
from mess_core.environment import PIANO, configured_encoder
from mess_core.errors import EncoderError, StoreError
from mess_core.store.layout import Layout, is_local
from mess_core.store.stored_encoders import (
    indexed_encoders,
    record_encoder,
    stored_encoders,
    stored_record,
)
from mess_core.store.tables import read_json, write_json

__all__ = ["choose_encoder", "encoder_files", "loadable_name", "move_old_store", "named_settings"]

_log = logging.getLogger("mess")
_MOVING = "moving.json"
_OF_INDEX = ("track", "passage")


def choose_encoder(layout: Layout, encoder: str | None = None, *, indexed: bool = True) -> Layout:
    """Return the layout of the encoder to use.

    Parameters
    ----------
    layout : Layout
    encoder : str, optional
        Name as for `load_encoder`, or a folder name as `mess encoders` lists it. If not given:
        the configured encoder (``MESS_ENCODER``, or else mess-piano) if it is stored, or else the
        only one that is.
    indexed : bool
        Whether it must be searchable; otherwise embeddings are enough.

    Raises
    ------
    StoreError
        If nothing is stored of that encoder, or several are and none is configured.
    """
    move_old_store(layout)
    found = indexed_encoders(layout) if indexed else stored_encoders(layout)
    what = "can be searched" if indexed else "has embeddings"
    if encoder is not None:
        for name in (encoder, _folder_of(encoder)):
            if name in found:
                return layout.of(name)
        raise StoreError(
            f"nothing of the encoder {encoder!r} {what} here",
            path=str(layout.root),
            remedy=f"Stored: {', '.join(found) or 'none'}. Run `mess run --encoder {encoder}`",
        )
    configured = _folder_of(configured_encoder())
    if configured in found:
        return layout.of(configured)
    if len(found) == 1:
        return layout.of(found[0])
    if not found:
        return layout.of(configured or PIANO)
    raise StoreError(
        f"several encoders are stored, and not the configured one ({configured_encoder()})",
        path=str(layout.root),
        remedy=f"Name one of {', '.join(found)} with --encoder or encoder=",
    )


def loadable_name(layout: Layout, identity: dict[str, Any]) -> str:
    """Return what `load_encoder` takes to load the encoder that made embeddings.

    Parameters
    ----------
    layout : Layout
        Of the encoder.
    identity : dict
        Identity of the embeddings.
    """
    record = stored_record(layout) if layout.encoder else None
    if record is not None and record["identity"].get("encoder") == identity["encoder"]:
        return str(record["name"])
    name = str(identity["encoder"]).partition("@")[0]
    configured = Path(configured_encoder()).resolve()
    return str(configured) if configured.name == name and configured.is_dir() else name


def named_settings(layout: Layout) -> str:
    """Return what `load_encoder` takes for a stored encoder, with settings: "NAME,pooling=mean".

    A folder of the user is named by its last part; the record beside the embeddings has its path.

    Parameters
    ----------
    layout : Layout
        Of the encoder.
    """
    record = stored_record(layout)
    if record is None:
        return str(layout.encoder)
    identity = record["identity"]
    name = str(identity.get("encoder", record["name"])).partition("@")[0]
    try:
        family = find_encoder(str(record["name"])).family
    except EncoderError:  # a folder that is no longer there
        return str(layout.encoder)
    settings = dict(identity)
    if settings.get("normalise") == "none":
        del settings["normalise"]  # the model takes samples as they are, whatever is set
    changes = changed_settings(family, settings)
    layers = list(identity.get("layers", []))
    if layers != list(range(len(layers))):
        changes["layers"] = "+".join(map(str, layers))
    return ",".join([name, *(f"{key}={value}" for key, value in changes.items())])


def encoder_files(layout: Layout, identity: dict[str, Any]) -> Path | None:
    """Return the folder of the encoder's files, or None if it has none that is known."""
    try:
        return find_encoder(loadable_name(layout, identity)).path
    except EncoderError:
        return None


def move_old_store(layout: Layout) -> str | None:
    """Move results of a store without folders per encoder into the folder of their encoder.

    Earlier versions of MESS stored the results of one encoder only. A move that was interrupted
    is continued.

    Returns
    -------
    str or None
        Folder name of the encoder, or None if there was nothing to move.

    Raises
    ------
    StoreError
        If a folder cannot be moved, or it is a published version, which never changes.
    """
    marker = layout.root / _MOVING
    if marker.exists():
        encoder = str(read_json(marker)["encoder"])
    else:
        identity = _old_identity(layout)
        if identity is None:
            return None
        if (layout.root / "manifest.json").exists():
            raise StoreError(
                "was published by an earlier version of MESS, without a folder per encoder",
                path=str(layout.root),
                remedy="Publish the library again",
            )
        encoder = _folder_of_identity(identity)
        write_json(marker, {"encoder": encoder, "identity": identity})
    identity = read_json(marker)["identity"]
    own = layout.of(encoder)
    shared = {
        one.name
        for one in (
            layout.splits,
            layout.passages,
            layout.single_factor_triplets,
            layout.human_triplets,
            layout.judgements,
            layout.judgements_table,
        )
    }
    for folder, target in (
        (layout.root / "embeddings", own.embeddings),
        (layout.root / "control" / "embeddings", own.control.embeddings),
        (layout.root / "probing", own.probing),
        (layout.root / "indices", own.indices),
        (layout.root / "heads", own.heads),
        (layout.benchmark_data, own.evaluation),
        (layout.failures / "embeddings", layout.failures / "embeddings" / encoder),
    ):
        _move_content(folder, target, shared)
    record_encoder(own, loadable_name(layout, identity), identity)
    marker.unlink(missing_ok=True)
    _log.warning(
        "%s: moved the results of %s into folders of their own (%s)",
        layout.root,
        identity["encoder"],
        encoder,
    )
    return encoder


def _folder_of(name: str) -> str | None:
    try:
        return find_encoder(name).folder()
    except EncoderError:
        return None


def _old_identity(layout: Layout) -> dict[str, Any] | None:
    """Return the identity of the embeddings of an old store, or None if it is not one."""
    embeddings = layout.root / "embeddings"
    candidates = [embeddings / "matrix.json"]
    if embeddings.exists():
        for one in embeddings.glob("*-emb"):
            candidates += list((one / "sidecars").glob("*.json"))[:1]
    for path in candidates:
        if path.exists():
            found = read_json(path)
            return dict(found.get("identity", found))
    for name in _OF_INDEX:
        pointer = layout.root / "indices" / name / "latest"
        if pointer.exists():
            version = pointer.read_text().strip()
            found = read_json(pointer.parent / version / "manifest.json")
            return dict(found["made_from"])
    return None


def _folder_of_identity(identity: dict[str, Any]) -> str:
    name, _, at = str(identity["encoder"]).partition("@")
    family = FAMILIES[PIANO if name == PIANO else "mert"]
    configured = Path(configured_encoder())
    known = name.startswith("untrained:") or name in PUBLISHED
    if configured.is_dir() and configured.resolve().name == name:
        family = find_encoder(configured).family
    elif name == PIANO:
        known = at == find_encoder(PIANO).digest()[:12]
    settings = dict(identity)
    if settings.get("normalise") == "none" and family.name == PIANO:
        del settings["normalise"]  # there is nothing to normalise
    changes = changed_settings(family, settings)
    layers = list(identity.get("layers", []))
    if layers != list(range(len(layers))):
        changes["layers"] = layers
    if name in PUBLISHED and at != (PUBLISHED[name].revision or "")[:12]:
        changes["revision"] = at
    return folder_name(name, "" if known else at, changes)


def _move_content(folder: Any, target: Any, shared: set[str]) -> None:
    """Move what a folder contains, except what all encoders share, into one inside it."""
    if not folder.exists():
        return
    keep = {target.name, *shared}
    for one in list(folder.iterdir()):
        if one.name in keep:
            continue
        try:
            target.mkdir(parents=True, exist_ok=True)
            if is_local(one):
                Path(str(one)).rename(str(target / one.name))
            else:
                one.fs.mv(one.path, (target / one.name).path, recursive=True)
        except FileNotFoundError:  # another process is moving it, too
            continue
        except OSError as error:
            raise StoreError(
                f"cannot be moved to {target} ({error})",
                path=str(one),
                remedy="Make the data root writable; earlier versions of MESS wrote it",
            ) from error
