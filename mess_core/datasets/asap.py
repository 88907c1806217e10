"""ASAP: performances of pieces with human-checked beats.

Foscarin et al., "ASAP: a dataset of aligned scores and performances for piano
transcription", ISMIR 2020; CC BY-NC-SA 4.0. ``performances.csv`` names the MIDI file and the
annotation file of each performance. ASAP is benchmark data: it is read here, not scanned into
a library.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mess_core.errors import DatasetError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["read_asap", "read_beats"]


def read_asap(folder: str | PathLike[str]) -> pd.DataFrame:
    """Return the performances of an ASAP folder.

    Returns
    -------
    DataFrame
        One row per performance: ``piece, player`` and the paths ``midi, beats``.

    Raises
    ------
    DatasetError
        If ``performances.csv`` is missing or lacks a column.
    """
    import pandas as pd

    root = Path(folder)
    try:
        table = pd.read_csv(root / "performances.csv")
        return pd.DataFrame(
            {
                "piece": table["composer"] + "/" + table["title"],
                "player": table["performer"],
                "midi": [str(root / name) for name in table["midi_performance"]],
                "beats": [str(root / name) for name in table["performance_annotations"]],
            }
        )
    except (OSError, KeyError, ValueError) as error:
        raise DatasetError(
            f"is not an ASAP folder with performances.csv ({error})", path=str(folder)
        ) from error


def read_beats(path: str) -> NDArray[np.float64]:
    """Return the beat times (s) of an annotation file, its first tab-separated column."""
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    return np.asarray([float(line.split("\t")[0]) for line in lines if line.strip()])
