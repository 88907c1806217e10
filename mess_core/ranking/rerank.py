"""A reranker of the first K hits: pairwise logistic regression over interaction features.

Learns from (query, better, worse) which differences between query and candidate matter
(Joachims, 2002, with a logistic instead of a hinge loss). It can only order what the first
ranking found, so it is for where recall at K is high.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mess_core.errors import MessError

__all__ = ["Reranker", "interactions"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def interactions(
    vectors: NDArray[np.float32], descriptors: Floats, first: Ints, second: Ints
) -> Floats:
    """What a pair of clips has in common, and not.

    Parameters
    ----------
    vectors : ndarray, float32, shape [clips, layers, dim]
    descriptors : ndarray, float64, shape [clips, descriptors]
        Standardised; NaN counts as no difference.
    first, second : ndarray, int64, shape [pairs]

    Returns
    -------
    ndarray, float64, shape [pairs, layers + descriptors]
        Cosine per layer, then minus the absolute difference per descriptor.
    """
    norm = np.linalg.norm(vectors, axis=2, keepdims=True)
    unit = vectors / np.maximum(norm, 1e-12)
    cosine = np.einsum("nld,nld->nl", unit[first], unit[second])
    apart = np.abs(descriptors[first] - descriptors[second])
    return np.hstack([cosine, -np.where(np.isfinite(apart), apart, 0.0)])


@dataclass
class Reranker:
    """Scores of pairs from their interaction features; higher is nearer."""

    c: float = 0.1
    _model: Any = None

    def fit(self, better: Floats, worse: Floats) -> Reranker:
        """Learn from features of (query, better) and (query, worse) pairs, [pairs, features].

        Raises
        ------
        MessError
            If there is no pair.
        """
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        if len(better) == 0 or better.shape != worse.shape:
            raise MessError("a reranker needs pairs of a better and a worse candidate")
        difference = better - worse
        both = np.concatenate([difference, -difference])  # each pair both ways: no intercept
        label = np.repeat([1, 0], len(difference))
        self._model = make_pipeline(
            StandardScaler(with_mean=False),
            LogisticRegression(C=self.c, fit_intercept=False, max_iter=1000),
        ).fit(both, label)
        return self

    def score(self, features: Floats) -> Floats:
        """Score of each pair, [pairs]."""
        if self._model is None:
            raise MessError("the reranker was not fitted", remedy="Call fit first")
        scores: Floats = self._model.decision_function(features)
        return scores
