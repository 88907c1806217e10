"""The one list of proxy targets.

A target is a function of one analysed input, decorated with `target` in any module of
this package; tables, probing and documentation read the list and need no change.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["TARGETS_VERSION", "Curve", "Target", "curve", "curves", "target", "targets"]

TARGETS_VERSION = "4"
"""Version of all definitions together; stored beside every table."""

Source = Literal["audio", "midi", "work"]


@dataclass(frozen=True)
class Target:
    """A musical property as one number per track.

    Attributes
    ----------
    name, dimension, unit : str
    source : {"audio", "midi", "work"}
        What `function` takes: an `AudioAnalysis`, a `Performance`, or an
        `AlignedPerformance`.
    function : callable
        Returns a float; NaN where the property is not defined.
    on_segments : bool
        Whether it also makes sense for a 5 s segment.
    log2 : bool
        Whether probing and plots take its logarithm.
    extra : bool
        An additional column beside the 22 published names.
    """

    name: str
    dimension: str
    unit: str
    source: Source
    function: Callable[[Any], float]
    on_segments: bool
    log2: bool
    extra: bool

    @property
    def description(self) -> str:
        """First paragraph of the function's docstring."""
        return _first_paragraph(self.function)


@dataclass(frozen=True)
class Curve:
    """A musical property as a sequence of numbers.

    Attributes
    ----------
    name, unit : str
    source : {"audio", "midi"}
        What `function` takes, with the times in seconds of the frames, float64 [frames].
    function : callable
        Returns float64 [frames], NaN where not defined; or, if not `timed`, a vector that
        describes the whole track.
    timed : bool
    """

    name: str
    unit: str
    source: Source
    function: Callable[[Any, NDArray[np.float64]], NDArray[np.float64]]
    timed: bool

    @property
    def description(self) -> str:
        """First paragraph of the function's docstring."""
        return _first_paragraph(self.function)


_TARGETS: dict[str, Target] = {}
_CURVES: dict[str, Curve] = {}


def target(
    name: str,
    *,
    dimension: str,
    unit: str,
    source: Source,
    on_segments: bool = True,
    log2: bool = False,
    extra: bool = False,
) -> Callable[[Callable[[Any], float]], Callable[[Any], float]]:
    """Register a function as the definition of a target; see `Target` for the fields."""

    def register(function: Callable[[Any], float]) -> Callable[[Any], float]:
        _TARGETS[name] = Target(name, dimension, unit, source, function, on_segments, log2, extra)
        return function

    return register


def targets(source: Source | None = None, *, extra: bool = False) -> list[Target]:
    """Registered targets, grouped by dimension in the order of the published list.

    Parameters
    ----------
    source : {"audio", "midi", "work"}, optional
        Only those of one input.
    extra : bool
        Whether to include the additional columns.
    """
    _import_all()
    order = ["timbre", "rhythm", "dynamics", "harmony", "articulation", "phrasing", "expression"]
    chosen = [
        one
        for one in _TARGETS.values()
        if (source is None or one.source == source) and (extra or not one.extra)
    ]
    return sorted(chosen, key=lambda one: (one.extra, order.index(one.dimension)))


CurveFunction = Callable[[Any, NDArray[np.float64]], NDArray[np.float64]]


def curve(
    name: str, *, unit: str, source: Source, timed: bool = True
) -> Callable[[CurveFunction], CurveFunction]:
    """Register a function as the definition of a curve; see `Curve` for the fields."""

    def register(function: CurveFunction) -> CurveFunction:
        _CURVES[name] = Curve(name, unit, source, function, timed)
        return function

    return register


def curves(source: Source | None = None, *, timed: bool | None = None) -> list[Curve]:
    """Registered curves in order of registration, optionally of one input or kind."""
    _import_all()
    return [
        one
        for one in _CURVES.values()
        if source in (None, one.source) and timed in (None, one.timed)
    ]


@functools.cache
def _import_all() -> None:
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        importlib.import_module(f"{__package__}.{module.name}")


def _first_paragraph(function: Callable[..., Any]) -> str:
    return " ".join((function.__doc__ or "").strip().split("\n\n")[0].split())
