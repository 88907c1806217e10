"""The examination of a data root, step by step, each kept and made again only when it must.

Every result stands beside the fingerprint of what it was made from: tables, embeddings,
split, MIDI, settings and `EVALUATION_VERSION`. Asked for again with the same fingerprint, a
step returns what is there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from functools import cache, partial
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from mess_core.errors import MessError, StoreError, TooLittleError
from mess_core.evaluation.cache import (
    answers_table,
    digest,
    drop,
    folder_fingerprint,
    keep,
    kept,
    library_fingerprint,
    library_of,
)
from mess_core.evaluation.data import Exam, Lesson, lesson_of, load_exam
from mess_core.evaluation.leaderboard import (
    compare_rungs,
    leaderboard_markdown,
    leaderboard_png,
    summarise,
)
from mess_core.evaluation.listener_protocol import examine_judgements
from mess_core.evaluation.protocol import examine
from mess_core.evaluation.splits import Split, SplitBy, load_split
from mess_core.evaluation.systems import RUNGS, System, baselines, fit_head, ladder
from mess_core.judgements.agreement import vetted
from mess_core.judgements.response_log import read_judgements, read_triplets
from mess_core.ranking.clips import Clips, rendered_clips
from mess_core.ranking.pairs import Objective
from mess_core.search.recordings import matching_encoder
from mess_core.search.served_heads import load_head, save_head, withdraw_head
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
    stamp = digest("head", rung, library_fingerprint(layout, by))
    found: dict[str, Any] = {}
    exam: Exam | None = None
    for objective in _OBJECTIVES:
        if (name := head_name(objective, rung)) not in head_names(rung):
            continue
        place = layout.heads / name / "training.json"
        with contextlib.suppress(MessError):  # nothing, or nothing that can be served
            record = read_json(place)
            served = load_head(layout.heads, name, identity=manifest["identity"])
            if record["fingerprint"] == stamp == served.made_from["fingerprint"]:
                found[name] = {**record, "reused": True}
                continue
        exam = exam or load_exam(layout, say=say)
        say(f"training {name}")
        made_from = {
            "identity": manifest["identity"],
            "objective": objective,
            "rung": rung,
            "split": by,
            "fingerprint": stamp,
        }
        try:
            lesson = lesson_of(exam, exam.passages["track_id"].astype(str).unique().tolist())
            trained = fit_head(lesson, objective, rung, made_from=made_from)
        except MessError as error:
            withdraw_head(layout.heads, name)  # one of other data must not be served instead
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
        If an input is not there.
    TooLittleError
        If there is no such split, or no fold has anything to learn and to ask.
    DatasetError
        If the split leaks, or is of another track table.
    """
    place = layout.evaluation / f"retrieval-{by}"
    library = library_fingerprint(layout, by)
    stamp = digest("retrieval", library)
    if (found := kept(place, stamp)) is not None:
        return found, True
    split = _split(layout, by)
    exam = load_exam(layout, encoder=encoder, say=say)
    answers = examine(exam, split, _systems(layout), say=say)
    return keep(place, stamp, answers, library), False


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
    from mess_core.datasets.rendering import engine_in_use
    from mess_core.evaluation.rated_protocol import examine_ratings

    with_clips = layout.passages.exists() and layout.planted_triplets.exists()
    library = library_fingerprint(layout, "work") if with_clips else None
    stamp = digest("ratings", library, engine_in_use(engine), folder_fingerprint(folder))
    place = layout.evaluation / "ratings"
    if (found := kept(place, stamp)) is not None:
        return found, True
    if not with_clips:
        return keep(place, stamp, examine_ratings(folder, say=say), None), False
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
    return keep(place, stamp, answers, library), False


def evaluate_judgements(
    layout: Layout, *, by: SplitBy = "work", say: Say = lambda _: None
) -> tuple[pd.DataFrame, bool]:
    """Examine all systems on the triplets that judges answered, if there are any.

    Returns
    -------
    answers : DataFrame
        As `examine_judgements` gives; empty without answers to the present triplets by judges
        who passed their attention checks, and then none are kept.
    reused : bool
    """
    import pandas as pd

    place = layout.evaluation / "judged"
    judgements = pd.DataFrame()
    if is_local(layout.root) and layout.judgements.exists() and layout.human_triplets.exists():
        everything = read_judgements(layout)
        current = everything[everything["triplets"] == read_triplets(layout).digest]
        judgements = vetted(current)
    if judgements.empty:
        drop(place)
        return judgements, False
    library = library_fingerprint(layout, by)
    stamp = digest("judged", library, judgements.to_csv(index=False))
    if (found := kept(place, stamp)) is not None:
        return found, True
    triplets = read_table(layout.human_triplets)
    answers = examine_judgements(
        load_exam(layout), _split(layout, by), _systems(layout), triplets, judgements, say=say
    )
    return keep(place, stamp, answers, library), False


def store_leaderboard(layout: Layout, *, by: SplitBy = "work") -> dict[str, Any]:
    """Put all answers that are stored side by side: table, Markdown and picture.

    Returns
    -------
    dict
        ``summary`` and ``rungs`` (DataFrames), ``markdown``, ``png``, ``notes``.

    Raises
    ------
    StoreError
        If no system was examined yet, or on another state of the library.
    """
    import pandas as pd

    library = library_fingerprint(layout, by)
    place = layout.evaluation / f"retrieval-{by}"
    if library_of(place) != library:
        raise StoreError(
            "is of another state of the library: tables, embeddings or MIDI have changed since",
            path=str(answers_table(place)),
            remedy="Run `mess evaluate`, or materialise `retrieval_evaluation`",
        )
    answers = [read_table(answers_table(place))]
    notes = {"split": f"by {by}, {_split(layout, by).sha256[:12]}"}
    _, _, manifest = load_matrix(layout)
    encoder = str(manifest["identity"]["encoder"])
    untrained = encoder.startswith("untrained:")
    notes["encoder"] = encoder + (" (untrained: a control, not a model)" if untrained else "")
    for name in ("ratings", "judged"):
        with contextlib.suppress(StoreError):
            about = library_of(layout.evaluation / name)
            if about not in {None, library}:
                notes[name] = "left out: they are of another state of the library"
                continue
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
    place = layout.splits / f"{by}.json"
    if not place.exists():
        raise TooLittleError(
            f"there is no split by {by}: the library has too few groups, or none was made yet",
            path=str(place),
            remedy="Add recordings, then run `mess evaluate` or materialise `splits`",
        )
    return load_split(place)


def _is_of(work: str, works: set[str]) -> bool:
    """Whether a work is one of these or a piece of one."""
    return any(work == one or work.startswith(f"{one}-") for one in works)
