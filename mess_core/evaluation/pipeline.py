"""Evaluation of a data root in steps, each of which is cached.

Every result is stored with the fingerprint of its inputs (tables, embeddings, split, MIDI, settings
and `mess_core.evaluation.fingerprints.EVALUATION_VERSION`) and recomputed only if that changes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from functools import cache, cached_property, partial
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from mess_core.errors import StoreError, TooLittleError
from mess_core.evaluation.aligned_systems import aligned_systems
from mess_core.evaluation.data import (
    BenchmarkData,
    TrainingSet,
    load_benchmark_data,
    select_training_set,
)
from mess_core.evaluation.fingerprints import folder_fingerprint, library_fingerprint
from mess_core.evaluation.leaderboard import (
    compare_models,
    leaderboard_html,
    leaderboard_markdown,
    leaderboard_png,
    summarise,
)
from mess_core.evaluation.listener_protocol import evaluate_on_listeners
from mess_core.evaluation.protocol import evaluate_systems
from mess_core.evaluation.rated_protocol import evaluate_on_ratings
from mess_core.evaluation.splits import Split, SplitBy, load_split
from mess_core.evaluation.systems import System, baselines, model_sequence
from mess_core.judgements.agreement import vetted
from mess_core.judgements.response_log import read_judgements, read_triplets
from mess_core.probing.pipeline import works_in_training
from mess_core.ranking.clips import Clips, rendered_clips
from mess_core.ranking.triplets import Objective
from mess_core.search.recordings import matching_encoder
from mess_core.store.arrays import write_bytes
from mess_core.store.cache import CachedTable, fingerprint
from mess_core.store.layout import Layout, is_local
from mess_core.store.matrix import load_matrix
from mess_core.store.tables import read_table, write_table

if TYPE_CHECKING:
    import pandas as pd

    from mess_core.datasets.rendering import Engine
    from mess_core.encoders import Encoder

__all__ = ["OBJECTIVES", "Evaluation", "cached_scores"]

OBJECTIVES: tuple[Objective, ...] = ("content", "expression")

Say = Callable[[str], None]


def cached_scores(layout: Layout, name: str) -> CachedTable:
    """Return the cached table of a step: "retrieval-<split>", "ratings" or "listeners"."""
    return CachedTable(layout.evaluation / name)


class Evaluation:
    """Evaluation of one data root; its steps share their inputs.

    Inputs are read on first use. After `mess_core.evaluation.preparation` has changed them, create
    a new `Evaluation`.

    Parameters
    ----------
    layout : Layout
    by : {"work", "performer", "both", "recording"}
        The frozen split to evaluate on.
    encoder : Encoder, optional
        The library's encoder, if it is already loaded.
    systems : sequence of System, optional
        Systems to evaluate; all of them by default.
    say : callable
        Called with progress messages.
    """

    def __init__(
        self,
        layout: Layout,
        *,
        by: SplitBy = "work",
        encoder: Encoder | None = None,
        systems: Sequence[System] | None = None,
        say: Say = lambda _: None,
    ) -> None:
        self.layout = layout
        self.by: SplitBy = by
        self._encoder = encoder
        self._systems = systems
        self.say = say

    @cached_property
    def library(self) -> str:
        """The fingerprint of the library."""
        return library_fingerprint(self.layout, self.by)

    @cached_property
    def benchmark(self) -> BenchmarkData:
        """The benchmark data."""
        return load_benchmark_data(self.layout, encoder=self._encoder, say=self.say)

    @cached_property
    def identity(self) -> dict[str, Any]:
        """The identity of the library's encoder."""
        _, _, manifest = load_matrix(self.layout)
        found: dict[str, Any] = manifest["identity"]
        return found

    @cached_property
    def split(self) -> Split:
        """The frozen split.

        Raises
        ------
        TooLittleError
            If there is no such split.
        """
        path = self.layout.splits / f"{self.by}.json"
        if not path.exists():
            raise TooLittleError(
                f"there is no split by {self.by}: the library has too few groups, or the split "
                "has not been made yet",
                path=str(path),
                remedy="Add recordings, then run `mess evaluate` or materialise `splits`",
            )
        return load_split(path)

    @cached_property
    def systems(self) -> list[System]:
        """The systems to compare: baselines, then the models of each objective."""
        if self._systems is not None:
            return list(self._systems)
        return [
            *baselines(self.identity["layers"], str(self.identity["encoder"])),
            *(system for objective in OBJECTIVES for system in model_sequence(objective)),
            *aligned_systems(str(self.identity["encoder"])),
        ]

    def retrieval(self) -> tuple[pd.DataFrame, bool]:
        """Cross-validate all systems on the folds of the split.

        Returns
        -------
        scores : DataFrame
            As returned by `mess_core.evaluation.protocol.evaluate_systems`.
        reused : bool
            Whether the scores were cached.

        Raises
        ------
        StoreError
            If an input is missing.
        TooLittleError
            If there is no such split, or no fold has both training and test passages.
        DatasetError
            If the split leaks, or belongs to another track table.
        """
        return self._cached(
            f"retrieval-{self.by}",
            fingerprint("retrieval", self.library, *self._names()),
            lambda: evaluate_systems(self.benchmark, self.split, self.systems, say=self.say),
            self.library,
        )

    def ratings(
        self, folder: str | PathLike[str], *, engine: Engine = "demo"
    ) -> tuple[pd.DataFrame, bool]:
        """Evaluate all systems on triplets from PercePiano's ratings.

        Systems that learn are fitted on the library without the rated works. If no passages are
        stored, only systems that compare MIDI are evaluated.

        Parameters
        ----------
        folder : path-like
            The PercePiano folder.
        engine : {"demo", "fluidsynth", "auto"}
            Renders its MIDI to audio.

        Returns
        -------
        scores : DataFrame
            As returned by `mess_core.evaluation.rated_protocol.evaluate_on_ratings`.
        reused : bool
            Whether the scores were cached.

        Raises
        ------
        DatasetError
            If the folder is not a PercePiano folder.
        """
        from mess_core.datasets.rendering import engine_in_use

        layout = self.layout
        with_clips = layout.passages.exists() and layout.single_factor_triplets.exists()
        library = self.library if with_clips else None
        names = self._names() if with_clips else []
        made_from = fingerprint(
            "ratings", library, *names, engine_in_use(engine), folder_fingerprint(folder)
        )
        if not with_clips:
            notes_only = partial(evaluate_on_ratings, folder, say=self.say)
            return self._cached("ratings", made_from, notes_only, library)
        return self._cached("ratings", made_from, partial(self._rated, folder, engine), library)

    def _rated(self, folder: str | PathLike[str], engine: Engine) -> pd.DataFrame:
        load = cache(partial(matching_encoder, self.identity, self._encoder))

        def make(names: Sequence[str], performances: Sequence[Any]) -> Clips:
            return rendered_clips(
                names,
                performances,
                self.layout.rendered,
                identity=self.identity,
                encoder=load,
                engine=engine,
                say=self.say,
            )

        return evaluate_on_ratings(
            folder,
            systems=self.systems,
            training_set_without=self._training_set_without,
            make=make,
            say=self.say,
        )

    def _training_set_without(self, works: set[str]) -> TrainingSet:
        table = self.benchmark.passages
        rated = [_is_part_of(str(one), works) for one in table["work_id"]]
        others = table.loc[~np.asarray(rated), "track_id"].astype(str)
        return select_training_set(self.benchmark, others.unique().tolist())

    def listeners(self) -> tuple[pd.DataFrame, bool]:
        """Evaluate all systems on the triplets that listeners answered.

        Only answers to the current triplets count, by listeners who passed their attention checks.

        Returns
        -------
        scores : DataFrame
            As returned by `mess_core.evaluation.listener_protocol.evaluate_on_listeners`. Empty,
            and not cached, if there are no such answers.
        reused : bool
            Whether the scores were cached.
        """
        import pandas as pd

        layout, judgements = self.layout, pd.DataFrame()
        if is_local(layout.root) and layout.judgements.exists() and layout.human_triplets.exists():
            collected = read_judgements(layout)
            current = collected[collected["triplets"] == read_triplets(layout).digest]
            judgements = vetted(current)
        if judgements.empty:
            cached_scores(layout, "listeners").drop()
            return judgements, False
        return self._cached(
            "listeners",
            fingerprint("listeners", self.library, *self._names(), judgements.to_csv(index=False)),
            lambda: evaluate_on_listeners(
                self.benchmark,
                self.split,
                self.systems,
                read_table(layout.human_triplets),
                judgements,
                say=self.say,
            ),
            self.library,
        )

    def leaderboard(self) -> dict[str, Any]:
        """Write the leaderboard of all cached scores: tables, Markdown and a figure.

        Returns
        -------
        dict
            ``summary`` and ``models`` (DataFrames), ``markdown``, ``png``, ``notes``.

        Raises
        ------
        StoreError
            If no system has been evaluated, or only on another state of the library.
        """
        import pandas as pd

        scores = cached_scores(self.layout, f"retrieval-{self.by}")
        if scores.record().get("library") != self.library:
            raise StoreError(
                "belongs to another state of the library: tables, embeddings or MIDI have changed",
                path=str(scores.table_path),
                remedy="Run `mess evaluate`, or materialise `retrieval_evaluation`",
            )
        tables, notes = [scores.table()], self._notes()
        for name in ("ratings", "listeners"):
            with contextlib.suppress(StoreError):
                cached = cached_scores(self.layout, name)
                if cached.record().get("library") not in {None, self.library}:
                    notes[name] = "left out: computed on another state of the library"
                    continue
                tables.append(cached.table())
                notes[name] = "included"
        answers = pd.concat(tables, ignore_index=True)
        summary = summarise(answers)
        sequences: dict[str, list[str]] = {
            objective: [one.name for one in self.systems if one.objective == objective]
            for objective in OBJECTIVES
        }
        models = compare_models(answers, sequences)
        found = {
            "summary": summary,
            "models": models,
            "notes": notes,
            "markdown": leaderboard_markdown(summary, models, notes),
            "png": leaderboard_png(summary),
        }
        folder = self.layout.leaderboard
        write_table(folder / "leaderboard.parquet", summary)
        write_table(folder / "models.parquet", models)
        write_bytes(folder / "leaderboard.png", found["png"])
        write_bytes(folder / "leaderboard.md", found["markdown"].encode())
        page = leaderboard_html(found["markdown"], found["png"])
        write_bytes(folder / "leaderboard.html", page.encode())
        return found

    def _notes(self) -> dict[str, str]:
        """Return notes on what the leaderboard is based on."""
        encoder = str(self.identity["encoder"])
        untrained = " (untrained: a control, not a model)"
        notes = {
            "split": f"by {self.by}, {self.split.sha256[:12]}",
            "encoder": encoder + (untrained if encoder.startswith("untrained:") else ""),
        }
        if self.layout.single_factor_triplets.exists():
            engines = read_table(self.layout.single_factor_triplets)["engine"].unique()
            notes["single-factor clips rendered by"] = ", ".join(engines)
        heard = works_in_training(self.layout, read_table(self.layout.passages), encoder)
        if heard:
            notes["heard in training"] = (
                f"{encoder} was trained on the works of {len(heard)} tracks "
                f"({len(set(heard.values()))} works): systems may learn from them, no score counts "
                "them"
            )
        return notes

    def _names(self) -> list[str]:
        return [one.name for one in self.systems]

    def _cached(
        self, name: str, made_from: str, compute: Callable[[], pd.DataFrame], library: str | None
    ) -> tuple[pd.DataFrame, bool]:
        cached = cached_scores(self.layout, name)
        if (found := cached.load(made_from)) is not None:
            return found, True
        return cached.save(made_from, compute(), library=library), False


def _is_part_of(work: str, works: set[str]) -> bool:
    """Return whether a work is one of these works or a piece of one."""
    return any(work == one or work.startswith(f"{one}-") for one in works)
