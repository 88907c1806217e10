"""Figures for papers and notebooks (matplotlib): the same pictures as on the page.

Every function draws into given axes, or into a new figure, and returns the axes, so that a figure
can be composed, restyled and saved as usual: ``tempo_curves(found).figure.savefig("a.pdf")``.
"""

from mess_core.plots.hit_similarity import aspect_bars
from mess_core.plots.layer_scores import layer_profile
from mess_core.plots.performances import comparison_figure, performance_worm, tempo_curves
from mess_core.plots.works import most_performed_figure

__all__ = [
    "aspect_bars",
    "comparison_figure",
    "layer_profile",
    "most_performed_figure",
    "performance_worm",
    "tempo_curves",
]
