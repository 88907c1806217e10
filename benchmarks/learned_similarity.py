"""Evaluate some systems on a library that `mess evaluate` has prepared, or on human ratings.

The whole sequence with its controls is `mess evaluate`; this runs those systems whose names contain
one of the given texts, beside random order, audio descriptors and the layers chosen on training
works, and compares each with the chosen layer (ratings: with the raters' other half).

    mess corpus MAESTRO_MIDI shared-works --soundfont A.sf2 --soundfont B.sf2
    MESS_DATASETS=shared=shared-works mess run --data DATA
    python benchmarks/learned_similarity.py DATA regression aligned [--permutations 1]
    python benchmarks/learned_similarity.py DATA regression aligned --percepiano FOLDER
"""

from __future__ import annotations

import argparse
import time

import pandas as pd

from mess_core.encoders.chosen import choose_encoder
from mess_core.evaluation import preparation
from mess_core.evaluation.leaderboard import summarise
from mess_core.evaluation.pipeline import Evaluation
from mess_core.evaluation.protocol import evaluate_systems
from mess_core.evaluation.systems import System
from mess_core.statistics import compare_paired
from mess_core.store.layout import Layout

ALWAYS = ("random", "audio descriptors", "layer chosen", "mean layer")


def prepare(layout: Layout) -> None:
    """Make splits, passages and single-factor triplets, unless they are there."""
    if not layout.passages.exists() or not (layout.splits / "work.json").exists():
        preparation.store_splits(layout)
        preparation.store_passages(layout)
    if not layout.single_factor_triplets.exists():
        preparation.store_single_factor_triplets(layout)


def compared(answers: pd.DataFrame, criterion: str, metric: str, reference: str) -> None:
    """Print each system against the reference, on the same queries."""
    own = answers[(answers["criterion"] == criterion) & (answers["metric"] == metric)]
    values = own.pivot(index="query", columns="system", values="value")
    cluster = own.drop_duplicates("query").set_index("query")["cluster"].loc[values.index]
    base = next(name for name in values.columns if reference in name)
    print(f"\n{criterion}, against {base}:")
    for name in values.columns.drop(base):
        found = compare_paired(values[name], values[base], cluster.tolist())
        print(
            f"  {name}: {found.difference:+.3f} ({found.low:+.3f} to {found.high:+.3f}), "
            f"p = {found.p:.4f}, n = {found.n}, {found.clusters} clusters"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("data")
    parser.add_argument("names", nargs="+", help="Texts that names of systems contain.")
    parser.add_argument("--encoder")
    parser.add_argument("--permutations", type=int, default=0)
    parser.add_argument("--percepiano", help="Score human ratings instead of retrieval.")
    args = parser.parse_args()
    layout = choose_encoder(Layout(args.data), args.encoder, indexed=False)
    prepare(layout)
    whole = Evaluation(layout)
    wanted = (*ALWAYS, *args.names)
    systems: list[System] = [
        one for one in whole.systems if any(text in one.name for text in wanted)
    ]
    began = time.perf_counter()
    if args.percepiano:
        scores, _ = Evaluation(layout, systems=systems).ratings(args.percepiano)
        compared(scores, "PercePiano", "triplets", "raters")
    else:
        scores = evaluate_systems(
            whole.benchmark, whole.split, systems, permutations=args.permutations
        )
        compared(scores, "content", "RR@10", "layer chosen for content")
        for criterion in ("expression", "single factor: tempo_curve"):
            compared(scores, criterion, "triplets", "layer chosen for expression")
    summary = summarise(scores)
    shown = summary[summary["metric"].isin(["RR@10", "triplets"])]
    print(f"\n{time.perf_counter() - began:.0f} s\n")
    print(shown.drop(columns="chance").round(3).to_string(index=False))


if __name__ == "__main__":
    main()
