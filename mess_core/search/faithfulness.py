"""Whether hits for an aspect are near in that aspect, and only in that.

For every track, its nearest tracks of other works; how much nearer they are in the aspect's
targets than random tracks of other works (faithfulness), and how much nearer in all other targets
(what the ranking brings along). For two ways to rank: cosine of the aspect's layers, and distance
on the aspect's probe directions, where no track is placed by a probe that has seen its work.
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
    """Squared distance on an aspect's directions, [tracks], of a query [targets]."""
    distance: Floats = np.square(placed - query).sum(axis=-1)
    return distance


def measure_store(layout: Layout) -> pd.DataFrame:
    """`faithfulness_table` of what is stored; written to ``data/probing/faithfulness.*``.

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
    """Measure both ways of ranking for every aspect, and which to serve.

    Parameters
    ----------
    x : ndarray, shape [tracks, layers, dim]
    layers : sequence of int
        Their numbers.
    placed : DataFrame, [tracks, targets]
        Out-of-fold places on probe directions (`mess_core.probing.probes.place_tracks`).
    y : DataFrame, [tracks, targets]
    groups : sequence of str
        Works: a track's own is never among its hits.
    aspects : mapping
    hits : int
        Looked at per query; a tenth of the library if that is less.
    resamples, seed : int
        Of the bootstrap over works; at most 2,000 tracks, drawn, are queries.

    Returns
    -------
    DataFrame
        One row per aspect and mode: ``aspect, mode, faithfulness, low, high`` (95 %; 1 = equal
        in the targets, 0 = like random tracks), ``others`` (the same in all other targets),
        ``selectivity`` (``faithfulness - others``), ``served``, ``choice_faithfulness`` (of the
        mode that wins on the other folds' queries, on each fold's), ``queries``. Aspects whose
        targets were not probed are left out.
    """
    import pandas as pd

    names = np.asarray(groups, dtype=str)
    rng = np.random.default_rng([seed, 31])
    queries = np.sort(rng.permutation(len(names))[:_QUERIES])
    hits = max(1, min(hits, len(names) // 10))
    known = [name for name in placed.columns if name in y.columns]
    truth = y[known].to_numpy(dtype=np.float64)
    truth = (truth - np.nanmean(truth, axis=0)) / np.nanstd(truth, axis=0)
    units = unit_layers(np.asarray(x, dtype=np.float32))
    rows: list[dict[str, Any]] = []
    for name, targets in ASPECTS.items():
        mine = [known.index(target) for target in targets if target in known]
        if not mine or name not in aspects:
            continue
        on = placed[[known[column] for column in mine]].to_numpy(dtype=np.float64)
        shape = (len(queries), 2, len(known))
        sums: dict[Mode, Floats] = {mode: np.zeros(shape) for mode in MODES}
        for row, query in enumerate(queries):
            allowed = np.flatnonzero(names != names[query])
            gap = np.abs(truth[allowed] - truth[query])  # [allowed, targets]
            near: dict[Mode, Floats] = {
                "cosine": _cosines(units, query, aspects[name].weights, layers)[allowed],
                "subspace": -subspace_distance(on[query], on[allowed]),
            }
            for mode, similarity in near.items():
                best = np.argsort(-similarity, kind="stable")[:hits]
                sums[mode][row] = _nan_mean(gap[best]), _nan_mean(gap)
        fold = _query_folds(names[queries], seed)
        measured = {mode: _measure(part, mine) for mode, part in sums.items()}
        chosen = _choose_per_fold(sums, mine, fold)
        served = max(MODES, key=lambda mode: measured[mode][0])
        for mode, (score, others) in measured.items():
            low, high = _interval(sums[mode], mine, names[queries], resamples, seed)
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
    columns = [
        "aspect", "mode", "faithfulness", "low", "high", "others", "selectivity", "served",
        "choice_faithfulness", "queries",
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def _cosines(
    units: NDArray[np.float32], query: int, weights: Mapping[int, float], layers: Sequence[int]
) -> Floats:
    total = np.zeros(len(units))
    for layer, weight in weights.items():
        position = list(layers).index(layer)
        total += weight * (units[:, position] @ units[query, position])
    return total


def _nan_mean(values: Floats) -> Floats:
    """Mean over rows of what is there; NaN where nothing is."""
    present = np.isfinite(values)
    count = present.sum(axis=0)
    with np.errstate(invalid="ignore"):
        mean: Floats = np.where(present, values, 0.0).sum(axis=0) / count
    return mean


def _score(sums: Floats) -> Floats:
    """1 - near / random for every target, pooled over queries [queries, 2, targets]."""
    whole = np.isfinite(sums).all(axis=1, keepdims=True)
    near, random = np.where(whole, sums, 0.0).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        score: Floats = 1 - near / random
    return score


def _measure(sums: Floats, mine: list[int]) -> tuple[float, float]:
    """Mean score over the aspect's targets, and over all others."""
    score = _score(sums)
    others = np.delete(score, mine)
    return float(np.nanmean(score[mine])), float(np.nanmean(others)) if len(others) else 0.0


def _interval(
    sums: Floats, mine: list[int], groups: NDArray[np.str_], resamples: int, seed: int
) -> tuple[float, float]:
    _, inverse = np.unique(groups, return_inverse=True)
    count = int(inverse.max()) + 1
    whole = np.isfinite(sums).all(axis=1, keepdims=True)
    per_group = np.zeros((count, *sums.shape[1:]))
    np.add.at(per_group, inverse, np.where(whole, sums, 0.0))
    rng = np.random.default_rng([seed, 37])
    draws = rng.multinomial(count, np.full(count, 1 / count), size=resamples)
    near, random = np.moveaxis(np.tensordot(draws, per_group[:, :, mine], axes=1), 1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        score = np.nanmean(1 - near / random, axis=1)
    low, high = np.nanpercentile(score, [2.5, 97.5])
    return float(low), float(high)


def _query_folds(groups: NDArray[np.str_], seed: int) -> NDArray[np.int64]:
    present = len(set(groups.tolist()))
    return grouped_folds(groups.tolist(), min(5, present), seed=seed)


def _choose_per_fold(
    sums: Mapping[Mode, Floats], mine: list[int], fold: NDArray[np.int64]
) -> float:
    """Faithfulness when each fold uses the mode that wins on the other folds."""
    parts = []
    for held_out in np.unique(fold):
        best = max(MODES, key=lambda mode: _measure(sums[mode][fold != held_out], mine)[0])
        parts.append(sums[best][fold == held_out])
    return _measure(np.concatenate(parts), mine)[0]


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
