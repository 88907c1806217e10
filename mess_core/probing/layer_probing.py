"""Probe all layers and baselines on one set of rows without missing targets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mess_core.errors import ProbingError
from mess_core.probing.backend import resolve_device
from mess_core.probing.combination import Combined, combine_layers
from mess_core.probing.fitting import Fitting, Job
from mess_core.probing.nested_cv import Nested, Split, nested_splits
from mess_core.probing.permutation import permutation_p, work_block_permutations
from mess_core.probing.scores import GroupBootstrap, pearson, r2, spearman, within_groups_r2

__all__ = [
    "ALPHAS",
    "MissingnessPattern",
    "Probed",
    "ProbingSettings",
    "interval",
    "probe_pattern",
]

_CONTROLS = 8

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
        "cpu" computes with NumPy, from 300 rows on in ``MESS_WORKERS`` processes; "cuda" with
        torch on the GPU. Both in float64, permuted targets in float32.

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
    fitting = Fitting(y, splits, np.asarray(settings.alphas), settings.device, controls, orders)
    for job, result in zip(jobs, fitting.run(jobs), strict=True):
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
    layers = [one.columns(slice(targets)) for one in done[:count]]
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


def _jobs(pattern: MissingnessPattern) -> list[Job]:
    """Return the layers, then those of the untrained encoder and the descriptors, if given."""
    jobs = [
        Job(f"layer {one}", pattern.x[:, at], tested=True) for at, one in enumerate(pattern.layers)
    ]
    if pattern.untrained is not None:
        for at, one in enumerate(pattern.layers):
            jobs.append(Job(f"untrained layer {one}", pattern.untrained[:, at]))
    if pattern.descriptors is not None:
        jobs.append(Job("descriptors", pattern.descriptors))
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
