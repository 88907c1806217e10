"""A head taught by the notes: ridge regression from vectors to descriptors of expression.

Triplets say only which of two clips is nearer; the descriptors of the notes say how each is played.
The regression sees differences from the mean of a passage, in vectors and in descriptors, so that
it cannot use what is played. Clips are then compared by their distance in the predicted
descriptors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mess_core.errors import TooLittleError
from mess_core.ranking.triplets import expression_unit, within_passages
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
    TooLittleError
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
    from sklearn.metrics import r2_score
    from sklearn.model_selection import GroupKFold

    names = np.asarray(passages, dtype=str)
    _, inverse, counts = np.unique(names, return_inverse=True, return_counts=True)
    several = counts[inverse] > 1
    groups = np.asarray(works, dtype=str)[several]
    present = len(np.unique(groups))
    if present < _FEWEST_WORKS:
        raise TooLittleError(
            f"only {present} works have a passage of several performances, {_FEWEST_WORKS} needed",
            remedy="Add other performances of the same works",
        )
    mean = vectors.mean(axis=0)
    scale = np.maximum(vectors.std(axis=0), _SCALE_FLOOR)
    flat = ((vectors - mean) / scale).reshape(len(vectors), -1)
    x = within_passages(np.asarray(flat, dtype=np.float64), names)[several]
    y = within_passages(values / expression_unit(values, passages), names)[several]
    y = np.where(np.isfinite(y), y, 0.0)
    scores = np.zeros(len(_ALPHAS))
    folds = GroupKFold(min(_FOLDS, present))
    for train, test in folds.split(x, y, groups):
        for number, weights in enumerate(_ridge(x[train], y[train], _ALPHAS)):
            scores[number] += r2_score(y[test], x[test] @ weights) / folds.get_n_splits()
    best = int(scores.argmax())
    (chosen,) = _ridge(x, y, _ALPHAS[best : best + 1])
    arrays = {
        "mean": mean,
        "scale": scale,
        "first": chosen.T * _LIFT,
    }
    head = Head(
        "regression",
        {name: np.asarray(one, dtype=np.float32) for name, one in arrays.items()},
        dict(made_from or {}),
    )
    return head, float(scores[best])


def _ridge(x: Floats, y: Floats, alphas: Sequence[float]) -> Iterator[Floats]:
    """Yield the weights of ridge regression without intercept, [columns, targets], per penalty.

    One decomposition serves all penalties: of the rows' products if there are fewer rows than
    columns, else of the columns'.
    """
    if len(x) <= x.shape[1]:
        values, rotation = np.linalg.eigh(x @ x.T)
        back, projected = x.T @ rotation, rotation.T @ y
    else:
        values, back = np.linalg.eigh(x.T @ x)
        projected = back.T @ (x.T @ y)
    for alpha in alphas:
        yield back @ (projected / (values + alpha)[:, None])
