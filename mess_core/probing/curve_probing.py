"""Predict whole curves from each layer: all points at once, and the main shape."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mess_core.errors import ProbingError
from mess_core.probing.backend import resolve_device
from mess_core.probing.discovery import ALPHAS
from mess_core.probing.input_validation import checked_features, checked_layers, checked_names
from mess_core.probing.nested_cv import (
    Nested,
    Split,
    nested_predictions,
    nested_splits,
    split_problem,
)
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
    rows: list[dict[str, Any]] = []
    for name, values in curves.items():
        y = np.asarray(values, dtype=np.float64)
        if y.ndim != 2 or len(y) != len(x):
            raise ProbingError(f"curve {name} must be [rows, points], not {list(y.shape)}")
        whole = np.isfinite(y).all(axis=1)
        whole_groups = fold_groups[whole].tolist()
        if split_problem(whole_groups, folds, inner_folds, seed=seed) is not None:
            continue
        y = y[whole]
        y = y[:, varies(np.square(y - y.mean(axis=0)).sum(axis=0), y)]
        if y.shape[1] == 0:
            continue
        splits = nested_splits(whole_groups, folds, inner_folds, seed=seed)
        bootstrap = GroupBootstrap.of(whole_groups, resamples=resamples, seed=seed)
        nested = []
        for position, layer in enumerate(numbers):
            nested.append(
                nested_predictions(
                    x[whole, position], y, splits, penalties, targets=y.shape[1], device=device
                )
            )
            if progress is not None:
                progress(f"{name}: layer {layer}")
        share, chosen = _choose_by_inner_error(nested, y, splits)
        for layer, result, part in zip(numbers, nested, share, strict=True):
            guess = result.predicted
            main, explained = first_component_r2(y, guess, splits)
            rows.append(
                {
                    "layer": layer,
                    "curve": name,
                    "r2": float(r2(y, guess).mean()),
                    **_interval("r2", bootstrap.r2(y, guess)),
                    "pc1_r2": main,
                    "pc1_share": explained,
                    "n": len(y),
                    "works": len(set(names[whole].tolist())),
                    "chosen": part,
                    "chosen_r2": float(r2(y, chosen).mean()),
                    **_interval("chosen_r2", bootstrap.r2(y, chosen)),
                    "chosen_pc1_r2": first_component_r2(y, chosen, splits)[0],
                }
            )
    return pd.DataFrame(rows, columns=_COLUMNS)


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
