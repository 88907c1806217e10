"""What should hold of indices and aspects, as functions that return findings."""

from __future__ import annotations

from typing import Any

import numpy as np

from mess_core.probing.aspects import ASPECTS
from mess_core.probing.report import load_aspects, load_discovery
from mess_core.search.artifact import load_artifact
from mess_core.search.index import TrackIndex
from mess_core.store.checks import Finding
from mess_core.store.layout import Layout
from mess_core.store.matrix import load_matrix
from mess_core.store.tables import read_json, read_table

__all__ = [
    "check_aspects",
    "check_faithfulness",
    "check_passage_index",
    "check_probing",
    "check_track_index",
]


def check_probing(layout: Layout, folder: Any = None) -> Finding:
    """Scores are at most 1, intervals are in order, and they are of the present matrix.

    Parameters
    ----------
    layout : Layout
    folder : UPath, optional
        Of the result, if it is not that of the tracks.
    """
    discovery, made_from = load_discovery(folder or layout.probing)
    _, _, manifest = load_matrix(layout)
    table = discovery.table
    scores = table["r2"].dropna()
    current = made_from["matrix_sha256"] == manifest["matrix_sha256"]
    ordered = not (table["r2_low"] > table["r2_high"]).any()
    return Finding(
        bool((scores <= 1 + 1e-9).all()) and ordered and current,
        {
            "rows": len(table),
            "targets": int(table["target"].nunique()),
            "best_r2": float(scores.max()) if len(scores) else None,
            "of_present_matrix": current,
            "encoder": made_from["encoder"],
        },
    )


def check_aspects(layout: Layout) -> Finding:
    """All aspects are there, and each one's weights sum to 1 over layers of the encoder."""
    aspects = load_aspects(layout.probing / "aspects.json")
    _, _, manifest = load_matrix(layout)
    layers = set(manifest["identity"]["layers"])
    wrong = [
        name
        for name, aspect in aspects.items()
        if abs(sum(aspect.weights.values()) - 1) > 1e-9 or not set(aspect.weights) <= layers
    ]
    return Finding(
        set(aspects) == set(ASPECTS) and not wrong,
        {
            "aspects": len(aspects),
            "available": [name for name, aspect in aspects.items() if aspect.available],
            "wrong_weights": wrong,
        },
    )


def check_faithfulness(layout: Layout) -> Finding:
    """Measured on the present matrix, with both modes of each aspect and one served."""
    _, _, manifest = load_matrix(layout)
    measured = read_json(layout.probing / "faithfulness.json")
    table = read_table(layout.probing / "faithfulness.parquet")
    current = measured["made_from"]["matrix_sha256"] == manifest["matrix_sha256"]
    one_each = bool((table.groupby("aspect")["served"].sum() == 1).all())
    return Finding(
        current and one_each,
        {
            "of_present_matrix": current,
            "aspects": int(table["aspect"].nunique()),
            "served": measured["served"],
        },
    )


def check_track_index(layout: Layout) -> Finding:
    """The index is of the present matrix, and every track finds itself with score 1."""
    index, rows, manifest = load_artifact(layout.indices, "track")
    _, _, matrix = load_matrix(layout)
    opened = TrackIndex(index, manifest["made_from"]["layers"])
    everything = {layer: 1 / len(opened.layers) for layer in opened.layers}
    lost = []
    for row in range(0, len(opened), max(1, len(opened) // 50)):
        score, found = opened.search(opened.vector(row), everything, 1)
        if found[0] != row and score[0] < 1 - 1e-5:
            lost.append(str(rows["track_id"].iloc[row]))
    current = manifest["made_from"]["matrix_sha256"] == matrix["matrix_sha256"]
    return Finding(
        current and not lost,
        {"vectors": len(opened), "of_present_matrix": current, "do_not_find_themselves": lost},
    )


def check_passage_index(layout: Layout) -> Finding:
    """Passages have ascending bounds, finite vectors, and belong to tracks of the matrix."""
    index, passages, manifest = load_artifact(layout.indices, "passage")
    _, rows, matrix = load_matrix(layout)
    bounds = bool((passages["end_s"] > passages["start_s"]).all())
    stray = sorted(set(passages["track_id"]) - set(rows["track_id"]))
    absent = sorted(set(rows["track_id"]) - set(passages["track_id"]))
    vectors = [index.reconstruct(row) for row in range(0, index.ntotal, index.ntotal // 1000 + 1)]
    finite = bool(np.isfinite(vectors).all())
    same = manifest["made_from"]["encoder"] == matrix["identity"]["encoder"]
    measured = manifest.get("measured") or {"kind": "unknown", "recall_at_10": None}
    reached = (measured["recall_at_10"] or 0.0) >= measured.get("recall_target", 1.0)
    return Finding(
        bounds and finite and same and reached and not stray and not absent,
        {
            "passages": len(passages),
            "layer": manifest["made_from"]["layer"],
            "stray": stray[:5],
            "absent": absent[:5],
            "finite": finite,
            "kind": measured["kind"],
            "recall_at_10": measured["recall_at_10"],
        },
    )
