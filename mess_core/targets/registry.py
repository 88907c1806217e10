"""The one list of proxy targets.

A target is a function of one analysed input, decorated with `target` in any module of
this package; tables, probing and documentation read the list and need no change.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["TARGETS_VERSION", "Target", "target", "targets"]

TARGETS_VERSION = "2"
"""Version of all definitions together; stored beside every table."""

Source = Literal["audio", "midi"]


@dataclass(frozen=True)
class Target:
    """A musical property as one number per track.

    Attributes
    ----------
    name, dimension, unit : str
    source : {"audio", "midi"}
        What `function` takes: an `AudioAnalysis` or a `Performance`.
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
        return " ".join((self.function.__doc__ or "").strip().split("\n\n")[0].split())


_TARGETS: dict[str, Target] = {}


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
    source : {"audio", "midi"}, optional
        Only those of one input.
    extra : bool
        Whether to include the additional columns.
    """
    import mess_core.targets as package

    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    order = ["timbre", "rhythm", "dynamics", "harmony", "articulation", "phrasing", "expression"]
    chosen = [
        one
        for one in _TARGETS.values()
        if (source is None or one.source == source) and (extra or not one.extra)
    ]
    return sorted(chosen, key=lambda one: (one.extra, order.index(one.dimension)))
