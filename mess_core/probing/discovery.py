"""Layer discovery: predict every target from every layer, on works never seen in training.

Outer folds keep each work on one side. The penalty, the layer and the layer weights are
chosen in inner folds of the training part, grouped in the same way. Control targets, one
random number per work (after Hewitt and Liang, 2019), measure how much a layer gains from
identifying the work: nothing if folds keep works on one side, a lot if they do not. All
scores are out of fold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mess_core.errors import ProbingError
from mess_core.probing.aspects import Aspect, fallback_aspects, resolve_aspects
from mess_core.probing.evidence import LEVEL, SUMMARY_COLUMNS, TABLE_COLUMNS, assess_evidence
from mess_core.probing.input_validation import checked_features, checked_layers, checked_names
from mess_core.probing.layer_probing import (
    ALPHAS,
    MissingnessPattern,
    Probed,
    ProbingSettings,
    probe_pattern,
)
from mess_core.probing.nested_cv import split_problem
from mess_core.probing.scores import varies

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "ALPHAS",
    "PROBING_VERSION",
    "Discovery",
    "ProbingSettings",
    "discover",
    "missingness_patterns",
]

PROBING_VERSION = "3"

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Discovery:
    """Result of `discover`.

    Attributes
    ----------
    table : DataFrame
        One row per layer and target, all scores out of fold:

        - ``layer, target, n, works``
        - ``r2, r2_low, r2_high`` (95 % interval), ``pearson, spearman, rmse`` (in the target's
          unit)
        - ``alpha`` (median over folds), ``dof`` (effective degrees of freedom)
        - ``p``: p-value from permuting works, corrected for testing all layers; ``q``: false
          discovery rate over the targets of the layer
        - ``r2_within, r2_within_low, r2_within_high, n_within``: R² after removing the mean of
          each work, on works with several performances
        - ``control_r2``: mean R² over control targets (one random number per work), above 0 only
          if works leak; ``selectivity``: ``r2`` minus ``control_r2`` where that is above 0
        - ``untrained_r2``: R² of the same layer of the untrained encoder; ``untrained_gain,
          untrained_gain_low, untrained_gain_high``: difference to it (95 % interval); NaN if no
          untrained encoder was given
        - ``chosen``: share of outer folds whose inner folds chose this layer; ``weight``: its
          mean weight in the combination of layers
        - ``evidence``: whether the interval is above 0 and ``q`` is at most 0.05, as far as each
          was computed; ``learned``: whether the interval of ``untrained_gain`` is above 0
    summary : DataFrame
        One row per target: ``layer`` (chosen most often), ``chosen_r2, chosen_r2_low,
        chosen_r2_high, chosen_r2_within`` (layer chosen in inner folds), ``weighted_r2, ...``
        (combined layers), ``untrained_r2`` (layer of the untrained encoder, chosen in the same
        way), ``descriptors_r2``, ``mean_r2``; ``untrained_gain, ...``: ``chosen_r2 -
        untrained_r2`` (95 % interval); ``p, q`` of the largest score over layers, and the number
        of distinct ``arrangements`` among the permutations; ``evidence`` (the states hold the
        target), ``learned`` (training added to it), ``finding`` (both) and ``reason``.
    predictions : dict
        Target to out-of-fold predictions, float64 [layers, tracks], NaN where missing.
    chosen : dict
        Target to out-of-fold predictions by the layer that inner folds chose, float64 [tracks].
    settings : dict
        Folds, penalties, seeds and shapes.
    notes : list of str
        Warnings, and targets that were left out with the reason.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((60, 2, 4))
    >>> Y = pd.DataFrame({"tempo": X[:, 1, 0] + 0.1 * rng.standard_normal(60)})
    >>> works = [f"work {number // 3}" for number in range(60)]
    >>> found = discover(X, Y, works, permutations=100)
    >>> found.pivot("r2").shape  # targets x layers
    (1, 2)
    >>> found.aspects()["tempo"].weights
    {1: 1.0}
    """

    table: pd.DataFrame
    summary: pd.DataFrame
    predictions: dict[str, Floats]
    settings: dict[str, Any]
    notes: list[str] = field(default_factory=list)
    chosen: dict[str, Floats] = field(default_factory=dict)

    def aspects(self) -> dict[str, Aspect]:
        """Return each aspect with its layer weights and confidence; see `resolve_aspects`."""
        if self.table.empty:
            return fallback_aspects(self.settings["layers"], reason="no target could be probed")
        return resolve_aspects(self)

    def pivot(self, score: str = "r2") -> pd.DataFrame:
        """Return one column of `table` as a DataFrame, targets x layers."""
        order = list(dict.fromkeys(self.table["target"]))
        return self.table.pivot(index="target", columns="layer", values=score).loc[order]


def discover(
    X: ArrayLike,
    Y: pd.DataFrame,
    works: Sequence[str],
    *,
    groups: Sequence[str] | None = None,
    ungrouped: bool = False,
    layers: Sequence[int] | None = None,
    untrained: ArrayLike | None = None,
    descriptors: ArrayLike | None = None,
    settings: ProbingSettings | None = None,
    progress: Callable[[str], None] | None = None,
    allow_empty: bool = False,
    **options: Any,
) -> Discovery:
    """Return which layer encodes which target, by nested cross-validation over works.

    Parameters
    ----------
    X : array_like, shape [tracks, layers, dim]
        Track embeddings, or segment embeddings with one row per segment.
    Y : DataFrame, one row per track, one column per target
        NaN marks a missing value; each target uses the tracks that have a value.
    works : sequence of str, length tracks
        Work of each track. No work is in both the training and the test part.
    groups : sequence of str, length tracks, optional
        Groups that folds, permutations and intervals use instead of works: coarser groups
        (see `mess_core.datasets.leak_safe_groups`), players, or the tracks of segments. A
        note warns if this puts a work on both sides.
    ungrouped : bool
        Shuffle single rows into folds, as first published. Works leak: for comparison only.
    layers : sequence of int, optional
        Numbers of the layers in `X`; 0, 1, ... if not given.
    untrained : array_like, shape [tracks, layers, any], optional
        The same layers of an untrained encoder of the same architecture: what training added is
        the gain over it, and a finding needs that gain.
    descriptors : array_like, shape [tracks, any], optional
        Audio descriptors as another baseline; NaN is replaced by the mean of the column.
    settings : ProbingSettings, optional
        Or its fields as keyword arguments: ``folds=5, permutations=500, seed=0, ...``.
    progress : callable, optional
        Called with one line of text per step.
    allow_empty : bool
        If no target can be probed, return an empty table with the reasons in `notes` instead
        of raising an error.

    Returns
    -------
    Discovery

    Raises
    ------
    ProbingError
        If shapes disagree, embeddings are not finite, or no target can be probed.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((60, 2, 4))  # 2 layers
    >>> Y = pd.DataFrame({"loudness": X[:, 1, 0] + 0.1 * rng.standard_normal(60)})
    >>> works = [f"work {number // 3}" for number in range(60)]
    >>> found = discover(X, Y, works, permutations=100)
    >>> int(found.summary["layer"].iloc[0]), bool(found.summary["evidence"].iloc[0])
    (1, True)
    """
    if settings is not None and options:
        raise ProbingError("pass either settings or its fields, not both")
    settings = settings or ProbingSettings(**options)
    inputs = _validated(X, Y, works, groups, ungrouped, layers, untrained, descriptors)
    found = _Found(_leak_notes(inputs.works, inputs.groups))
    for pattern, rows in _patterns(inputs, settings, found.notes):
        probed = probe_pattern(pattern, settings, progress or (lambda _: None))
        found.add(pattern, probed, rows, settings.permutations)
    if not found.rows and not allow_empty:
        raise ProbingError("no target can be probed: " + "; ".join(found.notes))
    found.notes += _resolution_notes(settings.permutations, len(found.summaries))
    order = [str(column) for column in Y.columns]
    table, summary = assess_evidence(
        _ordered(found.rows, TABLE_COLUMNS, order),
        _ordered(found.summaries, SUMMARY_COLUMNS, order),
    )
    return Discovery(
        table=table,
        summary=summary,
        predictions=found.predictions,
        settings={
            "version": PROBING_VERSION,
            "layers": inputs.layers,
            **settings.to_dict(),
            "grouped_by": _grouping(ungrouped, groups),
            "tracks": len(inputs.x),
            "works": len(set(inputs.works.tolist())),
            "dim": int(inputs.x.shape[2]),
        },
        notes=found.notes,
        chosen=found.chosen,
    )


@dataclass(frozen=True)
class _Inputs:
    """Validated arguments of `discover`; targets are NaN where missing."""

    x: NDArray[Any]
    y: Floats
    targets: list[str]
    works: NDArray[np.str_]
    groups: NDArray[np.str_]
    layers: list[int]
    untrained: NDArray[Any] | None
    descriptors: Floats | None


def _validated(
    X: ArrayLike,
    Y: pd.DataFrame,
    works: Sequence[str],
    groups: Sequence[str] | None,
    ungrouped: bool,
    layers: Sequence[int] | None,
    untrained: ArrayLike | None,
    descriptors: ArrayLike | None,
) -> _Inputs:
    x = checked_features(X, "X", len(Y))
    names = checked_names(works, "works", len(x))
    if ungrouped:
        fold_groups = np.array([f"row{index}" for index in range(len(x))])
    else:
        fold_groups = names if groups is None else checked_names(groups, "groups", len(x))
    if Y.columns.duplicated().any():
        raise ProbingError(f"target {Y.columns[Y.columns.duplicated()][0]!r} is listed twice")
    control = None if untrained is None else checked_features(untrained, "untrained", len(Y))
    if control is not None and control.shape[1] != x.shape[1]:
        raise ProbingError(f"{control.shape[1]} untrained layers for {x.shape[1]} layers")
    y = Y.to_numpy(dtype=np.float64)  # [tracks, targets]
    return _Inputs(
        x=x,
        y=np.where(np.isfinite(y), y, np.nan),
        targets=[str(column) for column in Y.columns],
        works=names,
        groups=fold_groups,
        layers=checked_layers(layers, x.shape[1]),
        untrained=control,
        descriptors=None if descriptors is None else _impute_means(descriptors, len(Y)),
    )


def _patterns(
    inputs: _Inputs, settings: ProbingSettings, notes: list[str]
) -> Iterator[tuple[MissingnessPattern, NDArray[np.bool_]]]:
    """Yield targets that are present in the same rows, with a mask of those rows.

    Targets that cannot be probed are added to `notes`.
    """
    for columns, present in missingness_patterns(inputs.y):
        targets = [inputs.targets[column] for column in columns]
        groups = inputs.groups[present].tolist()
        reason = split_problem(groups, settings.folds, settings.inner_folds, seed=settings.seed)
        if reason is not None:
            notes += [f"{target}: left out, {reason}" for target in targets]
            continue
        y = inputs.y[np.ix_(np.flatnonzero(present), np.asarray(columns))]  # [rows, targets]
        changing = varies(np.square(y - y.mean(axis=0)).sum(axis=0), y)
        for target, varying in zip(targets, changing, strict=True):
            if not varying:
                notes.append(f"{target}: left out, it has the same value for all tracks")
        if not changing.any():
            continue
        pattern = MissingnessPattern(
            x=inputs.x[present],
            y=y[:, changing],
            targets=[one for one, varying in zip(targets, changing, strict=True) if varying],
            works=inputs.works[present].tolist(),
            groups=groups,
            layers=inputs.layers,
            untrained=None if inputs.untrained is None else inputs.untrained[present],
            descriptors=None if inputs.descriptors is None else inputs.descriptors[present],
        )
        yield pattern, present


@dataclass
class _Found:
    """Results collected over missingness patterns."""

    notes: list[str]
    rows: list[dict[str, Any]] = field(default_factory=list)
    summaries: list[dict[str, Any]] = field(default_factory=list)
    predictions: dict[str, Floats] = field(default_factory=dict)
    chosen: dict[str, Floats] = field(default_factory=dict)

    def add(
        self,
        pattern: MissingnessPattern,
        probed: Probed,
        present: NDArray[np.bool_],
        permutations: int,
    ) -> None:
        if 0 < probed.arrangements < min(100, permutations):
            self.notes.append(
                f"{', '.join(pattern.targets)}: so few works are of equal size that permutations "
                f"gave only {probed.arrangements} arrangements; a large p is not informative"
            )
        self.rows += probed.rows
        self.summaries += probed.summary
        for column, target in enumerate(pattern.targets):
            self.predictions[target] = np.full((len(pattern.layers), len(present)), np.nan)
            self.predictions[target][:, present] = probed.predicted[:, :, column]
            self.chosen[target] = np.full(len(present), np.nan)
            self.chosen[target][present] = probed.chosen[:, column]


def _resolution_notes(permutations: int, targets: int) -> list[str]:
    """Return a note if there are too few permutations for one target to be significant."""
    if not permutations or targets / (1 + permutations) <= LEVEL:
        return []
    needed = int(np.ceil(targets / LEVEL)) - 1
    return [
        f"{permutations} permutations are too few for a single one of {targets} targets to "
        f"reach q <= {LEVEL}: use at least {needed}"
    ]


def _impute_means(descriptors: ArrayLike, rows: int) -> Floats:
    values = np.asarray(descriptors, dtype=np.float64)
    if values.ndim != 2 or len(values) != rows:
        raise ProbingError(f"descriptors must be [tracks, any], not {list(values.shape)}")
    known = np.isfinite(values)
    total = np.where(known, values, 0.0).sum(axis=0)
    mean = total / np.maximum(known.sum(axis=0), 1)
    filled: Floats = np.where(known, values, mean)
    return filled


def _grouping(ungrouped: bool, groups: Sequence[str] | None) -> str:
    if ungrouped:
        return "none"
    return "work" if groups is None else "given groups"


def _leak_notes(works: NDArray[np.str_], groups: NDArray[np.str_]) -> list[str]:
    """Return a warning if a work is in several groups, so that folds may split it."""
    pairs = set(zip(works.tolist(), groups.tolist(), strict=True))
    split = len(pairs) - len(set(works.tolist()))
    if split == 0:
        return []
    return [
        "WARNING: folds may put one work on both sides, so these scores reward recognising the "
        "work and do not generalise to unseen music. Group by work for reliable scores."
    ]


def missingness_patterns(y: Floats) -> list[tuple[list[int], NDArray[np.bool_]]]:
    """Return columns that are present in the same rows, as (columns, bool mask of rows)."""
    patterns: dict[bytes, list[int]] = {}
    present = ~np.isnan(y)
    for column in range(y.shape[1]):
        patterns.setdefault(present[:, column].tobytes(), []).append(column)
    return [(columns, present[:, columns[0]]) for columns in patterns.values()]


def _ordered(rows: list[dict[str, Any]], columns: list[str], targets: list[str]) -> pd.DataFrame:
    import pandas as pd

    table = pd.DataFrame(rows, columns=columns)
    rank = {target: index for index, target in enumerate(targets)}
    keys = ["target", "layer"] if "alpha" in columns else ["target"]
    return table.sort_values(
        keys,
        key=lambda column: column.map(rank) if column.name == "target" else column,
        ignore_index=True,
    )
