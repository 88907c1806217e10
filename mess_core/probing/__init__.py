"""Find which layer encodes which musical property, by linear probing without leakage."""

from mess_core.probing.aspects import ASPECTS, Aspect, resolve_aspects
from mess_core.probing.curve_probing import discover_curves
from mess_core.probing.discovery import Discovery, ProbingSettings, discover
from mess_core.probing.folds import grouped_folds
from mess_core.probing.ridge import RidgePath

__all__ = [
    "ASPECTS",
    "Aspect",
    "Discovery",
    "ProbingSettings",
    "RidgePath",
    "discover",
    "discover_curves",
    "grouped_folds",
    "resolve_aspects",
]
