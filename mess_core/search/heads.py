"""Learned heads as the search serves them: arrays, a manifest, a few lines to apply them.

``<heads>/<name>/<version>/`` holds ``weights.safetensors`` and, written last,
``manifest.json`` with its SHA-256; ``<heads>/<name>/latest`` names the version to serve.
How heads are trained is in `mess_core.ranking`; nothing of that is needed to serve them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mess_core.errors import SearchError, StoreError
from mess_core.store.arrays import write_bytes
from mess_core.store.embeddings import IDENTITY
from mess_core.store.layout import Layout
from mess_core.store.matrix import load_matrix
from mess_core.store.tables import read_json, write_json

__all__ = ["Head", "list_heads", "load_head", "save_head", "track_scores", "withdraw_head"]

FORMAT = 1
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_KINDS = ("diagonal", "linear", "mlp")

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Head:
    """A map from an encoder's layers to unit vectors whose cosine is the similarity.

    Attributes
    ----------
    kind : {"diagonal", "linear", "mlp"}
    arrays : mapping of str to ndarray, float32
        ``mean`` and ``scale`` [layers, dim] of the training clips; ``layer`` [layers], the
        weights of layers; then ``dim`` [dim] (diagonal), or ``first`` [hidden or out, dim] and
        for the MLP ``bias`` [hidden] and ``second`` [out, hidden].
    made_from : dict
        Identity of the encoder, the split, the objective and the seed.
    """

    kind: str
    arrays: Mapping[str, Vectors]
    made_from: Mapping[str, Any]

    def __call__(self, vectors: NDArray[np.floating[Any]]) -> Vectors:
        """Unit vectors of tracks or clips.

        Parameters
        ----------
        vectors : ndarray, shape [n, layers, dim]

        Returns
        -------
        ndarray, float32, shape [n, out]

        Raises
        ------
        SearchError
            If layers or dimensions are not those that the head was trained on.
        """
        mean = self.arrays["mean"]
        if vectors.ndim != 3 or vectors.shape[1:] != mean.shape:
            raise SearchError(
                f"vectors of shape {list(vectors.shape)} do not fit a head for "
                f"{list(mean.shape)} (layers, dim)",
                remedy="Train the head again on this encoder's embeddings",
            )
        x = (np.asarray(vectors, dtype=np.float32) - mean) / self.arrays["scale"]
        if self.kind == "diagonal":
            x = x * self.arrays["layer"][:, None] * self.arrays["dim"]
            out = x.reshape(len(x), -1)  # [n, layers * dim]
        else:
            pooled = np.einsum("nld,l->nd", x, self.arrays["layer"])
            out = pooled @ self.arrays["first"].T
            if self.kind == "mlp":
                out = np.maximum(out + self.arrays["bias"], 0.0) @ self.arrays["second"].T
        norm = np.linalg.norm(out, axis=1, keepdims=True)
        unit: Vectors = (out / np.maximum(norm, 1e-12)).astype(np.float32)
        return unit


def save_head(heads: Any, name: str, head: Head) -> dict[str, Any]:
    """Write a head as a new version and serve it.

    Parameters
    ----------
    heads : UPath
        Folder of all heads.
    name : str
        Lower-case letters, digits, ``-`` and ``_``.
    head : Head

    Returns
    -------
    dict
        The manifest, with ``version``.

    Raises
    ------
    SearchError
        If the name cannot be one, or an array is not finite.
    StoreError
        If the folder cannot be written.
    """
    from safetensors.numpy import save

    _checked(name)
    arrays = {
        key: np.ascontiguousarray(value, dtype=np.float32) for key, value in head.arrays.items()
    }
    broken = [key for key, value in arrays.items() if not np.isfinite(value).all()]
    if broken or head.kind not in _KINDS:
        raise SearchError(f"head {name!r} ({head.kind}) is not finite in {', '.join(broken)}")
    content = save(arrays)
    digest = hashlib.sha256(content)
    about = {"kind": head.kind, "made_from": dict(head.made_from)}
    described = json.dumps(about, sort_keys=True, default=str).encode()
    version = hashlib.sha256(content + described).hexdigest()[:16]
    folder = heads / name / version
    write_bytes(folder / "weights.safetensors", content)
    manifest = {
        "format": FORMAT,
        "name": name,
        "version": version,
        **about,
        "shapes": {key: list(value.shape) for key, value in arrays.items()},
        "sha256": digest.hexdigest(),
    }
    write_json(folder / "manifest.json", manifest)
    write_bytes(heads / name / "latest", version.encode())
    return manifest


def load_head(heads: Any, name: str, *, identity: Mapping[str, Any] | None = None) -> Head:
    """Read the served version of a head.

    Parameters
    ----------
    heads : UPath
    name : str
    identity : mapping, optional
        Of the embeddings that it is to be applied to: refused if the head was trained on
        another encoder's.

    Raises
    ------
    SearchError
        If there is no such head, or it belongs to another encoder.
    StoreError
        If its files are damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    _checked(name)
    pointer = heads / name / "latest"
    if not pointer.exists():
        there = list_heads(heads)
        raise SearchError(
            f"there is no head {name!r}",
            remedy=f"Use one of {', '.join(there)}" if there else "Run `mess evaluate`",
        )
    folder = heads / name / pointer.read_text().strip()
    manifest = read_json(folder / "manifest.json")
    place = folder / "weights.safetensors"
    try:
        content = place.read_bytes()
        if hashlib.sha256(content).hexdigest() != manifest["sha256"]:
            raise ValueError("its hash is not the manifest's")
        if manifest["format"] != FORMAT or manifest["kind"] not in _KINDS:
            raise ValueError("it is of another version")
        arrays = load(content)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise StoreError(
            f"is damaged ({error})", path=str(place), remedy="Train the head again"
        ) from error
    head = Head(manifest["kind"], arrays, manifest["made_from"])
    trained_on = head.made_from.get("identity") or {}
    for field in IDENTITY:
        if identity is not None and trained_on.get(field) != identity.get(field):
            raise SearchError(
                f"head {name!r} was trained with another {field}: {trained_on.get(field)}, "
                f"not {identity.get(field)}",
                remedy="Train the head again on this library's embeddings",
            )
    return head


def withdraw_head(heads: Any, name: str) -> None:
    """Serve a head no longer; its versions stay."""
    (heads / _checked(name) / "latest").unlink(missing_ok=True)


def track_scores(
    layout: Layout,
    name: str,
    query: str,
    ids: Sequence[str],
    *,
    aspects: Mapping[str, float] | None = None,
) -> NDArray[np.float64]:
    """Cosine of one track to others by a head; -inf where a track has no vector.

    Parameters
    ----------
    layout : Layout
    name : str
        Of the head.
    query : str
    ids : sequence of str
    aspects : mapping, optional
        Must be empty: a head ranks by everything that it holds.

    Returns
    -------
    ndarray, float64, shape [ids]

    Raises
    ------
    SearchError
        If there is no such head, it is of another encoder, the query has no vector, or aspects
        are given.
    StoreError
        If the embedding matrix is not there: a published library is without it.
    """
    if aspects:
        raise SearchError("a head has no aspects", remedy="Give either aspects or a head")
    matrix, rows, manifest = load_matrix(layout)
    head = load_head(layout.heads, name, identity=manifest["identity"])
    place = {str(track): row for row, track in enumerate(rows["track_id"])}
    if query not in place:
        raise SearchError(f"track {query!r} has no vector", remedy="Materialise `embedding_matrix`")
    unit = head(matrix)  # [tracks, out]
    cosine = unit @ unit[place[query]]
    found = [cosine[place[one]] if one in place else -np.inf for one in ids]
    return np.array(found, dtype=np.float64)


def list_heads(heads: Any) -> list[str]:
    """Names of the heads that can be served."""
    if not heads.exists():
        return []
    return sorted(one.name for one in heads.iterdir() if (one / "latest").exists())


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise SearchError(
            f"{name!r} cannot be a head's name", remedy="Use lower-case letters, digits, - and _"
        )
    return name
