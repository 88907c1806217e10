"""The registry of proxy targets and curves.

A target is a function of one analysed input, decorated with `target` in any module of this
package. Tables, probing and documentation read the registry and need no change.
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

TARGETS_VERSION = "6"
"""Version of all definitions together; stored with every table."""

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
        Whether it is also meaningful for a 5 s segment.
    log2 : bool
        Whether probing and plots use its logarithm.
    extra : bool
        Whether it is an additional column next to the 22 published targets.

    Examples
    --------
    >>> from mess_core.targets import targets
    >>> tempo = next(one for one in targets("audio") if one.name == "tempo")
    >>> tempo.dimension, tempo.unit, tempo.on_segments
    ('rhythm', 'BPM', False)
    >>> tempo.description
    'Mode of the time-averaged autocorrelation tempogram, with a log-normal prior.'
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
        Whether it has a time axis.

    Examples
    --------
    >>> from mess_core.targets.registry import curves
    >>> [curve.name for curve in curves("midi", timed=True)]
    ['performed_tempo']
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


DIMENSIONS = (
    "timbre", "rhythm", "dynamics", "harmony", "articulation", "phrasing", "expression",
)  # fmt: skip
"""Musical dimensions, in the order of the published list."""

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
    """Register a function as the definition of a target; see `Target` for the fields.

    Raises
    ------
    ValueError
        If the dimension is none of `DIMENSIONS`.
    """
    if dimension not in DIMENSIONS:
        raise ValueError(f"dimension {dimension!r} is none of {', '.join(DIMENSIONS)}")

    def register(function: Callable[[Any], float]) -> Callable[[Any], float]:
        _TARGETS[name] = Target(name, dimension, unit, source, function, on_segments, log2, extra)
        return function

    return register


def targets(source: Source | None = None, *, extra: bool = False) -> list[Target]:
    """Return the registered targets, grouped by dimension in the order of the published list.

    Parameters
    ----------
    source : {"audio", "midi", "work"}, optional
        Return only targets of this input.
    extra : bool
        Whether to include the additional columns.

    Returns
    -------
    list of Target

    Examples
    --------
    >>> from mess_core.targets import targets
    >>> len(targets())
    22
    >>> [target.name for target in targets("midi")][:3]
    ['velocity_mean', 'velocity_std', 'velocity_range']
    """
    _import_all()
    chosen = [
        one
        for one in _TARGETS.values()
        if (source is None or one.source == source) and (extra or not one.extra)
    ]
    return sorted(chosen, key=lambda one: (one.extra, DIMENSIONS.index(one.dimension)))


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
    """Return the registered curves in order of registration, optionally of one input or kind."""
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
