"""A reranker of the first K hits: pairwise logistic regression on interaction features.

It learns from triplets (query, better, worse) which differences between query and candidate matter
(Joachims, 2002, with a logistic instead of a hinge loss). It can only reorder the hits of the
first ranking, so it helps only if recall at K is high.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mess_core.errors import MessError, TooLittleError

__all__ = ["Reranker", "interactions"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def interactions(
    vectors: NDArray[np.float32], descriptors: Floats, first: Ints, second: Ints
) -> Floats:
    """Compute interaction features of pairs of clips.

    Parameters
    ----------
    vectors : ndarray, float32, shape [clips, layers, dim]
    descriptors : ndarray, float64, shape [clips, descriptors]
        Standardised; NaN counts as no difference.
    first, second : ndarray, int64, shape [pairs]
        Row numbers of the two clips of each pair.

    Returns
    -------
    ndarray, float64, shape [pairs, layers + descriptors]
        Cosine similarity per layer, then minus the absolute difference per descriptor.
    """
    norm = np.linalg.norm(vectors, axis=2, keepdims=True)
    unit = vectors / np.maximum(norm, 1e-12)
    cosine = np.einsum("nld,nld->nl", unit[first], unit[second])
    apart = np.abs(descriptors[first] - descriptors[second])
    return np.hstack([cosine, -np.where(np.isfinite(apart), apart, 0.0)])


@dataclass
class Reranker:
    """Pairwise logistic regression that scores pairs by their interaction features.

    Attributes
    ----------
    c : float
        Inverse strength of the regularisation.
    """

    c: float = 0.1
    _model: Any = None

    def fit(self, better: Floats, worse: Floats) -> Reranker:
        """Fit to pairs of a query with a better and with a worse candidate.

        Parameters
        ----------
        better, worse : ndarray, float64, shape [pairs, features]
            Interaction features of (query, better) and (query, worse).

        Raises
        ------
        MessError
            If there are no pairs, or the shapes differ.
        """
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        if len(better) == 0 or better.shape != worse.shape:
            raise TooLittleError(
                "a reranker needs as many better as worse candidates, and at least one of each"
            )
        difference = better - worse
        both = np.concatenate(
            [difference, -difference]
        )  # both orders of each pair, so no intercept
        label = np.repeat([1, 0], len(difference))
        self._model = make_pipeline(
            StandardScaler(with_mean=False),
            LogisticRegression(C=self.c, fit_intercept=False, max_iter=1000),
        ).fit(both, label)
        return self

    def score(self, features: Floats) -> Floats:
        """Return the score of each pair; higher is nearer.

        Parameters
        ----------
        features : ndarray, float64, shape [pairs, features]

        Returns
        -------
        ndarray, float64, shape [pairs]

        Raises
        ------
        MessError
            If the reranker has not been fitted.
        """
        if self._model is None:
            raise MessError("the reranker has not been fitted", remedy="Call fit first")
        scores: Floats = self._model.decision_function(features)
        return scores
