"""What should hold of the stored evaluation."""

from __future__ import annotations

import contextlib
from typing import get_args

import numpy as np

from mess_core.errors import MessError, StoreError
from mess_core.evaluation.controls import control_table
from mess_core.evaluation.judging_plan import parse_triplets
from mess_core.evaluation.kept import answers_table
from mess_core.evaluation.leaks import split_leaks
from mess_core.evaluation.single_factor import FACTORS
from mess_core.evaluation.splits import SplitBy, load_split
from mess_core.search.heads import list_heads, load_head
from mess_core.store.checks import EXAMPLES, Finding
from mess_core.store.layout import Layout
from mess_core.store.matrix import load_matrix
from mess_core.store.tables import read_table

__all__ = [
    "check_controls",
    "check_frozen_splits",
    "check_heads",
    "check_human_triplets",
    "check_leaderboard",
    "check_passages",
    "check_planted_triplets",
]


def check_frozen_splits(layout: Layout) -> Finding:
    """No work, performer or recording is on both sides, and no file was changed."""
    tracks = read_table(layout.tracks)
    facts: dict[str, object] = {}
    for by in get_args(SplitBy):
        with contextlib.suppress(StoreError):
            leaks = split_leaks(tracks, load_split(layout.splits / f"{by}.json"))
            facts[by] = [f"{leak.kind}: {leak.what}" for leak in leaks[:EXAMPLES]]
    return Finding("work" in facts and not any(facts.values()), facts)


def check_passages(layout: Layout) -> Finding:
    """Every passage has several performances, of tracks that are there."""
    table, tracks = read_table(layout.passages), read_table(layout.tracks)
    lonely = table["passage_id"].value_counts() < 2
    gone = set(table["track_id"]) - set(tracks["track_id"])
    return Finding(
        not lonely.any() and not gone and table["clip_id"].is_unique,
        {
            "clips": len(table),
            "passages": table["passage_id"].nunique(),
            "works": table["work_id"].nunique(),
            "gone": sorted(gone)[:EXAMPLES],
        },
    )


def check_planted_triplets(layout: Layout) -> Finding:
    """Every factor is asked of most of the same clips, all of them stored passages."""
    planted, passages = read_table(layout.planted_triplets), read_table(layout.passages)
    known = set(passages["clip_id"])
    per_factor = planted["factor"].value_counts()
    return Finding(
        set(per_factor.index) == set(FACTORS)
        and int(per_factor.min()) >= planted["clip_id"].nunique() / 2
        and set(planted["clip_id"]) <= known,
        {str(factor): int(count) for factor, count in per_factor.items()},
    )


def check_human_triplets(layout: Layout) -> Finding:
    """The table can be judged, and each kind has its share."""
    table = read_table(layout.human_triplets)
    parse_triplets(table)
    kinds = table["kind"].value_counts()
    return Finding(
        len(kinds) == 3 and int(kinds.min()) >= len(table) // 4,
        {"triplets": len(table), **{str(kind): int(count) for kind, count in kinds.items()}},
    )


def check_heads(layout: Layout, names: list[str]) -> Finding:
    """These heads are there, load, are of the present encoder, and give unit vectors."""
    matrix, _, manifest = load_matrix(layout)
    problems = {}
    for name in names:
        if name not in list_heads(layout.heads):
            problems[name] = "not there"
            continue
        try:
            head = load_head(layout.heads, name, identity=manifest["identity"])
        except MessError as error:
            problems[name] = error.problem
            continue
        norm = np.linalg.norm(head(matrix[:50]), axis=1)
        if not np.allclose(norm, 1.0, atol=1e-3):
            problems[name] = "its vectors are not of unit length"
    return Finding(not problems, {"heads": ", ".join(names), "problems": problems})


def check_controls(layout: Layout, name: str) -> Finding:
    """On shuffled truths no system is above chance, each looked at by itself.

    A system that is has seen test labels in training.
    """
    answers = read_table(answers_table(layout.evaluation / name))
    passages = read_table(layout.passages) if layout.passages.exists() else None
    passage_of = (
        {}
        if passages is None
        else dict(zip(passages["clip_id"], passages["passage_id"], strict=True))
    )
    table = control_table(answers, passage_of)
    suspicious = table[table["suspicious"]]
    facts: dict[str, object] = {
        "systems": int(table["system"].nunique()),
        "criteria": int(table["criterion"].nunique()),
        "suspicious": [
            f"{row.system} on {row.criterion} ({row.metric}): {row.off:+.3f}"
            for row in suspicious.head(EXAMPLES).itertuples()
        ],
    }
    if len(table):
        worst = table.loc[table["off"].idxmax()]
        facts["highest"] = f"{worst.system} on {worst.criterion}: {worst.off:+.3f}"
    return Finding(suspicious.empty and len(table) > 0, facts)


def check_leaderboard(layout: Layout) -> Finding:
    """Every mean lies in its interval (there is none over a single work), and n is told."""
    table = read_table(layout.leaderboard / "leaderboard.parquet")
    inside = (table["low"] - 1e-9 <= table["mean"]) & (table["mean"] <= table["high"] + 1e-9)
    inside |= table["clusters"] == 1
    return Finding(
        bool(inside.all() and (table["n"] > 0).all()),
        {"systems": table["system"].nunique(), "criteria": table["criterion"].nunique()},
    )
