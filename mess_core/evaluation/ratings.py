"""Targets against what people hear in a performance (PercePiano).

Park et al., "PercePiano: a dataset for piano performance assessment", 2024: short
performances of passages, rated on 19 scales. Only differences between performances of one
passage count, and no target can agree with the raters more than they do with each other.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mess_core.errors import DatasetError
from mess_core.evaluation.correlation import grouped_spearman
from mess_core.targets.tracks import targets_from_midi

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["DEADPAN", "EXPECTED", "SCALES", "rating_table", "read_ratings"]

_SPLITS = 20

SCALES = (
    "timing", "articulation_length", "articulation_touch", "pedal_amount", "pedal_cleanness",
    "timbre_variety", "timbre_depth", "timbre_brightness", "timbre_loudness",
    "dynamics_sophistication", "dynamic_range", "tempo", "space", "balance", "drama", "valence",
    "energy", "honesty", "interpretation",
)  # fmt: skip
"""In the order of the questions that raters answered."""

DEADPAN = ("Score", "Score2")
"""Players that are renders of the score."""

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
"""Pairs of target and the scale that it should follow."""


def read_ratings(folder: str | PathLike[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Mean ratings and single answers of a PercePiano folder.

    Returns
    -------
    ratings : DataFrame
        ``passage, player, midi`` (path) and a column per scale, 0 to 1.
    answers : DataFrame
        ``passage, player, user`` and a column per scale, 1 to 7; NaN where not answered. Rows
        that repeat another one exactly are left out: of two halves of the answers, each
        would hold the same one.

    Raises
    ------
    DatasetError
        If a file is missing or its columns are not the published ones.
    """
    import pandas as pd

    root = Path(folder)
    try:
        ratings = pd.read_csv(root / "ratings.csv")
        raters = pd.read_csv(root / "raters.csv")
        questions = [name for name in raters.columns if name.startswith("Question")][: len(SCALES)]
        ratings = ratings[["passage", "player", "midi", *SCALES]]
        answers = raters[["user", "filename", *questions]].drop_duplicates()
        answers = answers.rename(columns=dict(zip(questions, SCALES, strict=True)))
    except (OSError, KeyError, ValueError) as error:
        raise DatasetError(
            f"is not a PercePiano folder ({error})",
            path=str(folder),
            remedy="Give the folder that holds ratings.csv, raters.csv and the MIDI files",
        ) from error
    by_name = {Path(path).stem: index for index, path in enumerate(ratings["midi"])}
    place = answers["filename"].map(lambda name: by_name.get(Path(name).stem, -1))
    answers = answers[place >= 0]
    rows = ratings.iloc[place[place >= 0]]
    answers = answers.assign(passage=rows["passage"].to_numpy(), player=rows["player"].to_numpy())
    return ratings.assign(midi=[str(root / path) for path in ratings["midi"]]), answers


def rating_table(ratings: pd.DataFrame, answers: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """Within-passage rank correlation of targets with the scales they should follow.

    Returns
    -------
    DataFrame
        ``target, scale, within, standard_error, passages, across, ceiling``: the ceiling is
        the square root of the raters' reliability (split halves, Spearman-Brown), the most
        that a perfect measure could reach with their mean.
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
    from mess_core.midi.performance import read_performance

    performance = read_performance(path)
    span = float(performance.onset_s[-1] - performance.onset_s[0])
    return targets_from_midi(path) | {"notes_per_second": len(performance) / max(span, 1e-9)}


def _ceiling(answers: pd.DataFrame, scale: str, seed: int) -> float:
    """Root of the mean within-passage reliability of the raters' mean."""
    rng = np.random.default_rng(seed)
    known = answers.dropna(subset=[scale])
    key = [known["passage"], known["player"]]
    reliabilities = []
    for _ in range(_SPLITS):
        # Halves are drawn within each performance, so that both have raters of it.
        order = known.assign(draw=rng.random(len(known))).groupby(key)["draw"].rank() % 2
        means = [
            known[order == side].groupby(["passage", "player"])[scale].mean() for side in (0, 1)
        ]
        both = means[0].to_frame("a").join(means[1].rename("b"), how="inner").reset_index()
        r = grouped_spearman(
            both["a"].to_numpy(), both["b"].to_numpy(), both["passage"].tolist()
        ).within
        reliabilities.append(2 * r / (1 + r))
    reliability = max(0.0, float(np.mean(reliabilities)))
    return float(np.sqrt(reliability))
