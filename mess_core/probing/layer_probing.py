"""Probe all layers and baselines on one set of rows without missing targets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mess_core.errors import ProbingError
from mess_core.probing.backend import resolve_device
from mess_core.probing.combination import Combined, combine_layers
from mess_core.probing.nested_cv import Nested, Split, nested_predictions, nested_splits
from mess_core.probing.permutation import permutation_p, work_block_permutations
from mess_core.probing.permuted_targets import PermutedTargets
from mess_core.probing.scores import GroupBootstrap, pearson, r2, spearman, within_groups_r2
from mess_core.processes import in_processes

__all__ = [
    "ALPHAS",
    "MissingnessPattern",
    "Probed",
    "ProbingSettings",
    "interval",
    "probe_pattern",
]

_CONTROLS = 8
_MANY_ROWS = 300  # with fewer, starting processes takes longer than they save

ALPHAS: tuple[float, ...] = tuple(float(alpha) for alpha in np.logspace(-1, 6, 15))

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ProbingSettings:
    """Settings of `discover`.

    Attributes
    ----------
    folds, inner_folds : int
        Numbers of outer folds, and of inner folds in which penalty, layer and weights are
        chosen (reduced if a training part has fewer works).
    alphas : sequence of float
        Ridge penalties to choose from.
    permutations : int
        Permutations under the null hypothesis for ``p``; 0 leaves ``p`` and ``q`` NaN. The
        smallest p is ``1 / (1 + permutations)``, so a single target among 22 needs at least 439
        permutations for a q of 0.05; a note says so if there are fewer.
    ordered_rows : bool
        Whether rows of a work are ordered in time (segments). Permutations then move only
        whole works.
    resamples : int
        Resamples of the bootstrap over works.
    seed : int
    device : str
        "cpu" computes with NumPy, "cuda" with torch on the GPU; both in float64.

    Raises
    ------
    ProbingError
        If there are no penalties, a number is negative, or the device is not available.
    """

    folds: int = 5
    inner_folds: int = 5
    alphas: Sequence[float] = ALPHAS
    permutations: int = 500
    ordered_rows: bool = False
    resamples: int = 1000
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        if len(self.alphas) == 0 or self.permutations < 0 or self.resamples < 0:
            raise ProbingError("alphas must not be empty, permutations and resamples not negative")
        object.__setattr__(self, "alphas", tuple(sorted(map(float, self.alphas))))
        object.__setattr__(self, "device", resolve_device(self.device))

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain values for JSON."""
        return {**vars(self), "alphas": list(self.alphas)}


@dataclass(frozen=True)
class MissingnessPattern:
    """Rows in which all of `targets` are present.

    Attributes
    ----------
    x : ndarray, shape [rows, layers, dim]
    y : ndarray, float64, shape [rows, targets]
    targets, works, groups : list of str
    layers : list of int
        Numbers of the layers.
    untrained : ndarray, shape [rows, layers, any], or None
    descriptors : ndarray, float64, shape [rows, any], or None
    """

    x: NDArray[Any]
    y: Floats
    targets: list[str]
    works: list[str]
    groups: list[str]
    layers: list[int]
    untrained: NDArray[Any] | None
    descriptors: Floats | None


@dataclass(frozen=True)
class Probed:
    """Rows for the two tables of `Discovery`, and out-of-fold predictions.

    Attributes
    ----------
    rows, summary : list of dict
    predicted : ndarray, float64, shape [layers, rows, targets]
    chosen : ndarray, float64, shape [rows, targets]
        By the layer that inner folds chose.
    arrangements : int
        Distinct arrangements of the targets among the permutations.
    """

    rows: list[dict[str, Any]]
    summary: list[dict[str, Any]]
    predicted: Floats
    chosen: Floats
    arrangements: int


@dataclass(frozen=True)
class _Job:
    """Features to predict the targets from; permuted targets and controls, too, if `tested`."""

    name: str
    features: NDArray[Any]
    tested: bool


@dataclass(frozen=True)
class _Fitting:
    """What all jobs have in common. A job may run in another process."""

    y: Floats
    controls: Floats
    orders: NDArray[np.int64]
    splits: list[Split]
    settings: ProbingSettings

    def nested(self, job: _Job) -> Nested:
        alphas, permuted, columns = np.asarray(self.settings.alphas), None, self.y
        if job.tested:
            columns = np.concatenate([self.y, self.controls], axis=1)
        if job.tested and len(self.orders):
            permuted = PermutedTargets(self.y, self.orders, alphas)
        found = nested_predictions(
            job.features,
            columns,
            self.splits,
            alphas,
            targets=self.y.shape[1],
            device=self.settings.device,
            permuted=permuted,
        )
        if permuted is None or found.permuted_r2 is None:
            return found
        # In float32 a permutation that changes nothing would score a little more or less.
        observed = r2(self.y, found.predicted[:, : self.y.shape[1]])
        scores = np.where(permuted.same(self.y), observed, found.permuted_r2)
        return replace(found, permuted_r2=scores)


def probe_pattern(
    pattern: MissingnessPattern, settings: ProbingSettings, progress: Callable[[str], None]
) -> Probed:
    """Return the scores of every layer, the permutation test and the baselines."""
    y, targets = pattern.y, len(pattern.targets)
    splits = nested_splits(pattern.groups, settings.folds, settings.inner_folds, seed=settings.seed)
    controls = _control_targets(pattern.works, settings.seed)  # [rows, controls]
    orders = work_block_permutations(
        pattern.works,
        settings.permutations,
        seed=settings.seed,
        groups=pattern.groups,
        within=not settings.ordered_rows,
    )
    jobs, done = _jobs(pattern), []
    alone = settings.device != "cpu" or len(y) < _MANY_ROWS
    fitting = _Fitting(y, controls, orders, splits, settings)
    found = in_processes(fitting.nested, jobs, workers=1 if alone else None)
    for job, result in zip(jobs, found, strict=True):
        done.append(result)
        progress(f"{job.name}: {targets} targets, {len(y)} rows")

    count = len(pattern.layers)
    untrained = done[count : 2 * count] if pattern.untrained is not None else []
    baselines = {"mean": _mean_predictions(y, splits)}
    if pattern.descriptors is not None:
        baselines["descriptors"] = done[-1].predicted
    if untrained:
        baselines["untrained"] = combine_layers(untrained, y, splits, targets).chosen
    layer_controls = [
        float(np.mean(r2(controls, one.predicted[:, targets:]))) for one in done[:count]
    ]
    layers = [_only_targets(one, targets) for one in done[:count]]
    combined = combine_layers(layers, y, splits, targets)
    bootstrap = GroupBootstrap.of(pattern.groups, resamples=settings.resamples, seed=settings.seed)
    predicted = np.stack([layer.predicted for layer in layers])
    scores = np.stack([r2(y, one) for one in predicted])  # [layers, targets]
    largest = _largest_permuted(layers, targets)
    p = permutation_p(scores, largest)
    rows = _layer_rows(
        pattern, settings, layers, untrained, combined, bootstrap, p, np.asarray(layer_controls)
    )
    largest_p = permutation_p(scores.max(axis=0, keepdims=True), largest)[0]
    arrangements = len(np.unique(orders, axis=0))
    summary = _summary_rows(pattern, settings, combined, baselines, bootstrap, largest_p)
    summary = [{**row, "arrangements": arrangements} for row in summary]
    return Probed(rows, summary, predicted, combined.chosen, arrangements)


def _jobs(pattern: MissingnessPattern) -> list[_Job]:
    """Return the layers, then those of the untrained encoder and the descriptors, if given."""
    jobs = [_Job(f"layer {one}", pattern.x[:, at], True) for at, one in enumerate(pattern.layers)]
    if pattern.untrained is not None:
        for at, one in enumerate(pattern.layers):
            jobs.append(_Job(f"untrained layer {one}", pattern.untrained[:, at], False))
    if pattern.descriptors is not None:
        jobs.append(_Job("descriptors", pattern.descriptors, False))
    return jobs


def _largest_permuted(layers: list[Nested], targets: int) -> Floats:
    """Return the largest score over layers of permuted targets, [permutations, targets]."""
    found = [one.permuted_r2 for one in layers if one.permuted_r2 is not None]
    return np.max(found, axis=0) if found else np.empty((0, targets))


def _layer_rows(
    pattern: MissingnessPattern,
    settings: ProbingSettings,
    layers: list[Nested],
    untrained: list[Nested],
    combined: Combined,
    bootstrap: GroupBootstrap,
    p: Floats,
    controls: Floats,
) -> list[dict[str, Any]]:
    y, works = pattern.y, pattern.works
    rows = []
    for position, (layer, result) in enumerate(zip(pattern.layers, layers, strict=True)):
        guess = result.predicted
        draws = bootstrap.r2(y, guess)
        within, n_within = within_groups_r2(y, guess, works)
        columns: dict[str, Any] = {
            "r2": r2(y, guess),
            **interval("r2", draws),
            "pearson": pearson(y, guess),
            "spearman": spearman(y, guess),
            "rmse": np.sqrt(np.square(y - guess).mean(axis=0)),
            "alpha": np.median(result.alpha, axis=0),
            "dof": result.dof.mean(axis=0),
            "p": p[position],
            "r2_within": within,
            **interval("r2_within", bootstrap.within_r2(y, guess, works)),
            "control_r2": np.full(y.shape[1], controls[position]),
            "selectivity": r2(y, guess) - max(controls[position], 0.0),
            "chosen": combined.share[position],
            "weight": combined.weight[position],
        }
        if untrained:
            baseline = untrained[position].predicted
            columns["untrained_r2"] = r2(y, baseline)
            columns["untrained_gain"] = columns["r2"] - columns["untrained_r2"]
            columns |= interval("untrained_gain", draws - bootstrap.r2(y, baseline))
        rows += _rows(
            pattern, columns, layer=layer, n=len(y), works=len(set(works)), n_within=n_within
        )
    return rows


def _summary_rows(
    pattern: MissingnessPattern,
    settings: ProbingSettings,
    combined: Combined,
    baselines: dict[str, Floats],
    bootstrap: GroupBootstrap,
    p: Floats,
) -> list[dict[str, Any]]:
    y, works = pattern.y, pattern.works
    numbers = np.asarray(pattern.layers)
    columns: dict[str, Any] = {"layer": numbers[combined.share.argmax(axis=0)], "p": p}
    draws = {}
    for name, guess in (("chosen", combined.chosen), ("weighted", combined.weighted)):
        columns[f"{name}_r2"] = r2(y, guess)
        draws[name] = bootstrap.r2(y, guess)
        columns |= interval(f"{name}_r2", draws[name])
        columns[f"{name}_r2_within"] = within_groups_r2(y, guess, works)[0]
        columns |= interval(f"{name}_r2_within", bootstrap.within_r2(y, guess, works))
    for name, guess in baselines.items():
        columns[f"{name}_r2"] = r2(y, guess)
    if "untrained" in baselines:
        columns["untrained_gain"] = columns["chosen_r2"] - columns["untrained_r2"]
        gain = draws["chosen"] - bootstrap.r2(y, baselines["untrained"])
        columns |= interval("untrained_gain", gain)
    return _rows(pattern, columns, n=len(y), works=len(set(works)))


def _rows(
    pattern: MissingnessPattern, columns: dict[str, Any], **same: Any
) -> list[dict[str, Any]]:
    return [
        {
            "target": target,
            **same,
            **{name: values[index].item() for name, values in columns.items()},
        }
        for index, target in enumerate(pattern.targets)
    ]


def interval(name: str, draws: Floats) -> dict[str, Floats]:
    """Return the bounds of the 95 % interval over the first axis."""
    return {f"{name}_low": _percentile(draws, 2.5), f"{name}_high": _percentile(draws, 97.5)}


def _percentile(draws: Floats, percent: float) -> Floats:
    """Return a percentile over the first axis, ignoring NaN; NaN where all draws are NaN."""
    known = np.isfinite(draws).any(axis=0)
    result = np.full(draws.shape[1:], np.nan)
    result[known] = np.nanpercentile(draws[:, known], percent, axis=0)
    return result


def _only_targets(result: Nested, targets: int) -> Nested:
    """Return the result without the columns of controls."""
    return Nested(
        result.predicted[:, :targets].copy(),
        result.alpha[:, :targets],
        result.dof[:, :targets],
        result.inner_predicted,
        result.inner_error,
        result.permuted_r2,
    )


def _control_targets(works: list[str], seed: int) -> Floats:
    """Return standard normal numbers, one per work and control, [rows, controls]."""
    _, inverse = np.unique(np.asarray(works), return_inverse=True)
    rng = np.random.default_rng([seed, 23])
    drawn: Floats = rng.standard_normal((int(inverse.max()) + 1, _CONTROLS))
    per_row: Floats = drawn[inverse]
    return per_row


def _mean_predictions(y: Floats, splits: list[Split]) -> Floats:
    """Return the mean of the training part as the prediction for each test row."""
    predicted = np.empty_like(y)
    for split in splits:
        predicted[split.test] = y[split.train].mean(axis=0)
    return predicted
