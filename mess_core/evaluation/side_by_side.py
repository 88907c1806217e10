"""Encoders side by side: compare the encoders of a data root on the same tracks."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from mess_core.evaluation.common_tracks import CommonTracks, common_tracks
from mess_core.evaluation.encoder_criteria import (
    costs,
    faithfulness,
    retrieval_differences,
    retrieval_scores,
)
from mess_core.probing.encoder_comparison import EncoderComparison, compare_encoders
from mess_core.probing.layer_probing import ProbingSettings
from mess_core.store.layout import Layout

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SideBySide", "compare_stored_encoders"]


@dataclass(frozen=True)
class SideBySide:
    """Encoders compared on the same tracks.

    Attributes
    ----------
    systems : list of str
        Encoders, their untrained counterparts, and the descriptors.
    encoders : list of str
        Names of the encoders, with settings that are not their defaults.
    tables : dict of str to DataFrame
        ``scores``, ``differences``, ``fused``, ``profiles`` as in `EncoderComparison`;
        ``faithfulness``, ``retrieval``, ``retrieval_differences`` and ``costs`` as in
        `mess_core.evaluation.encoder_criteria`. Those without data are empty.
    tracks, works : int
        Number of tracks compared, and of their works.
    made_from : dict of str to str
        Folder name of each encoder to the SHA-256 of its matrix of track vectors.
    notes : list of str
        What is left out or missing, and why.
    seconds : float
    """

    systems: list[str]
    encoders: list[str]
    tables: dict[str, pd.DataFrame]
    tracks: int
    works: int
    made_from: dict[str, str]
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def pivot(self, score: str = "r2") -> pd.DataFrame:
        """Return one score of all targets and systems, targets x systems."""
        scores = self.tables["scores"]
        table = scores.pivot(index="target", columns="system", values=score)
        return table.loc[list(dict.fromkeys(scores["target"])), self.systems]


def compare_stored_encoders(
    layout: Layout,
    encoders: Sequence[str] = (),
    *,
    settings: ProbingSettings | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> SideBySide:
    """Compare the encoders of a data root on the tracks that all of them have.

    Parameters
    ----------
    layout : Layout
    encoders : sequence of str
        Folder names, as `mess encoders` lists them; all that are stored by default.
    settings : ProbingSettings, optional
        The same folds, penalties and seed for all encoders.
    say : callable
        Called with progress messages.

    Returns
    -------
    SideBySide

    Raises
    ------
    StoreError, TooLittleError, ProbingError
        If fewer than two encoders are stored, an input is missing, or they have too few tracks or
        works in common.
    """
    began = time.perf_counter()
    common = common_tracks(layout, encoders)
    say(f"{len(common.rows)} tracks of {common.rows['work_id'].nunique()} works in common")
    probed = compare_encoders(
        common.systems,
        common.y,
        common.rows["work_id"].tolist(),
        groups=common.groups,
        fuse=list(common.encoders),
        settings=_usable(settings or ProbingSettings(), common),
        progress=say,
    )
    notes = [*common.notes, *probed.notes]
    tables = _tables(layout, common, probed, notes, say)
    return SideBySide(
        systems=list(common.systems),
        encoders=list(common.encoders),
        tables=tables,
        tracks=len(common.rows),
        works=int(common.rows["work_id"].nunique()),
        notes=list(dict.fromkeys(notes)),
        made_from={
            common.folders[name]: str(one["matrix_sha256"]) for name, one in common.encoders.items()
        },
        seconds=time.perf_counter() - began,
    )


def _usable(settings: ProbingSettings, common: CommonTracks) -> ProbingSettings:
    """Reduce the folds if there are fewer groups."""
    groups = len(set(common.groups))
    folds = max(2, min(settings.folds, groups))
    if folds < settings.folds:
        common.notes.append(
            f"{folds} folds instead of {settings.folds}: there are only {groups} groups"
        )
    return replace(settings, folds=folds)


def _tables(
    layout: Layout,
    common: CommonTracks,
    probed: EncoderComparison,
    notes: list[str],
    say: Callable[[str], None],
) -> dict[str, pd.DataFrame]:
    say("faithfulness of searches")
    faithful = faithfulness(layout, common, notes)
    say("retrieval and listeners")
    answers, retrieval = retrieval_scores(layout, common, notes)
    return {
        "scores": probed.scores,
        "differences": probed.differences,
        "fused": probed.fused,
        "profiles": probed.profiles,
        "faithfulness": faithful,
        "retrieval": retrieval,
        "retrieval_differences": retrieval_differences(answers),
        "costs": costs(layout, common),
    }
