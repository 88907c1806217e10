"""Benchmark data that systems are evaluated on, and the training sets selected from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mess_core.errors import AudioError, EncoderError, StoreError, TooLittleError
from mess_core.evaluation.single_factor import single_factor_triplets
from mess_core.probing.pipeline import works_in_training
from mess_core.ranking.clips import Clips, rendered_clips, stored_clips
from mess_core.ranking.frames import Frames, library_frames
from mess_core.ranking.shared_passages import read_excerpts
from mess_core.ranking.triplets import (
    content_triplets,
    expression_distances,
    expression_triplets,
    expression_unit,
    expression_values,
)
from mess_core.search.recordings import matching_encoder
from mess_core.store.layout import Layout
from mess_core.store.matrix import load_matrix
from mess_core.store.tables import read_table

if TYPE_CHECKING:
    import pandas as pd

    from mess_core.datasets.rendering import Engine
    from mess_core.encoders import Encoder
    from mess_core.midi.performance import Performance

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
    """Everything that systems are evaluated on.

    Attributes
    ----------
    tracks : DataFrame
        The track table.
    passages : DataFrame
        As returned by `find_passages`: one row per clip of the library.
    clips : Clips
        In the order of ``passages``.
    values : ndarray, float64, shape [clips, descriptors]
        Expression descriptors, as returned by `expression_values`.
    single_factor : DataFrame
        One row per single-factor triplet: ``factor`` and ``clip_id`` (the source clip).
    single_factor_clips : Clips
        Three clips per triplet (x, near, far), in the order of ``single_factor``.
    heard : dict of str to str
        Track to work, of works that the encoder was trained on: systems may be fitted on them, but
        are not scored on them.
    """

    tracks: pd.DataFrame
    passages: pd.DataFrame
    clips: Clips
    values: Floats
    single_factor: pd.DataFrame
    single_factor_clips: Clips
    heard: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)  # hashed by identity, so that `lru_cache` accepts it
class TrainingSet:
    """Clips that systems may be fitted on.

    Attributes
    ----------
    clips : Clips
        Passages of the library, followed by single-factor clips.
    passages, performers, tracks, works : sequence of str, length clips
        Labels of each clip. A single-factor triplet is a passage of its own; its performers
        and tracks are empty strings.
    values : ndarray, float64, shape [clips, descriptors]
        Expression descriptors; NaN for single-factor clips.
    single_factor : ndarray, int64, shape [triplets, 3]
        Single-factor triplets (x, nearer, farther) as rows of ``clips``.
    library : int
        Number of library passages; they are the first rows of ``clips``.
    seed : int
        Random seed for systems that are fitted on this training set.
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

    @cached_property
    def content(self) -> NDArray[np.int64]:
        """Content triplets of the library's passages, as returned by `content_triplets`."""
        labels = (self.passages, self.performers, self.tracks)
        return content_triplets(*(one[: self.library] for one in labels), seed=self.seed)

    @cached_property
    def expression(self) -> NDArray[np.int64]:
        """Expression triplets of the library's passages, as returned by `expression_triplets`."""
        values, passages = self.values[: self.library], self.passages[: self.library]
        unit = expression_unit(values, passages)
        return expression_triplets(expression_distances(values, passages, unit))


def load_benchmark_data(
    layout: Layout, *, encoder: Encoder | None = None, say: Say = lambda _: None
) -> BenchmarkData:
    """Load the benchmark data stored in a data root.

    Parameters
    ----------
    layout : Layout
    encoder : Encoder, optional
        The library's encoder, if it is already loaded.
    say : callable
        Called with progress messages.

    Returns
    -------
    BenchmarkData

    Raises
    ------
    StoreError
        If passages, triplets, embeddings or targets are missing.
    """
    tracks, passages = read_table(layout.tracks), read_table(layout.passages)
    excerpts = read_excerpts(passages, tracks)
    clips = stored_clips(passages, excerpts, layout, tracks)
    clips = replace(clips, frames=_frames(layout, passages, tracks, encoder, say))
    triplets = read_table(layout.single_factor_triplets)
    source = dict(zip(passages["clip_id"], excerpts, strict=True))
    rendered = single_factor_clips(layout, source, triplets, encoder, say)
    _, _, manifest = load_matrix(layout)
    heard = works_in_training(layout, passages, str(manifest["identity"]["encoder"]))
    values = expression_values(excerpts)
    return BenchmarkData(tracks, passages, clips, values, triplets, rendered, heard)


def _frames(
    layout: Layout,
    passages: pd.DataFrame,
    tracks: pd.DataFrame,
    encoder: Encoder | None,
    say: Say,
) -> tuple[Frames, ...]:
    """Return the frames of the library's clips, or none if a recording is not here any more."""
    _, _, manifest = load_matrix(layout)
    identity = manifest["identity"]
    load = cache(partial(matching_encoder, identity, encoder, layout))
    try:
        return library_frames(
            passages, tracks, layout.frames, identity=identity, encoder=load, say=say
        )
    except (AudioError, EncoderError) as error:
        say(f"clips are not compared over time: {error}")
        return ()


def select_training_set(
    benchmark: BenchmarkData, train: Sequence[str], *, seed: int = 0
) -> TrainingSet:
    """Select the clips of some tracks as a training set.

    Parameters
    ----------
    benchmark : BenchmarkData
    train : sequence of str
        Ids of the training tracks.
    seed : int
        Random seed for systems that are fitted on the training set.

    Returns
    -------
    TrainingSet

    Raises
    ------
    TooLittleError
        If none of the tracks has a passage.
    """
    wanted = set(train)
    rows = np.flatnonzero(benchmark.passages["track_id"].astype(str).isin(wanted)).tolist()
    if not rows:
        raise TooLittleError("no training track has a passage that another track also plays")
    table = benchmark.passages.iloc[rows]
    track_of = dict(zip(benchmark.passages["clip_id"], benchmark.passages["track_id"], strict=True))
    work_of = dict(zip(benchmark.passages["clip_id"], benchmark.passages["work_id"], strict=True))
    selected = [
        number
        for number, clip in enumerate(benchmark.single_factor["clip_id"])
        if str(track_of.get(clip)) in wanted
    ]
    single_factor_rows = [3 * number + part for number in selected for part in range(3)]
    sources = [str(benchmark.single_factor["clip_id"].iloc[number]) for number in selected]
    library = benchmark.clips.take(rows)
    single_factor = benchmark.single_factor_clips.take(single_factor_rows)
    count = len(rows)
    return TrainingSet(
        clips=library + single_factor,
        passages=[
            *table["passage_id"],
            *(f"single-factor:{n}" for n in selected for _ in range(3)),
        ],
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
    excerpts: Mapping[str, Performance],
    table: pd.DataFrame,
    encoder: Encoder | None,
    say: Say,
) -> Clips:
    """Return the clips of stored single-factor triplets, rendering those that are not cached.

    Parameters
    ----------
    layout : Layout
    excerpts : mapping of str to Performance
        Clip id to the notes of the passage, at least for the clips in `table`.
    table : DataFrame
        One row per triplet: ``factor, clip_id, engine, seed``.
    encoder : Encoder or None
        The library's encoder, if it is already loaded.
    say : callable
        Called with progress messages.

    Returns
    -------
    Clips
        Three clips per triplet (x, near, far), in the order of ``table``.

    Raises
    ------
    StoreError
        If the table does not match the passages or the present version.
    """
    _, _, manifest = load_matrix(layout)
    wanted = table["clip_id"].drop_duplicates().tolist()
    missing = [clip for clip in wanted if clip not in excerpts]
    if missing:
        raise StoreError(
            f"the single-factor triplets were made from other passages ({missing[0]})",
            remedy="Materialise `single_factor_triplets` again",
        )
    triplets = single_factor_triplets(
        [(clip, excerpts[clip]) for clip in wanted], seed=int(table["seed"].iloc[0])
    )
    if [(one.factor, one.source) for one in triplets] != list(
        table[["factor", "clip_id"]].itertuples(index=False, name=None)
    ):
        raise StoreError(
            "the single-factor triplets were made by another version or from other notes",
            remedy="Materialise `single_factor_triplets` again",
        )
    names = [
        f"{one.source}:{one.factor}:{part}" for one in triplets for part in ("x", "near", "far")
    ]
    clips = [clip for one in triplets for clip in (one.x, one.near, one.far)]
    engine: Engine = "demo" if table["engine"].iloc[0] == "demo" else "fluidsynth"
    identity = manifest["identity"]
    load = cache(partial(matching_encoder, identity, encoder))
    return rendered_clips(
        names, clips, layout.rendered, identity=identity, encoder=load, engine=engine, say=say
    )
