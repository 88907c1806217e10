"""What systems are compared on, and what part of it they may learn from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mess_core.errors import MessError, StoreError
from mess_core.evaluation.single_factor import single_factor_triplets
from mess_core.ranking.clips import Clips, rendered_clips, stored_clips
from mess_core.ranking.pairs import expression_values
from mess_core.ranking.shared_passages import read_excerpts
from mess_core.search.recordings import matching_encoder
from mess_core.store.layout import Layout
from mess_core.store.matrix import load_matrix
from mess_core.store.tables import read_table

if TYPE_CHECKING:
    import pandas as pd

    from mess_core.datasets.rendering import Engine
    from mess_core.encoders import Encoder

__all__ = [
    "BenchmarkData",
    "TrainingSet",
    "load_benchmark_data",
    "select_training_set",
    "single_factor_clips",
]

Floats = NDArray[np.float64]
Say = Callable[[str], None]


@dataclass(frozen=True)
class BenchmarkData:
    """Everything that systems are examined on.

    Attributes
    ----------
    tracks : DataFrame
        The track table.
    passages : DataFrame
        As `find_passages` gives; one row per clip of the library.
    clips : Clips
        In the order of ``passages``.
    values : ndarray, float64, shape [clips, descriptors]
        Expression descriptors.
    planted : DataFrame
        ``factor, clip_id`` (of the source) per single-factor triplet.
    single_factor_clips : Clips
        x, near, far of each triplet, one after another.
    """

    tracks: pd.DataFrame
    passages: pd.DataFrame
    clips: Clips
    values: Floats
    single_factor: pd.DataFrame
    single_factor_clips: Clips


@dataclass(frozen=True, eq=False)  # itself, not its arrays, is what is remembered by
class TrainingSet:
    """What systems may learn from: clips of training works.

    Attributes
    ----------
    clips : Clips
        Passages of the library, then single-factor clips.
    passages, performers, tracks, works : sequence of str, length clips
        A single-factor triplet is a passage of its own.
    values : ndarray, float64, shape [clips, descriptors]
        Expression; NaN for single-factor clips.
    planted : ndarray, int64, shape [triplets, 3]
        Single-factor triplets (x, nearer, farther) as rows of ``clips``.
    library : int
        Number of clips that are passages of the library: the first ones.
    seed : int
    """

    clips: Clips
    passages: Sequence[str]
    performers: Sequence[str]
    tracks: Sequence[str]
    works: Sequence[str]
    values: Floats
    single_factor: NDArray[np.int64]
    library: int
    seed: int = 0


def load_benchmark_data(
    layout: Layout, *, encoder: Encoder | None = None, say: Say = lambda _: None
) -> BenchmarkData:
    """Everything stored that systems are examined on.

    Raises
    ------
    StoreError
        If passages, triplets, embeddings or targets are not there.
    """
    tracks, passages = read_table(layout.tracks), read_table(layout.passages)
    excerpts = read_excerpts(passages, tracks)
    clips = stored_clips(passages, excerpts, layout, tracks)
    planted = read_table(layout.single_factor_triplets)
    made = single_factor_clips(layout, tracks, passages, planted, encoder, say)
    return BenchmarkData(tracks, passages, clips, expression_values(excerpts), planted, made)


def select_training_set(
    benchmark: BenchmarkData, train: Sequence[str], *, seed: int = 0
) -> TrainingSet:
    """What may be learned from some tracks.

    Raises
    ------
    MessError
        If none of them has a passage.
    """
    wanted = set(train)
    rows = np.flatnonzero(benchmark.passages["track_id"].astype(str).isin(wanted)).tolist()
    if not rows:
        raise MessError("no training track has a passage that others play, too")
    table = benchmark.passages.iloc[rows]
    track_of = dict(zip(benchmark.passages["clip_id"], benchmark.passages["track_id"], strict=True))
    work_of = dict(zip(benchmark.passages["clip_id"], benchmark.passages["work_id"], strict=True))
    kept = [
        number
        for number, clip in enumerate(benchmark.single_factor["clip_id"])
        if str(track_of.get(clip)) in wanted
    ]
    single_factor_rows = [3 * number + part for number in kept for part in range(3)]
    sources = [str(benchmark.single_factor["clip_id"].iloc[number]) for number in kept]
    library, planted = (
        benchmark.clips.take(rows),
        benchmark.single_factor_clips.take(single_factor_rows),
    )
    count = len(rows)
    return TrainingSet(
        clips=library + planted,
        passages=[*table["passage_id"], *(f"single-factor:{n}" for n in kept for _ in range(3))],
        performers=[*table["performer"], *([""] * len(single_factor_rows))],
        tracks=[*table["track_id"].astype(str), *([""] * len(single_factor_rows))],
        works=[*table["work_id"], *(str(work_of[one]) for one in sources for _ in range(3))],
        values=np.concatenate(
            [
                benchmark.values[rows],
                np.full((len(single_factor_rows), benchmark.values.shape[1]), np.nan),
            ]
        ),
        single_factor=count + np.arange(len(single_factor_rows), dtype=np.int64).reshape(-1, 3),
        library=count,
        seed=seed,
    )


def single_factor_clips(
    layout: Layout,
    tracks: pd.DataFrame,
    passages: pd.DataFrame,
    table: pd.DataFrame,
    encoder: Encoder | None,
    say: Say,
) -> Clips:
    """The clips of stored triplets, in their order; rendered if they are not kept."""
    _, _, manifest = load_matrix(layout)
    chosen = passages[passages["clip_id"].isin(table["clip_id"])]
    excerpts = dict(zip(chosen["clip_id"], read_excerpts(chosen, tracks), strict=True))
    wanted = table["clip_id"].drop_duplicates().tolist()
    missing = [clip for clip in wanted if clip not in excerpts]
    if missing:
        raise StoreError(
            f"planted triplets were made from other passages ({missing[0]})",
            remedy="Materialise `single_factor_triplets` again",
        )
    made = single_factor_triplets(
        [(clip, excerpts[clip]) for clip in wanted], seed=int(table["seed"].iloc[0])
    )
    if [(one.factor, one.source) for one in made] != list(
        table[["factor", "clip_id"]].itertuples(index=False, name=None)
    ):
        raise StoreError(
            "planted triplets were made by another version or from other notes",
            remedy="Materialise `single_factor_triplets` again",
        )
    names = [f"{one.source}:{one.factor}:{part}" for one in made for part in ("x", "near", "far")]
    clips = [clip for one in made for clip in (one.x, one.near, one.far)]
    engine: Engine = "demo" if table["engine"].iloc[0] == "demo" else "fluidsynth"
    identity = manifest["identity"]
    used = cache(partial(matching_encoder, identity, encoder))
    return rendered_clips(
        names, clips, layout.rendered, identity=identity, encoder=used, engine=engine, say=say
    )
