"""Prepare and store the benchmark data of a data root: splits, passages and triplets."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from mess_core.errors import DatasetError, TooLittleError
from mess_core.evaluation.data import single_factor_clips
from mess_core.evaluation.leaks import assert_no_leaks, split_leaks
from mess_core.evaluation.single_factor import FACTORS, single_factor_triplets
from mess_core.evaluation.splits import SplitBy, make_split, save_split
from mess_core.judgements.plan import parse_triplets
from mess_core.judgements.sampling import matching_values, sample_triplets
from mess_core.ranking.clips import AUDIO_TARGETS, stored_clips
from mess_core.ranking.descriptors import standardised
from mess_core.ranking.scaling import pair_distances
from mess_core.ranking.shared_passages import find_passages, read_excerpts
from mess_core.search.index import unit_layers
from mess_core.store.findings import EXAMPLES, Finding
from mess_core.store.layout import Layout
from mess_core.store.matrix import load_matrix
from mess_core.store.tables import read_table, write_table

if TYPE_CHECKING:
    import pandas as pd

    from mess_core.datasets.rendering import Engine
    from mess_core.encoders import Encoder

__all__ = [
    "check_human_triplets",
    "check_passages",
    "check_single_factor_triplets",
    "store_human_triplets",
    "store_passages",
    "store_single_factor_triplets",
    "store_splits",
]

MOST_SOURCES = 60

Say = Callable[[str], None]


def store_splits(layout: Layout, *, folds: int = 5, seed: int = 0) -> dict[str, Any]:
    """Make, check and freeze every kind of split that the track table allows.

    Parameters
    ----------
    layout : Layout
    folds : int
        Number of folds.
    seed : int

    Returns
    -------
    dict
        Kind of split to its hash, folds and tracks, or to ``{"problem": reason}``.

    Raises
    ------
    StoreError
        If there is no track table.
    DatasetError
        If a split leaks.
    """
    tracks = read_table(layout.tracks)
    found: dict[str, Any] = {}
    for by in get_args(SplitBy):
        try:
            split = make_split(tracks, by, folds=folds, seed=seed)
        except DatasetError as error:
            found[by] = {"problem": error.problem}
            (layout.splits / f"{by}.json").unlink(missing_ok=True)
            continue
        assert_no_leaks(split_leaks(tracks, split), f"in the split by {by}")
        save_split(split, layout.splits / f"{by}.json")
        found[by] = {
            "sha256": split.sha256,
            "folds": len(split.folds),
            "tested": len(split.fold_of()),
            "left_out": len(split.left_out),
        }
    return found


def store_passages(layout: Layout) -> pd.DataFrame:
    """Find the passages that several performers play, and store the table.

    Tracks without embeddings or segment targets (failed, or not computed yet) are left out.

    Returns
    -------
    DataFrame
        As returned by `find_passages`.

    Raises
    ------
    StoreError
        If there is no track table or no embedding matrix.
    TooLittleError
        If no work has two performances of the same passage with MIDI.
    """
    tracks = read_table(layout.tracks)
    _, rows, _ = load_matrix(layout)
    has_targets = [
        layout.segment_targets(str(row.dataset), str(row.track_id)).exists()
        for row in tracks.itertuples()
    ]
    usable = tracks["track_id"].isin(rows["track_id"]) & np.array(has_targets, dtype=bool)
    table = find_passages(tracks[usable])
    if table.empty:
        raise TooLittleError(
            "no passage is played in two performances with MIDI: there is nothing to compare",
            path=str(layout.root),
            remedy="Add other performances of the same works, with MIDI",
        )
    write_table(layout.passages, table)
    return table


def store_single_factor_triplets(
    layout: Layout,
    *,
    encoder: Encoder | None = None,
    engine: Engine = "demo",
    seed: int = 0,
    say: Say = lambda _: None,
) -> pd.DataFrame:
    """Make single-factor triplets from the library's passages; render and embed their clips.

    One performance of each passage is used, from at most 60 passages spread evenly over the table.

    Parameters
    ----------
    layout : Layout
    encoder : Encoder, optional
        The library's encoder, if it is already loaded.
    engine : {"demo", "fluidsynth", "auto"}
        Renders the clips to audio.
    seed : int
    say : callable
        Called with progress messages.

    Returns
    -------
    DataFrame
        One row per triplet: ``factor, clip_id, engine, seed``.
    """
    import pandas as pd

    from mess_core.datasets.rendering import engine_in_use

    chosen = _sources(read_table(layout.passages), seed)
    read = read_excerpts(chosen, read_table(layout.tracks))
    excerpts = dict(zip(chosen["clip_id"], read, strict=True))
    triplets = single_factor_triplets(list(excerpts.items()), seed=seed)
    table = pd.DataFrame(
        [(one.factor, one.source) for one in triplets], columns=["factor", "clip_id"]
    ).assign(engine=engine_in_use(engine), seed=seed)
    single_factor_clips(layout, excerpts, table, encoder, say)
    write_table(layout.single_factor_triplets, table)
    return table


def store_human_triplets(layout: Layout, *, count: int = 150, seed: int = 0) -> pd.DataFrame:
    """Draw and store the triplets for the listening test.

    Existing triplets are not replaced once listeners have answered any. The "disagreement" triplets
    are those on which the encoder's mean layer and the audio descriptors disagree.

    Parameters
    ----------
    layout : Layout
    count : int
        Number of triplets.
    seed : int

    Returns
    -------
    DataFrame
        As returned by `sample_triplets`.

    Raises
    ------
    StoreError
        If passages or embeddings are missing.
    TooLittleError
        If no triplet can be drawn.
    """
    tracks, passages = read_table(layout.tracks), read_table(layout.passages)
    if layout.human_triplets.exists() and layout.judgements.exists():
        return read_table(layout.human_triplets)  # listeners' plans depend on this table
    excerpts = read_excerpts(passages, tracks)
    clips = stored_clips(passages, excerpts, layout, tracks)
    audio = standardised([dict(zip(AUDIO_TARGETS, row, strict=True)) for row in clips.audio])
    unit = unit_layers(clips.vectors.mean(axis=1, keepdims=True))[:, 0]
    cosine = (unit @ unit.T).astype(np.float64)
    table = sample_triplets(
        passages,
        matching_values(excerpts),
        (cosine, -pair_distances(audio)),
        count=count,
        seed=seed,
    )
    write_table(layout.human_triplets, table)
    return table


def check_passages(layout: Layout) -> Finding:
    """Check that every passage has several performances, all of known tracks."""
    table, tracks = read_table(layout.passages), read_table(layout.tracks)
    single = table["passage_id"].value_counts() < 2
    missing = set(table["track_id"]) - set(tracks["track_id"])
    return Finding(
        not single.any() and not missing and table["clip_id"].is_unique,
        {
            "clips": len(table),
            "passages": table["passage_id"].nunique(),
            "works": table["work_id"].nunique(),
            "gone": sorted(missing)[:EXAMPLES],
        },
    )


def check_single_factor_triplets(layout: Layout) -> Finding:
    """Check that every factor is applied to at least half of the clips, all stored passages."""
    table, passages = read_table(layout.single_factor_triplets), read_table(layout.passages)
    known = set(passages["clip_id"])
    per_factor = table["factor"].value_counts()
    return Finding(
        set(per_factor.index) == set(FACTORS)
        and int(per_factor.min()) >= table["clip_id"].nunique() / 2
        and set(table["clip_id"]) <= known,
        {str(factor): int(count) for factor, count in per_factor.items()},
    )


def check_human_triplets(layout: Layout) -> Finding:
    """Check that the triplets can be presented and that each kind has its share."""
    table = read_table(layout.human_triplets)
    parse_triplets(table)
    kinds = table["kind"].value_counts()
    return Finding(
        len(kinds) == 3 and int(kinds.min()) >= len(table) // 4,
        {"triplets": len(table), **{str(kind): int(count) for kind, count in kinds.items()}},
    )


def _sources(passages: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Draw one performance of each passage, of at most `MOST_SOURCES` evenly spread passages."""
    drawn = passages.sample(frac=1.0, random_state=seed).drop_duplicates("passage_id").sort_index()
    if len(drawn) > MOST_SOURCES:
        drawn = drawn.iloc[np.linspace(0, len(drawn) - 1, MOST_SOURCES).astype(int)]
    return drawn
