"""Store, load and apply learned heads for search.

``<heads>/<name>/<version>/`` holds ``weights.safetensors`` and, written last,
``manifest.json`` with its SHA-256. ``<heads>/<name>/latest`` names the version to serve.
Heads are trained in `mess_core.ranking`, which is not needed to apply them.
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

from mess_core.errors import MessError, SearchError, StoreError
from mess_core.store.embeddings import IDENTITY
from mess_core.store.findings import Finding
from mess_core.store.layout import Layout
from mess_core.store.matrix import load_matrix
from mess_core.store.tables import read_json, read_table
from mess_core.store.versions import Versions

__all__ = [
    "Head",
    "check_heads",
    "list_heads",
    "load_head",
    "save_head",
    "served_heads",
    "track_scores",
    "withdraw_head",
]

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_KINDS = ("diagonal", "linear", "mlp", "regression")
_REMEDY = "Train the head again: run `mess evaluate`"

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Head:
    """A mapping from an encoder's layers to unit vectors, compared by cosine similarity.

    Attributes
    ----------
    kind : {"diagonal", "linear", "mlp", "regression"}
    arrays : mapping of str to ndarray, float32
        ``mean`` and ``scale`` [layers, dim] of the training clips; ``layer`` [layers], the
        layer weights; then ``dim`` [dim] (diagonal) or ``first`` [hidden or out, dim], and for
        the MLP also ``bias`` [hidden] and ``second`` [out, hidden]. A regression has no ``layer``,
        and ``first`` is [out, layers * dim]: its small outputs get a further dimension of 1, so
        that the cosine of unit vectors orders by their Euclidean distance.
    made_from : dict
        Identity of the encoder, the split, the objective and the seed.
    """

    kind: str
    arrays: Mapping[str, Vectors]
    made_from: Mapping[str, Any]

    def __call__(self, vectors: NDArray[np.floating[Any]]) -> Vectors:
        """Return unit vectors of tracks or clips.

        Parameters
        ----------
        vectors : ndarray, shape [n, layers, dim]

        Returns
        -------
        ndarray, float32, shape [n, out]

        Raises
        ------
        SearchError
            If layers or dimensions differ from those that the head was trained on.
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
        elif self.kind == "regression":
            predicted = x.reshape(len(x), -1) @ self.arrays["first"].T
            out = np.concatenate([predicted, np.ones((len(x), 1), dtype=np.float32)], axis=1)
        else:
            pooled = np.einsum("nld,l->nd", x, self.arrays["layer"])
            out = pooled @ self.arrays["first"].T
            if self.kind == "mlp":
                out = np.maximum(out + self.arrays["bias"], 0.0) @ self.arrays["second"].T
        norm = np.linalg.norm(out, axis=1, keepdims=True)
        unit: Vectors = (out / np.maximum(norm, 1e-12)).astype(np.float32)
        return unit


def head_versions(heads: Any, name: str) -> Versions:
    """Return the versions of a head.

    Parameters
    ----------
    heads : UPath
        Folder of all heads.
    name : str
    """
    return Versions(heads / name, heads / name / "latest", _REMEDY)


def save_head(heads: Any, name: str, head: Head) -> dict[str, Any]:
    """Write a head as a new version, and make it the served one.

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
        If the name is invalid, the kind is unknown, or an array is not finite.
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
    about = {"kind": head.kind, "made_from": dict(head.made_from)}
    described = json.dumps(about, sort_keys=True, default=str).encode()
    return head_versions(heads, name).write(
        hashlib.sha256(content + described).hexdigest()[:16],
        {"weights.safetensors": lambda path: path.write_bytes(content)},
        {
            "name": name,
            **about,
            "shapes": {key: list(value.shape) for key, value in arrays.items()},
        },
    )


def load_head(heads: Any, name: str, *, identity: Mapping[str, Any] | None = None) -> Head:
    """Load the served version of a head.

    Parameters
    ----------
    heads : UPath
    name : str
    identity : mapping, optional
        Identity of the embeddings to apply the head to. If given, the head must have been
        trained on embeddings with the same identity.

    Raises
    ------
    SearchError
        If there is no such head, or it belongs to another encoder.
    StoreError
        If a file is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    _checked(name)
    versions = head_versions(heads, name)
    version = versions.latest()
    if version is None:
        available = list_heads(heads)
        raise SearchError(
            f"there is no head {name!r}",
            remedy=f"Use one of {', '.join(available)}" if available else "Run `mess evaluate`",
        )
    manifest = versions.verify(version)
    path = versions.folder / version / "weights.safetensors"
    try:
        if manifest["kind"] not in _KINDS:
            raise ValueError(f"its kind is {manifest['kind']!r}")
        head = Head(manifest["kind"], load(path.read_bytes()), manifest["made_from"])
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise StoreError(f"is damaged ({error})", path=str(path), remedy=_REMEDY) from error
    if identity is not None:
        _must_be_of(head, name, identity)
    return head


def _must_be_of(head: Head, name: str, identity: Mapping[str, Any]) -> None:
    trained_on = head.made_from.get("identity") or {}
    for field in IDENTITY:
        if trained_on.get(field) != identity.get(field):
            raise SearchError(
                f"head {name!r} was trained with another {field}: {trained_on.get(field)}, "
                f"not {identity.get(field)}",
                remedy="Train the head again on this library's embeddings",
            )


def withdraw_head(heads: Any, name: str) -> None:
    """Stop serving a head; its versions are not deleted."""
    head_versions(heads, _checked(name)).withdraw()


def track_scores(
    layout: Layout,
    name: str,
    query: str | NDArray[np.floating[Any]],
    ids: Sequence[str],
    *,
    identity: Mapping[str, Any],
) -> tuple[NDArray[np.float64], str | None]:
    """Return the cosine similarity of a track or recording to tracks, by a head.

    Parameters
    ----------
    layout : Layout
    name : str
        Name of the head.
    query : str or ndarray, shape [layers, dim]
        Track id, or the track vector of a recording.
    ids : sequence of str
    identity : mapping
        Identity of the library's embeddings, which a recording must share.

    Returns
    -------
    scores : ndarray, float64, shape [ids]
        -inf where a track has no vector.
    verdict : str or None
        Leaderboard result for the model that the head was trained as, if there is one.

    Raises
    ------
    SearchError
        If there is no such head, it belongs to another encoder, or the query has no vector.
    StoreError
        If there is no embedding matrix, as in a published library.
    """
    matrix, rows, manifest = load_matrix(layout)
    head = _fitting(layout, name, identity, manifest)
    row_of = {str(track): row for row, track in enumerate(rows["track_id"])}
    if isinstance(query, str) and query not in row_of:
        raise SearchError(f"track {query!r} has no vector", remedy="Materialise `embedding_matrix`")
    unit = head(matrix)  # [tracks, out]
    cosine = unit @ (unit[row_of[query]] if isinstance(query, str) else head(query[None])[0])
    found = [cosine[row_of[one]] if one in row_of else -np.inf for one in ids]
    return np.array(found, dtype=np.float64), _verdict(layout, head)


def list_heads(heads: Any) -> list[str]:
    """Return the names of the heads that have a served version."""
    if not heads.exists():
        return []
    return sorted(one.name for one in heads.iterdir() if (one / "latest").exists())


def served_heads(layout: Layout, identity: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return all heads, with whether they can be used and their leaderboard result.

    Parameters
    ----------
    layout : Layout
    identity : mapping
        Identity of the library's embeddings.

    Returns
    -------
    list of dict
        ``name``; ``available``; ``reason`` why it is not available, or None; ``verdict``, the
        leaderboard result for the model that the head was trained as, or None.
    """
    found = []
    for name in list_heads(layout.heads):
        reason = verdict = None
        try:
            head = _fitting(layout, name, identity, read_json(layout.matrix_manifest))
            verdict = _verdict(layout, head)
        except MessError as error:
            reason = str(error)
        found.append(
            {"name": name, "available": reason is None, "reason": reason, "verdict": verdict}
        )
    return found


def _verdict(layout: Layout, head: Head) -> str | None:
    """Return the leaderboard result of the head's model on held-out works, or None."""
    path = layout.leaderboard / "models.parquet"
    if not path.exists():
        return None
    model = f"{head.made_from.get('objective')}: {head.made_from.get('model')}"
    for one in read_table(path).itertuples():
        if one.model == model:
            return f"{one.verdict} (p = {one.p:.2g}, {one.clusters} works)"
    return None


def _fitting(
    layout: Layout, name: str, identity: Mapping[str, Any], matrix: Mapping[str, Any]
) -> Head:
    """Load a head that fits the identities of both the library and its matrix."""
    head = load_head(layout.heads, name, identity=identity)
    _must_be_of(head, name, matrix["identity"])
    return head


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise SearchError(
            f"{name!r} cannot be a head's name", remedy="Use lower-case letters, digits, - and _"
        )
    return name


def check_heads(layout: Layout, names: list[str]) -> Finding:
    """Check that heads exist, fit the current encoder and give unit vectors."""
    matrix, _, manifest = load_matrix(layout)
    problems = {}
    for name in names:
        if name not in list_heads(layout.heads):
            problems[name] = "does not exist"
            continue
        try:
            head = load_head(layout.heads, name, identity=manifest["identity"])
        except MessError as error:
            problems[name] = error.problem
            continue
        norm = np.linalg.norm(head(matrix[:50]), axis=1)
        if not np.allclose(norm, 1.0, atol=1e-3):
            problems[name] = "its vectors do not have unit length"
    return Finding(not problems, {"heads": ", ".join(names), "problems": problems})
