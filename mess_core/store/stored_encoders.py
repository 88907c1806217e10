"""The encoders whose results a data root contains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mess_core.errors import StoreError
from mess_core.store.arrays import remove_folder
from mess_core.store.layout import Layout, is_local
from mess_core.store.tables import read_json, write_json

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "encoders_table",
    "indexed_encoders",
    "probed_encoders",
    "probed_layout",
    "record_encoder",
    "remove_encoder",
    "stored_encoders",
    "stored_record",
]

_KINDS = ("embeddings", "probing", "indices", "heads", "evaluation", "control/embeddings")


def record_encoder(layout: Layout, name: str, identity: dict[str, Any]) -> None:
    """Write beside an encoder's embeddings which encoder they are of.

    Parameters
    ----------
    layout : Layout
        Layout of the encoder.
    name : str
        What `load_encoder` takes: a known name, or the path of a folder.
    identity : dict
        Identity of the embeddings.
    """
    record = {"name": name, "identity": identity}
    if stored_record(layout) != record:
        write_json(layout.encoder_record, record)


def stored_record(layout: Layout) -> dict[str, Any] | None:
    """Return what `record_encoder` wrote, or None."""
    try:
        found: dict[str, Any] = read_json(layout.encoder_record)
    except StoreError:
        return None
    return found


def stored_encoders(layout: Layout) -> list[str]:
    """Return the folder names of the encoders that have embeddings, sorted."""
    return _folders(layout.root / "embeddings", "encoder.json")


def indexed_encoders(layout: Layout) -> list[str]:
    """Return the folder names of the encoders that can be searched, sorted."""
    return _folders(layout.root / "indices", "track/latest")


def probed_encoders(layout: Layout) -> list[str]:
    """Return the folder names of the encoders that have been probed, sorted."""
    return _folders(layout.root / "probing", "results.json")


def probed_layout(layout: Layout, encoder: str) -> Layout:
    """Return the layout of an encoder that has been probed.

    Parameters
    ----------
    layout : Layout
    encoder : str
        Folder name, as `probed_encoders` lists it.

    Raises
    ------
    StoreError
        If it has not been probed.
    """
    found = probed_encoders(layout)
    if encoder not in found:
        raise StoreError(
            f"the encoder {encoder!r} has not been probed here",
            path=str(layout.root),
            remedy=f"Choose one of {', '.join(found)}" if found else "Run `mess run`",
        )
    return layout.of(encoder)


def encoders_table(layout: Layout) -> pd.DataFrame:
    """Return what is stored of each encoder.

    Returns
    -------
    DataFrame
        ``encoder`` (the folder's name), ``identity``, ``tracks`` and ``bytes`` of the embeddings,
        ``probed``, ``indexed``, ``evaluated`` (bool).
    """
    import pandas as pd

    rows = []
    for encoder in sorted({*stored_encoders(layout), *indexed_encoders(layout)}):
        own = layout.of(encoder)
        record = stored_record(own) or {}
        sidecars = [file for one in _children(own.embeddings) for file in one.glob("sidecars/*")]
        rows.append(
            {
                "encoder": encoder,
                "identity": record.get("identity", {}).get("encoder"),
                "tracks": sum(file.suffix == ".json" for file in sidecars),
                "bytes": _size(own.embeddings),
                "probed": (own.probing / "results.json").exists(),
                "indexed": (own.indices / "track" / "latest").exists(),
                "evaluated": (own.leaderboard / "leaderboard.md").exists(),
            }
        )
    columns = ["encoder", "identity", "tracks", "bytes", "probed", "indexed", "evaluated"]
    return pd.DataFrame(rows, columns=columns)


def remove_encoder(layout: Layout, encoder: str) -> int:
    """Delete everything computed with an encoder; return the bytes of its embeddings.

    Parameters
    ----------
    layout : Layout
    encoder : str
        Folder name, as in `encoders_table`.

    Raises
    ------
    StoreError
        If there is nothing of this encoder.
    """
    if encoder not in {*stored_encoders(layout), *indexed_encoders(layout)}:
        found = ", ".join(stored_encoders(layout)) or "none"
        raise StoreError(
            f"contains nothing of an encoder {encoder!r}",
            path=str(layout.root),
            remedy=f"Stored are: {found}",
        )
    size = _size(layout.of(encoder).embeddings)
    # The index first: a library that is half removed cannot be opened.
    for kind in ("indices", *(one for one in _KINDS if one != "indices"), "failures/embeddings"):
        remove_folder(layout.root / kind / encoder)
    return size


def _folders(parent: Any, marker: str) -> list[str]:
    return sorted(str(one.name) for one in _children(parent) if (one / marker).exists())


def _children(folder: Any) -> list[Any]:
    try:
        return [one for one in folder.iterdir() if one.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _size(folder: Any) -> int:
    if not folder.exists():
        return 0
    if not is_local(folder):
        return int(sum(folder.fs.du(folder.path, total=False).values()))
    return sum(one.stat().st_size for one in folder.rglob("*") if one.is_file())
