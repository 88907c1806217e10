"""Nested cross-validation of several sets of features, in several processes where that pays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mess_core.probing.nested_cv import Nested, Split, nested_predictions
from mess_core.probing.permuted_targets import PermutedTargets
from mess_core.probing.scores import r2
from mess_core.processes import in_processes

__all__ = ["Fitting", "Job"]

_MANY_ROWS = 300  # with fewer, starting processes takes longer than they save

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Job:
    """Features to predict targets from.

    Attributes
    ----------
    name : str
    features : ndarray, shape [rows, features]
    tested : bool
        Whether to predict controls and permuted targets, too.
    """

    name: str
    features: NDArray[Any]
    tested: bool = False


@dataclass(frozen=True)
class Fitting:
    """What all jobs have in common.

    Attributes
    ----------
    y : ndarray, float64, shape [rows, targets]
    splits : list of Split
    alphas : ndarray, float64, shape [alphas], ascending
    device : str
    controls : ndarray, float64, shape [rows, controls], optional
        Columns to predict after the targets in jobs that are tested.
    orders : ndarray, int64, shape [permutations, rows], optional
        Permutations to score the targets of such jobs in.

    Examples
    --------
    >>> import numpy as np
    >>> from mess_core.probing.nested_cv import nested_splits
    >>> rng = np.random.default_rng(0)
    >>> layers = rng.standard_normal((60, 2, 4))
    >>> y = layers[:, 0, :1] + 0.1 * rng.standard_normal((60, 1))
    >>> splits = nested_splits([f"work {row // 3}" for row in range(60)], 5, 5, seed=0)
    >>> fitting = Fitting(y, splits, np.array([0.1, 10.0]))
    >>> jobs = [Job(f"layer {one}", layers[:, one]) for one in range(2)]
    >>> [bool(r2(y, one.predicted)[0] > 0.5) for one in fitting.run(jobs)]
    [True, False]
    """

    y: Floats
    splits: list[Split]
    alphas: Floats
    device: str = "cpu"
    controls: Floats | None = None
    orders: NDArray[np.int64] | None = None

    def run(self, jobs: Sequence[Job]) -> Iterator[Nested]:
        """Yield the result of each job, in order; it does not depend on the processes."""
        alone = self.device != "cpu" or len(self.y) < _MANY_ROWS
        return in_processes(self.nested, jobs, workers=1 if alone else None)

    def nested(self, job: Job) -> Nested:
        """Return the result of one job."""
        columns, permuted = self.y, None
        if job.tested and self.controls is not None:
            columns = np.concatenate([self.y, self.controls], axis=1)
        if job.tested and self.orders is not None and len(self.orders):
            permuted = PermutedTargets(self.y, self.orders, self.alphas)
        found = nested_predictions(
            job.features,
            columns,
            self.splits,
            self.alphas,
            targets=self.y.shape[1],
            device=self.device,
            permuted=permuted,
        )
        if permuted is None or found.permuted_r2 is None:
            return found
        # In float32 a permutation that changes nothing would score a little more or less.
        observed = r2(self.y, found.predicted[:, : self.y.shape[1]])
        scores = np.where(permuted.same(), observed, found.permuted_r2)
        return replace(found, permuted_r2=scores)
