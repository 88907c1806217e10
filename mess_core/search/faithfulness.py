"""Measure whether hits for an aspect are similar in that aspect, and only in that one.

For every track, its nearest tracks of other works are compared with random tracks of other works:
how much nearer they are in the aspect's targets (faithfulness) and in all other targets. This is
measured for two ways of ranking: by cosine similarity in the aspect's layers, and by distance on
the aspect's probe directions, with out-of-fold predictions of the track's targets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from mess_core.errors import ProbingError
from mess_core.probing.aspects import ASPECTS, Aspect
from mess_core.probing.folds import grouped_folds, grouping
from mess_core.probing.pipeline import probing_inputs
from mess_core.probing.probes import load_probes
from mess_core.probing.results import load_aspects
from mess_core.search.index import unit_layers
from mess_core.store.findings import Finding
from mess_core.store.layout import Layout
from mess_core.store.matrix import load_matrix
from mess_core.store.tables import read_json, read_table, write_json, write_table

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "MODES",
    "Mode",
    "check_faithfulness",
    "faithfulness_table",
    "measure_store",
    "subspace_distance",
]

Mode = Literal["cosine", "subspace"]
MODES: tuple[Mode, ...] = ("cosine", "subspace")
_QUERIES = 2000

Floats = NDArray[np.float64]


def subspace_distance(query: Floats, placed: Floats) -> Floats:
    """Return the squared distance of a query [targets] to all tracks, [tracks]."""
    distance: Floats = np.square(placed - query).sum(axis=-1)
    return distance


def measure_store(layout: Layout) -> pd.DataFrame:
    """Return the `faithfulness_table` of a store, and write ``data/probing/faithfulness.*``.

    Raises
    ------
    StoreError, ProbingError
        If an input is missing, or the probes are of another matrix.
    """
    inputs = probing_inputs(layout)
    _, placed, made_from = load_probes(layout.probing)
    if made_from["matrix_sha256"] != inputs.manifest["matrix_sha256"]:
        raise ProbingError(
            "the probes are of another embedding matrix",
            path=str(layout.probing),
            remedy="Materialise `probing` again",
        )
    placed = placed.set_index("track_id").loc[inputs.rows["track_id"]].reset_index(drop=True)
    table = faithfulness_table(
        inputs.x,
        inputs.manifest["identity"]["layers"],
        placed,
        inputs.y,
        grouping(layout, inputs.rows, "work"),
        load_aspects(layout.probing / "aspects.json"),
    )
    (layout.probing / "faithfulness.json").unlink(missing_ok=True)
    write_table(layout.probing / "faithfulness.parquet", table)
    winners = table[table["served"].astype(bool)]
    served = dict(zip(winners["aspect"], winners["mode"], strict=True))
    write_json(layout.probing / "faithfulness.json", {"made_from": made_from, "served": served})
    return table


def faithfulness_table(
    x: NDArray[np.floating[Any]],
    layers: Sequence[int],
    placed: pd.DataFrame,
    y: pd.DataFrame,
    groups: Sequence[str],
    aspects: Mapping[str, Aspect],
    *,
    hits: int = 10,
    resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return the faithfulness of both ways of ranking for every aspect, and which to serve.

    Parameters
    ----------
    x : ndarray, shape [tracks, layers, dim]
    layers : sequence of int
        Numbers of the layers in `x`.
    placed : DataFrame, [tracks, targets]
        Out-of-fold positions on probe directions (`mess_core.probing.probes.place_tracks`).
    y : DataFrame, [tracks, targets]
    groups : sequence of str
        Work of each track. Hits of a track are always from other works.
    aspects : mapping of name to Aspect
    hits : int
        Hits per query; a tenth of the library if that is less.
    resamples, seed : int
        Resamples and seed of the bootstrap over works. At most 2,000 random tracks are queries.

    Returns
    -------
    DataFrame
        One row per aspect and mode: ``aspect, mode, faithfulness, low, high`` (score and 95 %
        interval; 1 = equal in the targets, 0 = like random tracks), ``others`` (score in all
        other targets), ``selectivity`` (``faithfulness - others``), ``served``,
        ``choice_faithfulness`` (score if each fold uses the mode that is best on the queries of
        the other folds), ``queries``. Aspects whose targets were not probed are left out.
    """
    import pandas as pd

    names = np.asarray(groups, dtype=str)
    rng = np.random.default_rng([seed, 31])
    queries = np.sort(rng.permutation(len(names))[:_QUERIES])
    hits = max(1, min(hits, len(names) // 10))
    known = [name for name in placed.columns if name in y.columns]
    values = y[known].to_numpy(dtype=np.float64)
    values = (values - np.nanmean(values, axis=0)) / np.nanstd(values, axis=0)
    units = unit_layers(np.asarray(x, dtype=np.float32))
    rows: list[dict[str, Any]] = []
    for name, targets in ASPECTS.items():
        columns = [known.index(target) for target in targets if target in known]
        if not columns or name not in aspects:
            continue
        on = placed[[known[column] for column in columns]].to_numpy(dtype=np.float64)
        shape = (len(queries), 2, len(known))
        sums: dict[Mode, Floats] = {mode: np.zeros(shape) for mode in MODES}
        for row, query in enumerate(queries):
            allowed = np.flatnonzero(names != names[query])
            gap = np.abs(values[allowed] - values[query])  # [allowed, targets]
            near: dict[Mode, Floats] = {
                "cosine": _cosines(units, query, aspects[name].weights, layers)[allowed],
                "subspace": -subspace_distance(on[query], on[allowed]),
            }
            for mode, similarity in near.items():
                best = np.argsort(-similarity, kind="stable")[:hits]
                sums[mode][row] = _nan_mean(gap[best]), _nan_mean(gap)
        fold = _query_folds(names[queries], seed)
        measured = {mode: _measure(part, columns) for mode, part in sums.items()}
        chosen = _choose_per_fold(sums, columns, fold)
        served = max(MODES, key=lambda mode: measured[mode][0])
        for mode, (score, others) in measured.items():
            low, high = _interval(sums[mode], columns, names[queries], resamples, seed)
            rows.append(
                {
                    "aspect": name,
                    "mode": mode,
                    "faithfulness": score,
                    "low": low,
                    "high": high,
                    "others": others,
                    "selectivity": score - others,
                    "served": mode == served,
                    "choice_faithfulness": chosen,
                    "queries": len(queries),
                }
            )
    header = [
        "aspect", "mode", "faithfulness", "low", "high", "others", "selectivity", "served",
        "choice_faithfulness", "queries",
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=header)


def _cosines(
    units: NDArray[np.float32], query: int, weights: Mapping[int, float], layers: Sequence[int]
) -> Floats:
    total = np.zeros(len(units))
    for layer, weight in weights.items():
        position = list(layers).index(layer)
        total += weight * (units[:, position] @ units[query, position])
    return total


def _nan_mean(values: Floats) -> Floats:
    """Return the mean over rows, ignoring missing values; NaN if all are missing."""
    present = np.isfinite(values)
    count = present.sum(axis=0)
    with np.errstate(invalid="ignore"):
        mean: Floats = np.where(present, values, 0.0).sum(axis=0) / count
    return mean


def _score(sums: Floats) -> Floats:
    """Return 1 - near / random for every target, pooled over queries.

    `sums` is [queries, 2, targets].
    """
    whole = np.isfinite(sums).all(axis=1, keepdims=True)
    near, random = np.where(whole, sums, 0.0).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        score: Floats = 1 - near / random
    return score


def _measure(sums: Floats, columns: list[int]) -> tuple[float, float]:
    """Return the mean score over the aspect's targets, and over all others."""
    score = _score(sums)
    others = np.delete(score, columns)
    return float(np.nanmean(score[columns])), float(np.nanmean(others)) if len(others) else 0.0


def _interval(
    sums: Floats, columns: list[int], groups: NDArray[np.str_], resamples: int, seed: int
) -> tuple[float, float]:
    _, inverse = np.unique(groups, return_inverse=True)
    count = int(inverse.max()) + 1
    whole = np.isfinite(sums).all(axis=1, keepdims=True)
    per_group = np.zeros((count, *sums.shape[1:]))
    np.add.at(per_group, inverse, np.where(whole, sums, 0.0))
    rng = np.random.default_rng([seed, 37])
    draws = rng.multinomial(count, np.full(count, 1 / count), size=resamples)
    near, random = np.moveaxis(np.tensordot(draws, per_group[:, :, columns], axes=1), 1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        scores = 1 - near / random
    known = np.isfinite(scores).any(axis=1)  # a resample may hold no varying group
    if not known.any():
        return float("nan"), float("nan")
    score = np.nanmean(scores[known], axis=1)
    low, high = np.nanpercentile(score, [2.5, 97.5])
    return float(low), float(high)


def _query_folds(groups: NDArray[np.str_], seed: int) -> NDArray[np.int64]:
    present = len(set(groups.tolist()))
    return grouped_folds(groups.tolist(), min(5, present), seed=seed)


def _choose_per_fold(
    sums: Mapping[Mode, Floats], columns: list[int], fold: NDArray[np.int64]
) -> float:
    """Return the faithfulness if each fold uses the mode that is best on the other folds."""
    parts = []
    for held_out in np.unique(fold):
        best = max(MODES, key=lambda mode: _measure(sums[mode][fold != held_out], columns)[0])
        parts.append(sums[best][fold == held_out])
    return _measure(np.concatenate(parts), columns)[0]


def check_faithfulness(layout: Layout) -> Finding:
    """Check that faithfulness was measured on the current matrix, with one mode served each."""
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
