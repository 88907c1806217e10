"""A head taught by the notes: ridge regression from vectors to descriptors of expression.

Triplets say only which of two clips is nearer; the descriptors of the notes say how each is played.
The regression sees differences from the mean of a passage, in vectors and in descriptors, so that
it cannot use what is played. Clips are then compared by their distance in the predicted
descriptors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mess_core.errors import MessError
from mess_core.ranking.triplets import expression_unit
from mess_core.search.served_heads import Head

__all__ = ["fit_regression"]

_ALPHAS = tuple(float(alpha) for alpha in np.logspace(1, 7, 13))
_FOLDS = 5
_FEWEST_WORKS = 3
_SCALE_FLOOR = 1e-4
_LIFT = 0.05

Floats = NDArray[np.float64]


def fit_regression(
    vectors: NDArray[np.floating[Any]],
    values: Floats,
    passages: Sequence[str],
    works: Sequence[str],
    *,
    made_from: Mapping[str, Any] | None = None,
) -> tuple[Head, float]:
    """Fit the head on clips of several performances of each passage.

    Parameters
    ----------
    vectors : ndarray, shape [clips, layers, dim]
    values : ndarray, float64, shape [clips, descriptors]
        Expression descriptors of the notes; NaN where undefined.
    passages, works : sequence of str, length clips
        The penalty is chosen by cross-validation over works.
    made_from : mapping, optional
        Provenance to record in the head.

    Returns
    -------
    head : Head
        Of kind "regression".
    score : float
        R² of the descriptors' differences within passages, cross-validated over works.

    Raises
    ------
    MessError
        If there are fewer than three works with a passage of several performances.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> vectors = rng.standard_normal((60, 2, 5))
    >>> values = vectors[:, 1, :2] + 0.1 * rng.standard_normal((60, 2))
    >>> passages = [f"p{number // 4}" for number in range(60)]
    >>> head, score = fit_regression(vectors, values, passages, passages)
    >>> head.kind, score > 0.9
    ('regression', True)
    """
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import GridSearchCV, GroupKFold

    names = np.asarray(passages, dtype=str)
    _, inverse, counts = np.unique(names, return_inverse=True, return_counts=True)
    several = counts[inverse] > 1
    groups = np.asarray(works, dtype=str)[several]
    present = len(np.unique(groups))
    if present < _FEWEST_WORKS:
        raise MessError(
            f"only {present} works have a passage of several performances, {_FEWEST_WORKS} needed",
            remedy="Add other performances of the same works",
        )
    mean = vectors.mean(axis=0)
    scale = np.maximum(vectors.std(axis=0), _SCALE_FLOOR)
    flat = ((vectors - mean) / scale).reshape(len(vectors), -1)
    x = _within(np.asarray(flat, dtype=np.float64), names)[several]
    y = _within(values / expression_unit(values, passages), names)[several]
    y = np.where(np.isfinite(y), y, 0.0)
    search = GridSearchCV(
        Ridge(fit_intercept=False),
        {"alpha": list(_ALPHAS)},
        cv=GroupKFold(min(_FOLDS, present)),
        scoring="r2",
    )
    search.fit(x, y, groups=groups)
    arrays = {
        "mean": mean,
        "scale": scale,
        "first": search.best_estimator_.coef_.reshape(y.shape[1], -1) * _LIFT,
    }
    head = Head(
        "regression",
        {name: np.asarray(one, dtype=np.float32) for name, one in arrays.items()},
        dict(made_from or {}),
    )
    return head, float(search.best_score_)


def _within(values: Floats, names: NDArray[np.str_]) -> Floats:
    """Subtract the mean of each passage, ignoring missing values."""
    import pandas as pd

    table = pd.DataFrame(values)
    centred: Floats = (table - table.groupby(names).transform("mean")).to_numpy(dtype=np.float64)
    return centred
