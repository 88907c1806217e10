"""Piano performances as note arrays, and the alignment of two or more of them."""

from mess_core.midi.alignment import Alignment, align
from mess_core.midi.comparison import CURVES, Comparison, carry, compare_performances
from mess_core.midi.performance import Performance
from mess_core.midi.reading import read_performance
from mess_core.midi.relative import AlignedPerformances, align_performances

__all__ = [
    "CURVES",
    "AlignedPerformances",
    "Alignment",
    "Comparison",
    "Performance",
    "align",
    "align_performances",
    "carry",
    "compare_performances",
    "read_performance",
]
