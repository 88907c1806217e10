"""Validation of targets against listeners' ratings (PercePiano).

Park et al., "PercePiano: a dataset for piano performance assessment", 2024: performances of short
passages, rated on 19 scales. Only differences between performances of the same passage count.
The raters' agreement with each other limits how well any target can agree with them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mess_core.targets.registry import targets
from mess_core.validation.correlation import grouped_spearman

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["EXPECTED", "rating_table"]

_SPLITS = 20

EXPECTED = (
    ("velocity_range", "dynamic_range"),
    ("velocity_std", "dynamic_range"),
    ("velocity_mean", "timbre_loudness"),
    ("velocity_mean", "energy"),
    ("pedal_fraction", "pedal_amount"),
    ("articulation_ratio", "articulation_length"),
    ("articulation_ratio_pedal", "articulation_length"),
    ("notes_per_second", "tempo"),
    ("rubato", "timing"),
    ("tempo_variability", "timing"),
)
"""Pairs of a target and the rating scale that it should follow."""


def rating_table(ratings: pd.DataFrame, answers: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """Correlate targets with the scales they should follow, within passages.

    Parameters
    ----------
    ratings, answers : DataFrame
        As returned by `read_ratings`.
    seed : int
        Random seed for the split halves.

    Returns
    -------
    DataFrame
        ``target, scale, within, standard_error, passages, across, ceiling``. The ceiling is the
        square root of the raters' reliability (split halves, Spearman-Brown): the highest
        correlation with the mean rating that a perfect measure could reach.
    """
    import pandas as pd

    values = pd.DataFrame([_values(path) for path in ratings["midi"]])
    ceilings = {scale: _ceiling(answers, scale, seed) for scale in {pair[1] for pair in EXPECTED}}
    rows = []
    for target, scale in EXPECTED:
        found = grouped_spearman(
            values[target].to_numpy(), ratings[scale].to_numpy(), ratings["passage"].tolist()
        )
        rows.append(
            {
                "target": target,
                "scale": scale,
                "within": found.within,
                "standard_error": found.standard_error,
                "passages": found.groups,
                "across": found.across,
                "ceiling": ceilings[scale],
            }
        )
    return pd.DataFrame(rows)


def _values(path: str) -> dict[str, float]:
    from mess_core.midi.reading import read_performance

    performance = read_performance(path)
    span = float(performance.onset_s[-1] - performance.onset_s[0])
    values = {one.name: float(one.function(performance)) for one in targets("midi", extra=True)}
    return values | {"notes_per_second": len(performance) / max(span, 1e-9)}


def _ceiling(answers: pd.DataFrame, scale: str, seed: int) -> float:
    """Return the square root of the mean within-passage reliability of mean ratings."""
    rng = np.random.default_rng(seed)
    known = answers.dropna(subset=[scale])
    key = [known["passage"], known["player"]]
    reliabilities = []
    for _ in range(_SPLITS):
        # Raters are split per performance, so that both halves rate every performance.
        order = known.assign(draw=rng.random(len(known))).groupby(key)["draw"].rank() % 2
        means = [
            known[order == side].groupby(["passage", "player"])[scale].mean() for side in (0, 1)
        ]
        both = means[0].to_frame("a").join(means[1].rename("b"), how="inner").reset_index()
        r = grouped_spearman(
            both["a"].to_numpy(), both["b"].to_numpy(), both["passage"].tolist()
        ).within
        reliabilities.append(2 * r / (1 + r))
    # NaN stays NaN: a ceiling that cannot be measured is not 0.
    return float(np.sqrt(np.maximum(0.0, np.mean(reliabilities))))
