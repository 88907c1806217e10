"""Compare encoders by what their layers predict: same tracks, folds and penalties for all.

An encoder's score is that of the layer that inner folds chose. Differences are tested by flipping
the signs of whole works' differences in squared error, with the false discovery rate over all
pairs and targets; their intervals come from a bootstrap over works that is paired.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mess_core.errors import ProbingError
from mess_core.probing.combination import Combined, combine_layers
from mess_core.probing.discovery import missingness_patterns
from mess_core.probing.fitting import Fitting, Job
from mess_core.probing.layer_probing import ProbingSettings, interval
from mess_core.probing.nested_cv import Nested, Split, nested_splits
from mess_core.probing.nested_cv import split_problem as why_not_split
from mess_core.probing.scores import GroupBootstrap, r2, varies, within_groups_r2
from mess_core.statistics import compare_paired, false_discovery_rate

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LEVEL", "EncoderComparison", "compare_encoders"]

LEVEL = 0.05
"""Largest q of a difference that is called significant."""

Floats = NDArray[np.float64]


@dataclass
class EncoderComparison:
    """Scores of several encoders on the same questions.

    Attributes
    ----------
    scores : DataFrame
        One row per system and target: ``system, target, n, works, layer, depth`` (0 = input of
        the first block, 1 = last layer), ``r2, r2_low, r2_high, r2_within, r2_within_low,
        r2_within_high``.
    differences : DataFrame
        One row per pair of systems and target: ``first, second, target, gain`` (R² of the first
        minus that of the second), ``gain_low, gain_high, p, q, significant`` (q at most 0.05, an
        interval without 0, and the better one's R² has an interval above 0).
    fused : DataFrame
        One row per pair of encoders and target: R² with the layers of both combined by weights
        from inner folds (``r2``), and its gain over the better one alone, combined in the same
        way (``gain, gain_low, gain_high``).
    profiles : DataFrame
        ``system, target, layer, depth, r2``: every layer.
    notes : list of str
        What was left out, and why.
    """

    scores: pd.DataFrame
    differences: pd.DataFrame
    fused: pd.DataFrame
    profiles: pd.DataFrame
    notes: list[str] = field(default_factory=list)

    def pivot(self, score: str = "r2") -> pd.DataFrame:
        """Return one column of `scores` as a DataFrame, targets x systems."""
        table = self.scores.pivot(index="target", columns="system", values=score)
        return table.loc[
            list(dict.fromkeys(self.scores["target"])), list(dict.fromkeys(self.scores["system"]))
        ]


def compare_encoders(
    systems: Mapping[str, NDArray[Any]],
    Y: pd.DataFrame,
    works: Sequence[str],
    *,
    groups: Sequence[str] | None = None,
    fuse: Sequence[str] = (),
    settings: ProbingSettings | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> EncoderComparison:
    """Compare systems on the same tracks, folds and penalties.

    Parameters
    ----------
    systems : mapping of str to ndarray, shape [tracks, layers, dim]
        Layers and dimensions may differ between systems; baselines have one layer.
    Y : DataFrame, one row per track, one column per target
        NaN marks a missing value.
    works : sequence of str, length tracks
    groups : sequence of str, length tracks, optional
        Coarser groups for folds and intervals; see `discover`.
    fuse : sequence of str
        Systems to combine in pairs.
    settings : ProbingSettings, optional
        ``permutations`` is not used.
    progress : callable
        Called with a line per system.

    Returns
    -------
    EncoderComparison

    Raises
    ------
    ProbingError
        If shapes disagree, or no target can be probed.

    Examples
    --------
    >>> import pandas as pd
    >>> rng = np.random.default_rng(0)
    >>> good, noise = rng.standard_normal((60, 2, 4)), rng.standard_normal((60, 3, 2))
    >>> Y = pd.DataFrame({"tempo": good[:, 1, 0] + 0.1 * rng.standard_normal(60)})
    >>> works = [f"work {number // 3}" for number in range(60)]
    >>> found = compare_encoders({"good": good, "noise": noise}, Y, works)
    >>> bool(found.differences["significant"].iloc[0])
    True
    """
    import pandas as pd

    settings = settings or ProbingSettings()
    named = np.asarray(works, dtype=str)
    grouped = named if groups is None else np.asarray(groups, dtype=str)
    for name, x in systems.items():
        if x.ndim != 3 or len(x) != len(Y):
            raise ProbingError(f"{name}: shape {list(x.shape)} does not fit {len(Y)} tracks")
    values = Y.to_numpy(dtype=np.float64)
    found = _Rows()
    notes = []
    for columns, present in missingness_patterns(np.where(np.isfinite(values), values, np.nan)):
        targets = [str(Y.columns[column]) for column in columns]
        y = values[np.ix_(np.flatnonzero(present), np.asarray(columns))]
        reason = why_not_split(
            grouped[present].tolist(), settings.folds, settings.inner_folds, seed=settings.seed
        )
        if reason is None and not varies(np.square(y - y.mean(axis=0)).sum(axis=0), y).all():
            reason = "it has the same value for all tracks"
        if reason is not None:
            notes += [f"{target}: left out, {reason}" for target in targets]
            continue
        part = _Part(y, targets, named[present].tolist(), grouped[present].tolist(), settings)
        part.compare({name: x[present] for name, x in systems.items()}, fuse, found, progress)
    if not found.scores:
        raise ProbingError("no target can be compared: " + "; ".join(notes))
    scores = pd.DataFrame(found.scores)
    return EncoderComparison(
        scores,
        _judged(pd.DataFrame(found.differences), scores),
        pd.DataFrame(found.fused),
        pd.DataFrame(found.profiles),
        notes,
    )


def _judged(differences: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """Add ``q`` and ``significant`` to the differences.

    The better one must predict the target at all: of two encoders that do not, one overfits more
    in all works, and flipping signs alone would call that a difference
    (``benchmarks/null_calibration.py`` counts both).
    """
    if differences.empty:
        return differences
    low = scores.set_index(["system", "target"])["r2_low"]
    better = differences["first"].where(differences["gain"] > 0, differences["second"])
    pairs = list(zip(better, differences["target"], strict=True))
    predicts = low.loc[pairs].to_numpy() > 0
    q = false_discovery_rate(differences["p"].to_numpy())
    apart = (differences["gain_low"] > 0) | (differences["gain_high"] < 0)
    return differences.assign(q=q, significant=apart & (q <= LEVEL) & predicts)


@dataclass
class _Rows:
    """Rows of the tables of `EncoderComparison`."""

    scores: list[dict[str, Any]] = field(default_factory=list)
    differences: list[dict[str, Any]] = field(default_factory=list)
    fused: list[dict[str, Any]] = field(default_factory=list)
    profiles: list[dict[str, Any]] = field(default_factory=list)


class _Part:
    """Targets that are present in the same tracks, with the folds that all systems share."""

    def __init__(
        self,
        y: Floats,
        targets: list[str],
        works: list[str],
        groups: list[str],
        settings: ProbingSettings,
    ) -> None:
        self.y, self.targets, self.works, self.groups = y, targets, works, groups
        self.settings = settings
        self.splits: list[Split] = nested_splits(
            groups, settings.folds, settings.inner_folds, seed=settings.seed
        )
        self.bootstrap = GroupBootstrap.of(groups, resamples=settings.resamples, seed=settings.seed)

    def compare(
        self,
        systems: Mapping[str, NDArray[Any]],
        fuse: Sequence[str],
        rows: _Rows,
        progress: Callable[[str], None],
    ) -> None:
        """Add the rows of all systems, pairs and fusions."""
        layers: dict[str, list[Nested]] = {}
        combined: dict[str, Combined] = {}
        for name, x in systems.items():
            layers[name] = self._nested(name, x)
            combined[name] = self._combine(layers[name])
            progress(f"{name}: {x.shape[1]} layers, {len(self.targets)} targets")
            self._score(name, layers[name], combined[name], rows)
        for first, second in combinations(systems, 2):
            self._difference(first, second, combined, rows)
        for first, second in combinations([name for name in systems if name in fuse], 2):
            both = self._combine([*layers[first], *layers[second]])
            self._fused(first, second, both.weighted, combined, rows)

    def _nested(self, name: str, x: NDArray[Any]) -> list[Nested]:
        alphas = np.asarray(self.settings.alphas)
        fitting = Fitting(self.y, self.splits, alphas, self.settings.device)
        jobs = [Job(f"{name}, layer {layer}", x[:, layer]) for layer in range(x.shape[1])]
        return list(fitting.run(jobs))

    def _combine(self, layers: list[Nested]) -> Combined:
        return combine_layers(layers, self.y, self.splits, len(self.targets))

    def _score(self, name: str, layers: list[Nested], combined: Combined, rows: _Rows) -> None:
        y, last = self.y, max(1, len(layers) - 1)
        draws = self.bootstrap.r2(y, combined.chosen)
        layer = combined.share.argmax(axis=0)
        columns: dict[str, Any] = {
            "layer": layer,
            "depth": layer / last,
            "r2": r2(y, combined.chosen),
            **interval("r2", draws),
            "r2_within": within_groups_r2(y, combined.chosen, self.works)[0],
            **interval("r2_within", self.bootstrap.within_r2(y, combined.chosen, self.works)),
        }
        same = {"system": name, "n": len(y), "works": len(set(self.works))}
        rows.scores += self._rows(same, columns)
        for number, one in enumerate(layers):
            at = {"system": name, "layer": number, "depth": number / last}
            rows.profiles += self._rows(at, {"r2": r2(y, one.predicted)})

    def _difference(
        self, first: str, second: str, combined: Mapping[str, Combined], rows: _Rows
    ) -> None:
        y, a, b = self.y, combined[first].chosen, combined[second].chosen
        errors = np.square(y - b) - np.square(y - a)  # above 0 where the first is nearer
        tests = [
            compare_paired(column, np.zeros(len(y)), self.groups, seed=self.settings.seed).p
            for column in errors.T
        ]
        columns: dict[str, Any] = {
            "gain": r2(y, a) - r2(y, b),
            **interval("gain", self.bootstrap.r2(y, a) - self.bootstrap.r2(y, b)),
            "p": np.asarray(tests),
        }
        rows.differences += self._rows({"first": first, "second": second}, columns)

    def _fused(
        self,
        first: str,
        second: str,
        both: Floats,
        combined: Mapping[str, Combined],
        rows: _Rows,
    ) -> None:
        y = self.y
        alone = np.stack([combined[name].weighted for name in (first, second)])
        better = np.stack([r2(y, one) for one in alone]).argmax(axis=0)
        best = np.take_along_axis(alone, better[None, None, :], axis=0)[0]
        columns: dict[str, Any] = {
            "r2": r2(y, both),
            "gain": r2(y, both) - r2(y, best),
            **interval("gain", self.bootstrap.r2(y, both) - self.bootstrap.r2(y, best)),
        }
        rows.fused += self._rows({"first": first, "second": second}, columns)

    def _rows(self, same: dict[str, Any], columns: dict[str, Any]) -> list[dict[str, Any]]:
        return [
            {**same, "target": target, **{name: one[at].item() for name, one in columns.items()}}
            for at, target in enumerate(self.targets)
        ]
