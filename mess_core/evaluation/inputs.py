"""What systems are examined on, made from a data root and stored: splits, passages, triplets."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from mess_core.errors import DatasetError, StoreError, TooLittleError
from mess_core.evaluation.leaks import assert_no_leaks, split_leaks
from mess_core.evaluation.protocol import Exam
from mess_core.evaluation.sampling import matching_values, sample_triplets
from mess_core.evaluation.single_factor import single_factor_triplets
from mess_core.evaluation.splits import SplitBy, make_split, save_split
from mess_core.ranking.clips import AUDIO_TARGETS, Clips, rendered_clips, stored_clips
from mess_core.ranking.descriptors import standardised
from mess_core.ranking.pairs import expression_values
from mess_core.ranking.passages import find_passages, read_excerpts
from mess_core.ranking.scaling import pair_distances
from mess_core.search.index import unit_layers
from mess_core.search.recordings import matching_encoder
from mess_core.store.layout import Layout
from mess_core.store.matrix import load_matrix
from mess_core.store.tables import read_table, write_table

if TYPE_CHECKING:
    import pandas as pd

    from mess_core.datasets.rendering import Engine
    from mess_core.encoders import Encoder

__all__ = [
    "load_exam",
    "store_human_triplets",
    "store_passages",
    "store_planted_triplets",
    "store_splits",
]

MOST_PLANTED = 60

Say = Callable[[str], None]


def store_splits(layout: Layout, *, folds: int = 5, seed: int = 0) -> dict[str, Any]:
    """Make every kind of split that the track table allows, check it, freeze it.

    Returns
    -------
    dict
        Kind of split to its hash, folds and tracks, or to ``{"problem": why}``.

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
        assert_no_leaks(split_leaks(tracks, split), f"split by {by}")
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

    Tracks without a vector or segment targets (they failed, or are still to come) are left out.

    Raises
    ------
    StoreError
        If there is no track table or no embedding matrix.
    TooLittleError
        If no work has two performances of the same passage with MIDI.
    """
    tracks = read_table(layout.tracks)
    _, rows, _ = load_matrix(layout)
    described = [
        layout.segment_targets(str(row.dataset), str(row.track_id)).exists()
        for row in tracks.itertuples()
    ]
    usable = tracks["track_id"].isin(rows["track_id"]) & np.array(described, dtype=bool)
    table = find_passages(tracks[usable])
    if table.empty:
        raise TooLittleError(
            "no passage is played by two performances with MIDI: there is nothing to compare",
            path=str(layout.root),
            remedy="Add other performances of the same works, with their MIDI",
        )
    write_table(layout.passages, table)
    return table


def store_planted_triplets(
    layout: Layout,
    *,
    encoder: Encoder | None = None,
    engine: Engine = "demo",
    seed: int = 0,
    say: Say = lambda _: None,
) -> pd.DataFrame:
    """Make single-factor triplets of the library's passages, render and embed them.

    One performance of each passage is changed, of at most 60 passages spread over all.

    Parameters
    ----------
    layout : Layout
    encoder : Encoder, optional
        The library's, if it is at hand.
    engine : {"demo", "fluidsynth", "auto"}
    seed : int
    say : callable

    Returns
    -------
    DataFrame
        ``factor, clip_id, engine``.
    """
    import pandas as pd

    from mess_core.datasets.rendering import engine_in_use

    tracks, passages = read_table(layout.tracks), read_table(layout.passages)
    chosen = _sources(passages, seed)
    excerpts = zip(chosen["clip_id"], read_excerpts(chosen, tracks), strict=True)
    made = single_factor_triplets(list(excerpts), seed=seed)
    table = pd.DataFrame(
        [(one.factor, one.source) for one in made], columns=["factor", "clip_id"]
    ).assign(engine=engine_in_use(engine), seed=seed)
    _planted_clips(layout, tracks, passages, table, encoder, say)
    write_table(layout.planted_triplets, table)
    return table


def store_human_triplets(layout: Layout, *, count: int = 150, seed: int = 0) -> pd.DataFrame:
    """Draw the triplets that judges are asked about, unless some are there that were answered.

    Where systems disagree is asked of the encoder's mean layer and the audio descriptors.

    Raises
    ------
    StoreError
        If passages or embeddings are not there.
    TooLittleError
        If no triplet can be drawn.
    """
    tracks, passages = read_table(layout.tracks), read_table(layout.passages)
    if layout.human_triplets.exists() and layout.judgements.exists():
        return read_table(layout.human_triplets)  # judges' plans hang on this very table
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


def load_exam(layout: Layout, *, encoder: Encoder | None = None, say: Say = lambda _: None) -> Exam:
    """Everything stored that systems are examined on.

    Raises
    ------
    StoreError
        If passages, triplets, embeddings or targets are not there.
    """
    tracks, passages = read_table(layout.tracks), read_table(layout.passages)
    excerpts = read_excerpts(passages, tracks)
    clips = stored_clips(passages, excerpts, layout, tracks)
    planted = read_table(layout.planted_triplets)
    made = _planted_clips(layout, tracks, passages, planted, encoder, say)
    return Exam(tracks, passages, clips, expression_values(excerpts), planted, made)


def _sources(passages: pd.DataFrame, seed: int) -> pd.DataFrame:
    """One performance of each passage, drawn; at most `MOST_PLANTED`, spread over all."""
    drawn = passages.sample(frac=1.0, random_state=seed).drop_duplicates("passage_id").sort_index()
    if len(drawn) > MOST_PLANTED:
        drawn = drawn.iloc[np.linspace(0, len(drawn) - 1, MOST_PLANTED).astype(int)]
    return drawn


def _planted_clips(
    layout: Layout,
    tracks: pd.DataFrame,
    passages: pd.DataFrame,
    planted: pd.DataFrame,
    encoder: Encoder | None,
    say: Say,
) -> Clips:
    """The clips of stored triplets, in their order; rendered if they are not kept."""
    _, _, manifest = load_matrix(layout)
    chosen = passages[passages["clip_id"].isin(planted["clip_id"])]
    excerpts = dict(zip(chosen["clip_id"], read_excerpts(chosen, tracks), strict=True))
    wanted = planted["clip_id"].drop_duplicates().tolist()
    missing = [clip for clip in wanted if clip not in excerpts]
    if missing:
        raise StoreError(
            f"planted triplets were made from other passages ({missing[0]})",
            remedy="Materialise `planted_triplets` again",
        )
    made = single_factor_triplets(
        [(clip, excerpts[clip]) for clip in wanted], seed=int(planted["seed"].iloc[0])
    )
    if [(one.factor, one.source) for one in made] != list(
        planted[["factor", "clip_id"]].itertuples(index=False, name=None)
    ):
        raise StoreError(
            "planted triplets were made by another version or from other notes",
            remedy="Materialise `planted_triplets` again",
        )
    names = [f"{one.source}:{one.factor}:{part}" for one in made for part in ("x", "near", "far")]
    clips = [clip for one in made for clip in (one.x, one.near, one.far)]
    engine: Engine = "demo" if planted["engine"].iloc[0] == "demo" else "fluidsynth"
    identity = manifest["identity"]
    used = cache(partial(matching_encoder, identity, encoder))
    return rendered_clips(
        names, clips, layout.rendered, identity=identity, encoder=used, engine=engine, say=say
    )
