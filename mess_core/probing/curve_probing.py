"""Predict whole curves from each layer: all points at once, and the main shape."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mess_core.errors import ProbingError
from mess_core.probing.backend import resolve_device
from mess_core.probing.discovery import ALPHAS
from mess_core.probing.fitting import Fitting, Job
from mess_core.probing.input_validation import checked_features, checked_layers, checked_names
from mess_core.probing.nested_cv import Nested, Split, nested_splits, split_problem
from mess_core.probing.scores import GroupBootstrap, r2, varies

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["discover_curves"]

_COLUMNS = [
    "layer", "curve", "r2", "r2_low", "r2_high", "pc1_r2", "pc1_share", "n", "works", "chosen",
    "chosen_r2", "chosen_r2_low", "chosen_r2_high", "chosen_pc1_r2",
]  # fmt: skip

Floats = NDArray[np.float64]


def discover_curves(
    X: ArrayLike,
    curves: Mapping[str, ArrayLike],
    works: Sequence[str],
    *,
    groups: Sequence[str] | None = None,
    folds: int = 5,
    inner_folds: int = 5,
    alphas: Sequence[float] = ALPHAS,
    layers: Sequence[int] | None = None,
    resamples: int = 1000,
    seed: int = 0,
    device: str = "cpu",
    progress: Callable[[str], None] | None = None,
) -> pd.DataFrame:
    """Return how well each layer predicts whole curves.

    Parameters
    ----------
    X : array_like, shape [rows, layers, dim]
    curves : mapping of name to array_like, shape [rows, points]
        Rows with a missing point are left out. A curve is left out entirely if it is constant,
        or if fewer than 10 rows or too few works have it.
    works, groups, folds, inner_folds, alphas, layers, resamples, seed, device, progress
        As in `mess_core.probing.discover`.

    Returns
    -------
    DataFrame
        One row per layer and curve, all scores out of fold: ``r2, r2_low, r2_high`` (mean over
        points and its 95 % interval), ``pc1_r2`` (R² of the first principal component of the
        training part), ``pc1_share`` (share of variance that it explains there), ``n, works``,
        ``chosen`` (share of outer folds whose inner folds chose the layer). The scores of that
        choice, ``chosen_r2, chosen_r2_low, chosen_r2_high, chosen_pc1_r2``, are the same in all
        rows of a curve.

    Raises
    ------
    ProbingError
        If shapes disagree, embeddings are not finite, or the device is not available.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((60, 2, 4))  # 2 layers
    >>> arcs = np.outer(X[:, 1, 0], np.sin(np.linspace(0, 3, 8)))  # encoded in layer 1
    >>> works = [f"work {number // 3}" for number in range(60)]
    >>> found = discover_curves(X, {"dynamic_arc": arcs}, works, resamples=50)
    >>> int(found.loc[found["r2"].idxmax(), "layer"])
    1
    """
    import pandas as pd

    x = checked_features(X, "X", len(works))
    names = checked_names(works, "works", len(x))
    fold_groups = names if groups is None else checked_names(groups, "groups", len(x))
    numbers = checked_layers(layers, x.shape[1])
    penalties = np.sort(np.asarray(alphas, dtype=np.float64))
    device = resolve_device(device)
    found: dict[str, list[dict[str, Any]]] = {}
    for whole, together in _by_rows(curves, len(x)):
        whole_groups = fold_groups[whole].tolist()
        if split_problem(whole_groups, folds, inner_folds, seed=seed) is not None:
            continue
        splits = nested_splits(whole_groups, folds, inner_folds, seed=seed)
        bootstrap = GroupBootstrap.of(whole_groups, resamples=resamples, seed=seed)
        # Curves that are known in the same rows share all decompositions of the features.
        y = np.concatenate(list(together.values()), axis=1)
        jobs = [Job(f"layer {one}", x[whole, at]) for at, one in enumerate(numbers)]
        nested = []
        for job, result in zip(jobs, Fitting(y, splits, penalties, device).run(jobs), strict=True):
            nested.append(result)
            if progress is not None:
                progress(f"{', '.join(together)}: {job.name}")
        first = 0
        for name, values in together.items():
            part = slice(first, first + values.shape[1])
            first = part.stop
            of_curve = [one.columns(part) for one in nested]
            rows = _curve_rows(name, numbers, of_curve, values, splits, bootstrap)
            works_of = len(set(names[whole].tolist()))
            found[name] = [{**row, "works": works_of} for row in rows]
    ordered = [row for name in curves for row in found.get(name, [])]
    return pd.DataFrame(ordered, columns=_COLUMNS)


def _by_rows(
    curves: Mapping[str, ArrayLike], count: int
) -> list[tuple[NDArray[np.bool_], dict[str, Floats]]]:
    """Return the curves that are whole in the same rows together, without constant points."""
    groups: dict[bytes, tuple[NDArray[np.bool_], dict[str, Floats]]] = {}
    for name, values in curves.items():
        y = np.asarray(values, dtype=np.float64)
        if y.ndim != 2 or len(y) != count:
            raise ProbingError(f"curve {name} must be [rows, points], not {list(y.shape)}")
        whole = np.asarray(np.isfinite(y).all(axis=1))
        y = y[whole]
        if len(y) == 0:
            continue
        y = y[:, varies(np.square(y - y.mean(axis=0)).sum(axis=0), y)]
        if y.shape[1]:
            groups.setdefault(whole.tobytes(), (whole, {}))[1][name] = y
    return list(groups.values())


def _curve_rows(
    name: str,
    layers: Sequence[int],
    nested: Sequence[Nested],
    y: Floats,
    splits: Sequence[Split],
    bootstrap: GroupBootstrap,
) -> list[dict[str, Any]]:
    """Return the scores of one curve, a row per layer."""
    share, chosen = _choose_by_inner_error(nested, y, splits)
    of_choice = {
        "chosen_r2": float(r2(y, chosen).mean()),
        **_interval("chosen_r2", bootstrap.r2(y, chosen)),
        "chosen_pc1_r2": first_component_r2(y, chosen, splits)[0],
    }
    rows = []
    for layer, result, part in zip(layers, nested, share, strict=True):
        main, explained = first_component_r2(y, result.predicted, splits)
        rows.append(
            {
                "layer": layer,
                "curve": name,
                "r2": float(r2(y, result.predicted).mean()),
                **_interval("r2", bootstrap.r2(y, result.predicted)),
                "pc1_r2": main,
                "pc1_share": explained,
                "n": len(y),
                "chosen": part,
                **of_choice,
            }
        )
    return rows


def _choose_by_inner_error(
    layers: Sequence[Nested], y: Floats, splits: Sequence[Split]
) -> tuple[Floats, Floats]:
    """Return the share of folds that chose each layer, and the predictions of that choice.

    Each fold chooses one layer for the whole curve, by the inner error summed over points in
    units of their variance.
    """
    share, chosen = np.zeros(len(layers)), np.empty_like(y)
    for index, split in enumerate(splits):
        spread = y[split.train].var(axis=0)
        errors = [(one.inner_error[index] / np.maximum(spread, 1e-300)).sum() for one in layers]
        best = int(np.argmin(errors))
        share[best] += 1 / len(splits)
        chosen[split.test] = layers[best].predicted[split.test]
    return share, chosen


def _interval(name: str, draws: Floats) -> dict[str, float]:
    """Return the 95 % interval of the mean over points; NaN without draws."""
    means = draws.mean(axis=-1)
    known = means[np.isfinite(means)]
    low, high = np.percentile(known, [2.5, 97.5]) if len(known) else (np.nan, np.nan)
    return {f"{name}_low": float(low), f"{name}_high": float(high)}


def first_component_r2(
    y: Floats, predicted: Floats, splits: Sequence[Split]
) -> tuple[float, float]:
    """Return the out-of-fold R² of the first principal component, and its share of variance.

    Each fold takes the component and the mean from its training part. Errors are pooled over
    folds, so the sign of the component does not matter.

    Parameters
    ----------
    y, predicted : ndarray, float64, shape [rows, points]
    splits : sequence of Split
    """
    lost, total, shares = 0.0, 0.0, []
    for split in splits:
        mean = y[split.train].mean(axis=0)
        _, spread, directions = np.linalg.svd(y[split.train] - mean, full_matrices=False)
        shares.append(spread[0] ** 2 / np.square(spread).sum())
        observed = (y[split.test] - mean) @ directions[0]
        guess = (predicted[split.test] - mean) @ directions[0]
        lost += float(np.square(observed - guess).sum())
        total += float(np.square(observed).sum())
    return 1 - lost / total if total > 0 else float("nan"), float(np.mean(shares))
