"""How well a layer predicts curves: many outputs at once, and their main shape."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mess_core.errors import ProbingError
from mess_core.probing.backend import resolve_device
from mess_core.probing.discovery import ALPHAS
from mess_core.probing.nested import Split, nested_predictions, nested_splits
from mess_core.probing.scores import GroupBootstrap, r2, varies

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["discover_curves"]

_COLUMNS = ["layer", "curve", "r2", "r2_low", "r2_high", "pc1_r2", "pc1_share", "n", "works"]

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
    """Predict whole curves from each layer.

    Parameters
    ----------
    X : array_like, shape [rows, layers, dim]
    curves : mapping of name to array_like, shape [rows, points]
        Rows with a missing point are left out; a curve that fewer than 10 rows or too few
        works have is left out whole.
    works, groups, folds, inner_folds, alphas, layers, resamples, seed, device, progress
        As in `mess_core.probing.discover`.

    Returns
    -------
    DataFrame
        One row per layer and curve, out of fold: ``r2, r2_low, r2_high`` (mean over points,
        95 %), ``pc1_r2`` (R² of the first principal component, found in the training part),
        ``pc1_share`` (variance that it explains there), ``n, works``.

    Raises
    ------
    ProbingError
        If shapes disagree.
    """
    import pandas as pd

    x = np.asarray(X)
    if x.ndim != 3 or len(x) != len(works):
        raise ProbingError(f"X must be [rows, layers, dim] with a work per row, not {x.shape}")
    numbers = list(range(x.shape[1])) if layers is None else [int(layer) for layer in layers]
    kept_together = np.asarray(works if groups is None else groups, dtype=str)
    penalties = np.sort(np.asarray(alphas, dtype=np.float64))
    place = resolve_device(device)
    rows: list[dict[str, Any]] = []
    for name, values in curves.items():
        y = np.asarray(values, dtype=np.float64)
        if y.ndim != 2 or len(y) != len(x):
            raise ProbingError(f"curve {name} must be [rows, points], not {list(y.shape)}")
        whole = np.isfinite(y).all(axis=1)
        names = kept_together[whole].tolist()
        if whole.sum() < 10 or len(set(names)) < max(folds, 3):
            continue
        y = y[:, varies(np.square(y[whole] - y[whole].mean(axis=0)).sum(axis=0), y[whole])][whole]
        if y.shape[1] == 0:
            continue
        splits = nested_splits(names, folds, inner_folds, seed=seed)
        bootstrap = GroupBootstrap.of(names, resamples=resamples, seed=seed)
        for position, layer in enumerate(numbers):
            guess = nested_predictions(
                x[whole, position], y, splits, penalties, targets=y.shape[1], device=place
            ).predicted
            draws = bootstrap.r2(y, guess).mean(axis=-1)
            low, high = np.nanpercentile(draws, [2.5, 97.5])
            main, share = first_component_r2(y, guess, splits)
            rows.append(
                {
                    "layer": layer,
                    "curve": name,
                    "r2": float(r2(y, guess).mean()),
                    "r2_low": float(low),
                    "r2_high": float(high),
                    "pc1_r2": main,
                    "pc1_share": share,
                    "n": len(y),
                    "works": len(set(np.asarray(works, dtype=str)[whole].tolist())),
                }
            )
            if progress is not None:
                progress(f"{name}: layer {layer}")
    return pd.DataFrame(rows, columns=_COLUMNS)


def first_component_r2(
    y: Floats, predicted: Floats, splits: Sequence[Split]
) -> tuple[float, float]:
    """R² of the first principal component out of fold, and the variance that it explains.

    Each fold's component is that of its training part, against whose mean the error is
    measured; errors are pooled over folds, so its sign does not matter.

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
        truth = (y[split.test] - mean) @ directions[0]
        guess = (predicted[split.test] - mean) @ directions[0]
        lost += float(np.square(truth - guess).sum())
        total += float(np.square(truth).sum())
    return 1 - lost / total if total > 0 else float("nan"), float(np.mean(shares))
