"""What should hold of the store, as functions that return findings."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from mess_core.errors import StoreError
from mess_core.store.embeddings import EmbeddingStore
from mess_core.store.layout import Layout
from mess_core.store.matrix import load_matrix
from mess_core.store.tables import read_json, read_table

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "EXAMPLES",
    "Finding",
    "check_control",
    "check_embeddings",
    "check_loudness",
    "check_matrix",
    "check_proxy_targets",
    "check_tracks",
]

EXAMPLES = 5
"""How many names a finding lists."""

_OUTLYING = 3.5
_LOUD_BY_DB = 6.0


@dataclass(frozen=True)
class Finding:
    """Outcome of one check.

    Attributes
    ----------
    passed : bool
    facts : dict
        Plain values that support the outcome.
    """

    passed: bool
    facts: dict[str, Any] = field(default_factory=dict)


def check_tracks(layout: Layout) -> Finding:
    """Track ids are unique, no two tracks share their audio, every audio has a hash."""
    tracks = read_table(layout.tracks)
    hashed = tracks.dropna(subset=["audio_sha256"])
    twins = hashed[hashed["audio_sha256"].duplicated(keep=False)]
    unhashed = tracks[tracks["audio_path"].notna() & tracks["audio_sha256"].isna()]
    repeated = tracks[tracks["track_id"].duplicated()]
    return Finding(
        twins.empty and unhashed.empty and repeated.empty and len(tracks) > 0,
        {
            "tracks": len(tracks),
            "same_audio": twins["track_id"].head(EXAMPLES).tolist(),
            "without_hash": unhashed["track_id"].head(EXAMPLES).tolist(),
            "repeated_ids": repeated["track_id"].head(EXAMPLES).tolist(),
        },
    )


def check_embeddings(layout: Layout, wanted: dict[str, Any] | None = None) -> Finding:
    """Every track with audio has a finite embedding of one encoder and of its present audio.

    Parameters
    ----------
    layout : Layout
    wanted : dict, optional
        Identity that embeddings should have: the configured encoder's, settings and version.
    """
    store = EmbeddingStore(layout)
    tracks = _with_audio(layout)
    missing, stale, broken, encoders = [], [], [], set()
    for row in tracks.itertuples():
        track_id, dataset = str(row.track_id), str(row.dataset)
        sidecar = store.sidecar(dataset, track_id)
        if sidecar is None:
            missing.append(track_id)
            continue
        encoders.add(sidecar["encoder"])
        audio = row.audio_sha256 if isinstance(row.audio_sha256, str) else None
        reason = store.staleness(
            dataset, track_id, wanted=sidecar if wanted is None else wanted, audio_sha256=audio
        )
        if reason is not None:
            stale.append(f"{track_id}: {reason}")
        try:
            finite = bool(np.isfinite(store.read("aggregated", dataset, track_id)).all())
        except StoreError:
            finite = False
        if not finite:
            broken.append(track_id)
    return Finding(
        not (missing or stale or broken) and len(encoders) <= 1,
        {
            "coverage": 1.0 - len(missing) / max(1, len(tracks)),
            "missing": missing[:EXAMPLES],
            "stale": stale[:EXAMPLES],
            "broken": broken[:EXAMPLES],
            "encoders": sorted(encoders),
        },
    )


def check_loudness(layout: Layout) -> Finding:
    """No track is far louder or quieter than its data set: a wrong gain, or hardly any signal.

    Judged by the modified z-score of Iglewicz and Hoaglin (1993), at 3.5, and at least 6 dB
    from the median; by data set, since each was recorded at its own level.
    """
    import pandas as pd

    rows = []
    for row in _with_audio(layout).itertuples():
        with contextlib.suppress(StoreError):  # no targets: another check's finding
            record = read_json(layout.track_targets(str(row.dataset), str(row.track_id)))
            if record.get("level_db") is not None:
                rows.append((str(row.track_id), str(row.dataset), float(record["level_db"])))
    table = pd.DataFrame(rows, columns=["track_id", "dataset", "level_db"])
    levels = table.groupby("dataset")["level_db"]
    distance = (table["level_db"] - levels.transform("median")).abs()
    spread = distance.groupby(table["dataset"]).transform("median") / 0.6745
    outliers = table[distance > (_OUTLYING * spread).clip(lower=_LOUD_BY_DB)]
    return Finding(
        outliers.empty,
        {
            "tracks": len(table),
            "median_db": {str(name): float(value) for name, value in levels.median().items()},
            "outliers": dict(zip(outliers["track_id"], outliers["level_db"].round(1), strict=True)),
        },
    )


def check_matrix(layout: Layout) -> Finding:
    """The matrix is finite, fits its rows, and holds every stored embedding as it is now."""
    matrix, rows, manifest = load_matrix(layout)
    store = EmbeddingStore(layout)
    differing = []
    for position, row in enumerate(rows.itertuples()):
        vector = store.read("aggregated", str(row.dataset), str(row.track_id))
        if not np.array_equal(vector, matrix[position]):
            differing.append(str(row.track_id))
    finite = bool(np.isfinite(matrix).all())
    return Finding(
        finite and not differing and not manifest["without_embedding"],
        {
            "shape": list(matrix.shape),
            "finite": finite,
            "differs_from_store": differing[:EXAMPLES],
            "without_embedding": manifest["without_embedding"][:EXAMPLES],
        },
    )


def check_control(layout: Layout) -> Finding:
    """The untrained twin's vectors are of the present encoder and of every track."""
    _, rows, manifest = load_matrix(layout)
    encoder = str(manifest["identity"]["encoder"])
    if encoder.startswith("untrained:"):
        return Finding(True, {"control": "not needed: the encoder is untrained"})
    try:
        _, have, control = load_matrix(layout.control)
    except StoreError:
        return Finding(False, {"control": "none: scores do not tell what training adds"})
    missing = sorted(set(rows["track_id"]) - set(have["track_id"]))
    current = control.get("control_of") == manifest["identity"]
    facts = {"of_present_encoder": current, "missing": missing[:EXAMPLES], "rows": len(have)}
    return Finding(current and not missing, facts)


def check_proxy_targets(layout: Layout, version: str) -> Finding:
    """The table is of the version in force, has every track, and no infinite value."""
    table = read_table(layout.proxy_targets)
    manifest = read_json(layout.proxy_targets_manifest)
    tracks = read_table(layout.tracks)
    missing = sorted(set(tracks["track_id"]) - set(table["track_id"]))
    values = table.drop(columns=["track_id"])
    infinite = [str(name) for name in values.columns if np.isinf(values[name]).any()]
    empty = [str(name) for name in values.columns if values[name].isna().all()]
    return Finding(
        not missing and not infinite and manifest["version"] == version,
        {
            "rows": len(table),
            "coverage": 1.0 - len(missing) / max(1, len(tracks)),
            "missing": missing[:EXAMPLES],
            "infinite": infinite,
            "never_available": empty,
            "version": manifest["version"],
        },
    )


def _with_audio(layout: Layout) -> pd.DataFrame:
    tracks = read_table(layout.tracks)
    return tracks[tracks["audio_path"].notna()]
