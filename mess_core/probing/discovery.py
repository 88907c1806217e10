"""Layer discovery: predict every target from every layer, on works never seen in training.

Outer folds keep a work on one side. The penalty of each layer and target is chosen in
inner folds, grouped the same way, of the training part only. Control targets, one random
number per work (Hewitt and Liang, 2019), tell how much a layer gains from merely knowing
the work. Everything reported is out of fold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mess_core.errors import ProbingError
from mess_core.probing.folds import grouped_folds
from mess_core.probing.ridge import RidgePath
from mess_core.probing.scores import (
    bootstrap_r2,
    pearson,
    r2,
    spearman,
    varies,
    within_groups_r2,
)

if TYPE_CHECKING:
    import pandas as pd

    from mess_core.probing.aspects import Aspect

__all__ = ["ALPHAS", "PROBING_VERSION", "Discovery", "discover"]

PROBING_VERSION = "1"
ALPHAS: tuple[float, ...] = tuple(float(alpha) for alpha in np.logspace(-1, 6, 15))
_CONTROLS = 8
_COLUMNS = [
    "layer", "target", "r2", "r2_low", "r2_high", "pearson", "spearman", "rmse", "n", "works",
    "alpha", "dof", "r2_within", "n_within", "control_r2", "selectivity",
]  # fmt: skip

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Discovery:
    """Result of `discover`.

    Attributes
    ----------
    table : DataFrame
        One row per layer and target: ``layer, target, r2, r2_low, r2_high`` (95 %),
        ``pearson, spearman, rmse`` (in the target's unit), ``n, works, alpha`` (median over
        folds), ``dof`` (effective degrees of freedom), ``r2_within, n_within`` (work means
        removed), ``control_r2`` (mean over random-per-work targets), ``selectivity``
        (``r2 - control_r2``).
    predictions : dict
        Target to out-of-fold predictions, float64 [layers, tracks], NaN where missing.
    settings : dict
        Folds, penalties, seeds and shapes.
    notes : list of str
        What a reader should know: targets left out and why.
    """

    table: pd.DataFrame
    predictions: dict[str, Floats]
    settings: dict[str, Any]
    notes: list[str] = field(default_factory=list)

    def aspects(self) -> dict[str, Aspect]:
        """Aspect to layer weights, confidence and reason; see `resolve_aspects`."""
        from mess_core.probing.aspects import fallback_aspects, resolve_aspects

        if self.table.empty:
            return fallback_aspects(self.settings["layers"], reason="no target could be probed")
        return resolve_aspects(self.table)

    def pivot(self, score: str = "r2") -> pd.DataFrame:
        """Targets x layers of one column of `table`."""
        order = list(dict.fromkeys(self.table["target"]))
        return self.table.pivot(index="target", columns="layer", values=score).loc[order]


def discover(
    X: ArrayLike,
    Y: pd.DataFrame,
    works: Sequence[str],
    *,
    groups: Sequence[str] | None = None,
    folds: int = 5,
    inner_folds: int = 5,
    alphas: Sequence[float] = ALPHAS,
    layers: Sequence[int] | None = None,
    resamples: int = 1000,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
    allow_empty: bool = False,
) -> Discovery:
    """Find which layer encodes which target.

    Parameters
    ----------
    X : array_like, shape [tracks, layers, dim]
        Track embeddings.
    Y : DataFrame, one row per track, one column per target
        NaN = missing; each target uses the tracks that have it.
    works : sequence of str, length tracks
        Work of each track: no work is in training and test at once.
    groups : sequence of str, length tracks, optional
        What folds and intervals keep together instead of works: coarser groups (see
        `mess_core.datasets.leak_safe_groups`) or players.
    folds, inner_folds : int
        Outer folds, and folds in which the penalty is chosen (reduced where a training
        part has fewer works).
    alphas : sequence of float
        Ridge penalties to choose from.
    layers : sequence of int, optional
        Numbers of the layers in `X`; 0, 1, ... if not given.
    resamples : int
        Of the bootstrap over works.
    seed : int
    progress : callable, optional
        Called with a line per step.
    allow_empty : bool
        Return an empty table, with the reasons in `notes`, instead of raising where no
        target can be probed.

    Returns
    -------
    Discovery

    Raises
    ------
    ProbingError
        If shapes disagree, embeddings are not finite, or there are too few works.
    """
    x = np.asarray(X)
    if x.ndim != 3 or not len(x) == len(Y) == len(works):
        raise ProbingError(
            f"X must be [tracks, layers, dim] with a row of Y and a work per track; got X "
            f"{list(x.shape)}, Y {list(Y.shape)}, {len(works)} works"
        )
    if not np.isfinite(x).all():
        raise ProbingError("the embeddings hold NaN or infinite values")
    numbers = list(range(x.shape[1])) if layers is None else [int(layer) for layer in layers]
    if len(numbers) != x.shape[1]:
        raise ProbingError(f"{len(numbers)} layer numbers for {x.shape[1]} layers")
    names = np.asarray(works, dtype=str)
    kept_together = names if groups is None else np.asarray(groups, dtype=str)
    if len(kept_together) != len(x):
        raise ProbingError(f"{len(kept_together)} groups for {len(x)} tracks")
    penalties = np.sort(np.asarray(alphas, dtype=np.float64))
    y_all = Y.to_numpy(dtype=np.float64)  # [tracks, targets]
    y_all = np.where(np.isfinite(y_all), y_all, np.nan)
    rows: list[dict[str, Any]] = []
    predictions: dict[str, Floats] = {}
    notes: list[str] = []
    for columns, present in _missingness_patterns(y_all):
        targets = [str(Y.columns[column]) for column in columns]
        y = y_all[np.ix_(np.flatnonzero(present), np.asarray(columns))]  # [rows, targets]
        reason = _unusable(y, kept_together[present], folds)
        if reason is not None:
            notes += [f"{target}: left out, {reason}" for target in targets]
            continue
        changing = varies(np.square(y - y.mean(axis=0)).sum(axis=0), y)
        notes += [
            f"{target}: left out, it is the same for all tracks"
            for target, kept in zip(targets, changing, strict=True)
            if not kept
        ]
        targets = [target for target, kept in zip(targets, changing, strict=True) if kept]
        if not targets:
            continue
        found, guesses = _probe(
            x[present],
            y[:, changing],
            targets,
            names[present],
            numbers,
            penalties,
            groups=kept_together[present],
            folds=folds,
            inner_folds=inner_folds,
            resamples=resamples,
            seed=seed,
            progress=progress or (lambda _: None),
        )
        rows += found
        for target, guess in guesses.items():
            predictions[target] = np.full((len(numbers), len(x)), np.nan)
            predictions[target][:, present] = guess
    if not rows and not allow_empty:
        raise ProbingError("no target can be probed: " + "; ".join(notes))
    return Discovery(
        table=_ordered(rows, [str(column) for column in Y.columns]),
        predictions=predictions,
        settings={
            "version": PROBING_VERSION,
            "folds": folds,
            "inner_folds": inner_folds,
            "alphas": penalties.tolist(),
            "grouped_by": "work" if groups is None else "given groups",
            "resamples": resamples,
            "seed": seed,
            "tracks": len(x),
            "works": len(set(names.tolist())),
            "layers": numbers,
            "dim": int(x.shape[2]),
        },
        notes=notes,
    )


def _probe(
    x: NDArray[Any],
    y: Floats,
    targets: list[str],
    works: NDArray[np.str_],
    layers: list[int],
    alphas: Floats,
    *,
    groups: NDArray[np.str_],
    folds: int,
    inner_folds: int,
    resamples: int,
    seed: int,
    progress: Callable[[str], None],
) -> tuple[list[dict[str, Any]], dict[str, Floats]]:
    """All layers on one set of rows that have all of these targets."""
    fold = grouped_folds(groups.tolist(), folds, seed=seed)
    controls = _control_targets(works, seed)  # [rows, controls]
    both = np.concatenate([y, controls], axis=1)
    predicted = np.empty((len(layers), *both.shape))  # [layers, rows, targets + controls]
    chosen = np.empty((len(layers), folds, both.shape[1]))
    freedom = np.empty_like(chosen)
    for position, layer in enumerate(layers):
        features = np.asarray(x[:, position], dtype=np.float64)
        for held_out in range(folds):
            train, test = fold != held_out, fold == held_out
            alpha = _choose_alphas(
                features[train], both[train], groups[train], alphas, inner_folds, seed
            )
            model = RidgePath(features[train], both[train])
            predicted[position, test] = model.predict_each(features[test], alpha)
            chosen[position, held_out] = alpha
            freedom[position, held_out] = model.degrees_of_freedom(alpha)
        progress(f"layer {layer}: {len(targets)} targets, {len(x)} tracks")
    count = y.shape[1]
    resampled = bootstrap_r2(
        y, predicted[:, :, :count], groups.tolist(), resamples=resamples, seed=seed
    )
    low, high = np.nanpercentile(resampled, [2.5, 97.5], axis=0)  # [layers, targets]
    rows = []
    for position, layer in enumerate(layers):
        guess = predicted[position, :, :count]
        scores = r2(y, guess)
        linear, ranked = pearson(y, guess), spearman(y, guess)
        rmse = np.sqrt(np.square(y - guess).mean(axis=0))
        control = float(np.mean(r2(controls, predicted[position, :, count:])))
        for column, target in enumerate(targets):
            within, n_within = within_groups_r2(y[:, column], guess[:, column], works.tolist())
            rows.append(
                {
                    "layer": layer,
                    "target": target,
                    "r2": float(scores[column]),
                    "r2_low": float(low[position, column]),
                    "r2_high": float(high[position, column]),
                    "pearson": float(linear[column]),
                    "spearman": float(ranked[column]),
                    "rmse": float(rmse[column]),
                    "n": len(y),
                    "works": len(set(works.tolist())),
                    "alpha": float(np.median(chosen[position, :, column])),
                    "dof": float(freedom[position, :, column].mean()),
                    "r2_within": within,
                    "n_within": n_within,
                    "control_r2": control,
                    "selectivity": float(scores[column]) - control,
                }
            )
    return rows, {target: predicted[:, :, column] for column, target in enumerate(targets)}


def _choose_alphas(
    x: Floats, y: Floats, groups: NDArray[np.str_], alphas: Floats, folds: int, seed: int
) -> Floats:
    """Penalty with the least squared error in inner folds, for each target, [targets]."""
    if len(alphas) == 1:
        return np.full(y.shape[1], alphas[0])
    inner = grouped_folds(groups.tolist(), min(folds, len(set(groups.tolist()))), seed=seed + 1)
    error = np.zeros((len(alphas), y.shape[1]))
    for held_out in np.unique(inner):
        train, test = inner != held_out, inner == held_out
        predicted = RidgePath(x[train], y[train]).predict(x[test], alphas)
        error += np.square(predicted - y[test]).sum(axis=1)
    chosen: Floats = alphas[error.argmin(axis=0)]
    return chosen


def _control_targets(works: NDArray[np.str_], seed: int) -> Floats:
    """Standard normal numbers, one per work and control, [rows, controls]."""
    _, inverse = np.unique(works, return_inverse=True)
    rng = np.random.default_rng([seed, 23])
    drawn: Floats = rng.standard_normal((int(inverse.max()) + 1, _CONTROLS))
    per_row: Floats = drawn[inverse]
    return per_row


def _missingness_patterns(y: Floats) -> list[tuple[list[int], NDArray[np.bool_]]]:
    """Columns grouped by which rows have them: (columns, bool mask of rows)."""
    patterns: dict[bytes, list[int]] = {}
    present = ~np.isnan(y)
    for column in range(y.shape[1]):
        patterns.setdefault(present[:, column].tobytes(), []).append(column)
    return [(columns, present[:, columns[0]]) for columns in patterns.values()]


def _unusable(y: Floats, works: NDArray[np.str_], folds: int) -> str | None:
    if len(y) < 10:
        return f"only {len(y)} tracks have it (at least 10 are needed)"
    present = len(set(works.tolist()))
    if present < max(folds, 3):
        return f"the tracks that have it are of {present} works (at least {max(folds, 3)} needed)"
    return None


def _ordered(rows: list[dict[str, Any]], targets: list[str]) -> pd.DataFrame:
    import pandas as pd

    table = pd.DataFrame(rows, columns=_COLUMNS)
    rank = {target: index for index, target in enumerate(targets)}
    return table.sort_values(
        ["target", "layer"],
        key=lambda column: column.map(rank) if column.name == "target" else column,
        ignore_index=True,
    )
