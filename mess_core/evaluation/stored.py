"""The examination of a data root, step by step, each kept and made again only when it must.

Every result stands beside the fingerprint of what it was made from: tables, embeddings,
split, settings and `EVALUATION_VERSION`. Asked for again with the same fingerprint, a step
returns what is there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from functools import cache, partial
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from mess_core.errors import MessError, StoreError
from mess_core.evaluation.agreement import judge_table
from mess_core.evaluation.inputs import load_exam
from mess_core.evaluation.judged import examine_judgements
from mess_core.evaluation.judgements import read_judgements, read_triplets
from mess_core.evaluation.kept import answers_table, fingerprint, keep, kept
from mess_core.evaluation.leaderboard import (
    compare_rungs,
    leaderboard_markdown,
    leaderboard_png,
    summarise,
)
from mess_core.evaluation.protocol import Exam, examine, lesson_of
from mess_core.evaluation.splits import Split, SplitBy, load_split
from mess_core.evaluation.systems import RUNGS, Lesson, System, baselines, fit_head, ladder
from mess_core.ranking.clips import Clips, rendered_clips
from mess_core.ranking.pairs import Objective
from mess_core.search.heads import save_head
from mess_core.search.recordings import matching_encoder
from mess_core.store.arrays import write_bytes
from mess_core.store.layout import Layout, is_local
from mess_core.store.matrix import load_matrix
from mess_core.store.tables import read_json, read_table, write_json, write_table

if TYPE_CHECKING:
    import pandas as pd

    from mess_core.datasets.rendering import Engine
    from mess_core.encoders import Encoder

__all__ = [
    "evaluate_judgements",
    "evaluate_ratings",
    "evaluate_retrieval",
    "head_name",
    "head_names",
    "store_leaderboard",
    "train_rung",
]

_OBJECTIVES: tuple[Objective, ...] = ("content", "expression")

Say = Callable[[str], None]


def head_name(objective: Objective, rung: str) -> str:
    """The name that a rung's head is served by."""
    return f"{objective}-{rung.lower().replace(', ', '-')}"


def head_names(rung: str) -> list[str]:
    """The heads that a rung has: none for content where it takes the content away."""
    objectives = [one for one in _OBJECTIVES if one != "content" or not RUNGS[rung].centred]
    return [head_name(objective, rung) for objective in objectives]


def train_rung(
    layout: Layout, rung: str, *, by: SplitBy = "work", say: Say = lambda _: None
) -> dict[str, Any]:
    """Train one rung for every objective on the whole library, and serve it.

    What it is worth is measured elsewhere, on folds (`evaluate_retrieval`): the served head has
    seen every work of the library.

    Parameters
    ----------
    layout : Layout
    rung : str
        Of `mess_core.evaluation.systems.RUNGS`.
    by : str
        The split that its figures are measured on, for the manifest.
    say : callable

    Returns
    -------
    dict
        Head name to version, epoch, inner validation and ``reused``; or to ``problem`` where the
        library holds too little to learn from.

    Raises
    ------
    MessError
        If the rung is unknown.
    """
    if rung not in RUNGS:
        raise MessError(f"there is no rung {rung!r}", remedy=f"Use one of {', '.join(RUNGS)}")
    _, _, manifest = load_matrix(layout)
    stamp = fingerprint(layout, by, rung, str(RUNGS[rung]))
    found: dict[str, Any] = {}
    exam: Exam | None = None
    for objective in _OBJECTIVES:
        if (name := head_name(objective, rung)) not in head_names(rung):
            continue
        place = layout.heads / name / "training.json"
        with contextlib.suppress(StoreError):
            record = read_json(place)
            if record["fingerprint"] == stamp:
                found[name] = {**record, "reused": True}
                continue
        exam = exam or load_exam(layout, say=say)
        lesson = lesson_of(exam, exam.passages["track_id"].astype(str).unique().tolist())
        say(f"training {name}")
        made_from = {
            "identity": manifest["identity"],
            "objective": objective,
            "rung": rung,
            "split": by,
            "fingerprint": stamp,
        }
        try:
            trained = fit_head(lesson, objective, rung, made_from=made_from)
        except MessError as error:
            found[name] = {"problem": error.problem, "reused": False}
            continue
        saved = save_head(layout.heads, name, trained.head)
        record = {
            "fingerprint": stamp,
            "version": saved["version"],
            "epoch": trained.epoch,
            "validation": trained.validation,
            "history": list(trained.history),
        }
        write_json(place, record)
        found[name] = {**record, "reused": False}
    return found


def evaluate_retrieval(
    layout: Layout,
    *,
    by: SplitBy = "work",
    encoder: Encoder | None = None,
    say: Say = lambda _: None,
) -> tuple[pd.DataFrame, bool]:
    """Examine all systems on the folds of a frozen split.

    Returns
    -------
    answers : DataFrame
        As `examine` gives.
    reused : bool
        Whether they were there already.

    Raises
    ------
    StoreError
        If the split or an input is not there.
    DatasetError
        If the split leaks, or is of another track table.
    """
    place = layout.evaluation / f"retrieval-{by}"
    stamp = fingerprint(layout, by, "retrieval")
    if (found := kept(place, stamp)) is not None:
        return found, True
    exam = load_exam(layout, encoder=encoder, say=say)
    split = _split(layout, by)
    answers = examine(exam, split, _systems(layout), say=say)
    return keep(place, stamp, answers), False


def evaluate_ratings(
    layout: Layout,
    folder: str | PathLike[str],
    *,
    encoder: Encoder | None = None,
    engine: Engine = "demo",
    say: Say = lambda _: None,
) -> tuple[pd.DataFrame, bool]:
    """Examine all systems on triplets from PercePiano's ratings; see `examine_ratings`.

    Systems that learn do so from the library without the rated works. Where no passages are
    stored, only notes are compared.

    Returns
    -------
    answers : DataFrame
    reused : bool

    Raises
    ------
    DatasetError
        If the folder is not PercePiano's.
    """
    from mess_core.audio import file_sha256
    from mess_core.evaluation.human import examine_ratings

    with_clips = layout.passages.exists() and layout.planted_triplets.exists()
    digests = [file_sha256(f"{folder}/{name}.csv") for name in ("ratings", "raters")]
    stamp = fingerprint(layout if with_clips else None, "work", "ratings", engine, *digests)
    place = layout.evaluation / "ratings"
    if (found := kept(place, stamp)) is not None:
        return found, True
    if not with_clips:
        return keep(place, stamp, examine_ratings(folder, say=say)), False
    exam = load_exam(layout, encoder=encoder, say=say)
    _, _, manifest = load_matrix(layout)
    identity = manifest["identity"]
    used = cache(partial(matching_encoder, identity, encoder))

    def lesson_without(works: set[str]) -> Lesson:
        table = exam.passages
        rated = [_is_of(str(one), works) for one in table["work_id"]]
        left = table.loc[~np.asarray(rated), "track_id"].astype(str)
        return lesson_of(exam, left.unique().tolist())

    def make(names: Sequence[str], performances: Sequence[Any]) -> Clips:
        return rendered_clips(
            names,
            performances,
            layout.rendered,
            identity=identity,
            encoder=used,
            engine=engine,
            say=say,
        )

    answers = examine_ratings(
        folder, systems=_systems(layout), lesson_without=lesson_without, make=make, say=say
    )
    return keep(place, stamp, answers), False


def evaluate_judgements(layout: Layout, *, by: SplitBy = "work") -> pd.DataFrame:
    """Examine all systems on the triplets that judges answered, if there are any.

    Returns
    -------
    DataFrame
        As `examine_judgements` gives; empty without answers to the present triplets by judges
        who pass their attention checks.
    """
    import pandas as pd

    place = layout.evaluation / "judged"
    if not is_local(layout.root) or not layout.judgements.exists():
        return pd.DataFrame()
    everything = read_judgements(layout)
    judgements = everything[everything["triplets"] == read_triplets(layout).digest]
    told = judge_table(judgements)
    judgements = judgements[~judgements["judge"].isin(told.loc[told["flagged"], "judge"])]
    if judgements.empty:
        answers_table(place).unlink(missing_ok=True)
        return judgements
    triplets = read_table(layout.human_triplets)
    answers = examine_judgements(
        load_exam(layout), _split(layout, by), _systems(layout), triplets, judgements
    )
    return keep(place, fingerprint(layout, by, judgements.to_csv(index=False)), answers)


def store_leaderboard(layout: Layout, *, by: SplitBy = "work") -> dict[str, Any]:
    """Put all answers that are stored side by side: table, Markdown and picture.

    Returns
    -------
    dict
        ``summary`` and ``rungs`` (DataFrames), ``markdown``, ``png``, ``notes``.

    Raises
    ------
    StoreError
        If no system was examined yet.
    """
    import pandas as pd

    answers = [read_table(answers_table(layout.evaluation / f"retrieval-{by}"))]
    notes = {"split": f"by {by}, {load_split(layout.splits / f'{by}.json').sha256[:12]}"}
    _, _, manifest = load_matrix(layout)
    encoder = str(manifest["identity"]["encoder"])
    untrained = encoder.startswith("untrained:")
    notes["encoder"] = encoder + (" (untrained: a control, not a model)" if untrained else "")
    for name in ("ratings", "judged"):
        with contextlib.suppress(StoreError):
            answers.append(read_table(answers_table(layout.evaluation / name)))
            notes[name] = "included"
    if layout.planted_triplets.exists():
        engines = read_table(layout.planted_triplets)["engine"].unique()
        notes["planted clips rendered by"] = ", ".join(engines)
    together = pd.concat(answers, ignore_index=True)
    summary = summarise(together)
    ladders: dict[str, list[str]] = {
        objective: [one.name for one in _systems(layout) if one.objective == objective]
        for objective in _OBJECTIVES
    }
    rungs = compare_rungs(together, ladders)
    found = {
        "summary": summary,
        "rungs": rungs,
        "notes": notes,
        "markdown": leaderboard_markdown(summary, rungs, notes),
        "png": leaderboard_png(summary),
    }
    folder = layout.leaderboard
    write_table(folder / "leaderboard.parquet", summary)
    write_table(folder / "rungs.parquet", rungs)
    write_bytes(folder / "leaderboard.png", found["png"])
    write_bytes(folder / "leaderboard.md", found["markdown"].encode())
    return found


def _systems(layout: Layout) -> list[System]:
    _, _, manifest = load_matrix(layout)
    identity = manifest["identity"]
    return [
        *baselines(identity["layers"], str(identity["encoder"])),
        *(system for objective in _OBJECTIVES for system in ladder(objective)),
    ]


def _split(layout: Layout, by: SplitBy) -> Split:
    return load_split(layout.splits / f"{by}.json")


def _is_of(work: str, works: set[str]) -> bool:
    """Whether a work is one of these or a piece of one."""
    return any(work == one or work.startswith(f"{one}-") for one in works)
