"""Performances as note arrays, and how two of them line up."""

from mess_core.midi.alignment import Alignment, align
from mess_core.midi.performance import Performance, read_performance

__all__ = ["Alignment", "Performance", "align", "read_performance"]
