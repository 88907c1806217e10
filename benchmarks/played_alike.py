"""Ten queries by the aspect "played alike" among performances of one work, with pictures.

For each of ten works that the encoder was not trained on, a query is drawn; the other performances
are ranked by the served head. Plots tempo and dynamics of a passage for the query, its nearest and
its farthest performance, and prints how far those are apart in what the notes say. The served head
has learned from these works, so this shows what it does, not how well it does on others: that is in
the leaderboard.

    python benchmarks/played_alike.py DATA [--out played-alike.png] [--seed 0]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from mess_core.probing.pipeline import works_in_training
from mess_core.ranking.passage_curves import passage_curves
from mess_core.ranking.shared_passages import read_excerpts
from mess_core.ranking.triplets import EXPRESSION, expression_unit, expression_values
from mess_core.search import Library
from mess_core.search.learned_aspect import PLAYED_ALIKE
from mess_core.store.tables import read_table

QUERIES, FEWEST = 10, 5
SHOWN = {"log_duration": "duration", "velocity_mean": "velocity", "overlap_key": "articulation"}


def queries(passages: pd.DataFrame, rng: np.random.Generator) -> list[pd.DataFrame]:
    """Return one passage of each of ten works, with at least five performances."""
    passages = passages.drop_duplicates(["passage_id", "track_id"])
    size = passages.groupby("passage_id")["track_id"].transform("size")
    several = passages[size >= FEWEST].assign(size=size)
    works = rng.permutation(several["work_id"].unique())[:QUERIES]
    found = []
    for work in works:
        own = several[several["work_id"] == work]
        longest = own.sort_values("size", ascending=False)["passage_id"].iloc[0]
        found.append(own[own["passage_id"] == longest].reset_index(drop=True))
    return found


def apart_on_shared(passages: pd.DataFrame, values: np.ndarray, tracks: list[str]) -> np.ndarray:
    """Return how far each track is from the first, [tracks, descriptors].

    Absolute differences, averaged over all passages of the work that both contain.
    """
    of_track = {
        track: dict(zip(rows["passage_id"], values[rows["row"]], strict=True))
        for track, rows in passages.assign(row=range(len(passages))).groupby("track_id")
    }
    found = []
    for track in tracks:
        shared = set(of_track[track]) & set(of_track[tracks[0]])
        found.append(
            np.nanmean(
                [np.abs(of_track[track][p] - of_track[tracks[0]][p]) for p in shared], axis=0
            )
        )
    return np.array(found)


def main() -> None:
    from matplotlib.figure import Figure

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--out", type=Path, default=Path("played-alike.png"))
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    library, rng = Library.open(args.data), np.random.default_rng(args.seed)
    if PLAYED_ALIKE not in library.aspects:
        raise SystemExit("no head helps in this library: run `mess evaluate` first")
    print(library.aspects[PLAYED_ALIKE].reason + "\n")
    passages = read_table(library.layout.passages)
    heard = works_in_training(library.layout, passages, library.encoder)
    passages = passages[~passages["track_id"].astype(str).isin(heard)]
    everything = expression_values(read_excerpts(passages, library.tracks))
    unit = expression_unit(everything, passages["passage_id"].tolist())
    chosen = queries(passages, rng)
    figure = Figure(figsize=(13, 2.1 * len(chosen)), dpi=75, layout="tight")
    axes = figure.subplots(len(chosen), 2, squeeze=False)
    head = [f"{name}, {way}" for name in SHOWN.values() for way in ("nearest", "farthest")]
    print(f"| work | performances | {' | '.join(head)} | all ten: nearest | others | farthest |")
    print("| --- |" + " --- |" * (len(head) + 4))
    totals = []
    for row, table in zip(axes, chosen, strict=True):
        performances = read_excerpts(table, library.tracks)
        names = table["track_id"].astype(str).tolist()
        query = names[int(rng.integers(len(names)))]
        hits = library.similar(query, {PLAYED_ALIKE: 1.0}, k=10**4)["track_id"].astype(str)
        order = [names.index(query), *(names.index(one) for one in hits if one in names)]
        curves = passage_curves([performances[index] for index in order])
        own = passages["work_id"] == table["work_id"].iloc[0]
        apart = apart_on_shared(passages[own], everything[own] / unit, [names[i] for i in order])
        cells = []
        for name in SHOWN:
            column = EXPRESSION.index(name)
            cells += [f"{apart[1, column]:.1f}", f"{apart[-1, column]:.1f}"]
        every = np.sqrt(np.nanmean(np.square(apart), axis=1))
        totals.append((every[1], every[2:-1].mean(), every[-1]))
        work = f"{table['work_id'].iloc[0]}"[:40]
        shown = " | ".join(f"{value:.2f}" for value in totals[-1])
        print(f"| {work} | {len(names)} | {' | '.join(cells)} | {shown} |")
        for axis, name, label in zip(
            row, ("tempo", "velocity"), ("log2 tempo", "velocity"), strict=True
        ):
            for curve in curves[name][1:-1]:
                axis.plot(curve, color="#bbbbbb", linewidth=0.7)
            for index, colour, who in (
                (-1, "#ee6677", "farthest"), (1, "#4477aa", "nearest"), (0, "black", "query")
            ):  # fmt: skip
                axis.plot(curves[name][index], color=colour, linewidth=2, label=who)
            axis.set_title(f"{work}: {label}", fontsize=8)
            axis.tick_params(labelsize=7)
    axes[0, 0].legend(fontsize=7)
    axes[-1, 0].set_xlabel("sixteenths of the passage", fontsize=8)
    figure.savefig(args.out)
    means = np.mean(totals, axis=0)
    print(f"\nmean over ten: nearest {means[0]:.2f}, others {means[1]:.2f}, "
          f"farthest {means[2]:.2f}; pictures in {args.out}")  # fmt: skip


if __name__ == "__main__":
    main()
