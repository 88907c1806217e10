"""Encoders on people's ratings: agreement of each, and the first against the others.

    python benchmarks/rated_encoders.py DATA mess-piano untrained-tiny

Reads what `mess evaluate --encoder NAME --percepiano FOLDER` has stored of each encoder. Prints the
mean over passages with its interval over groups that share bars, the difference to the raters'
other half, that of the first encoder to this one, and the mean with permuted ratings.
"""

from __future__ import annotations

import argparse

import pandas as pd

from mess_core.evaluation.leaderboard import clustered_mean, compare_paired
from mess_core.store.layout import Layout
from mess_core.store.tables import read_table

RATERS, CRITERION = "raters, other half", "PercePiano"


def scores(layout: Layout) -> pd.DataFrame:
    """Return the stored scores, with systems named alike for all encoders."""
    table: pd.DataFrame = read_table(layout.evaluation / "ratings.parquet")
    means = table.loc[table["system"].str.endswith(", mean layer"), "system"]
    own = means.iloc[0].removesuffix("mean layer")
    return table.assign(system=table["system"].str.removeprefix(own))


def of(table: pd.DataFrame, system: str, criterion: str) -> pd.DataFrame:
    chosen = (table["system"] == system) & (table["criterion"] == criterion)
    return table[chosen].set_index("query").sort_index()


def against(first: pd.DataFrame, second: pd.DataFrame) -> str:
    """Return the mean difference of two systems on the same passages, with interval and p."""
    if first.empty or list(first.index) != list(second.index):
        return ""
    found = compare_paired(first["value"], second["value"], first["cluster"].tolist())
    return f"{found.difference:+.3f} ({found.low:+.3f} to {found.high:+.3f}), p = {found.p:.2g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("encoders", nargs="+", help="folder names, as `mess encoders` lists them")
    args = parser.parse_args()
    tables = {one: scores(Layout(args.data, one)) for one in args.encoders}
    first = tables[args.encoders[0]]
    print(f"| criterion, system | encoder | agreement | raters | {args.encoders[0]} | permuted |")
    print("| --- | --- | --- | --- | --- | --- |")
    for criterion in (CRITERION, f"{CRITERION}, by movement"):
        for system in first.loc[first["criterion"] == criterion, "system"].unique():
            for encoder, table in tables.items():
                own = of(table, system, criterion)
                if own.empty:
                    continue
                raters = of(table, RATERS, CRITERION)
                other = "" if table is first else against(of(first, system, criterion), own)
                permuted = of(table, system, f"{criterion} (permuted)")["value"].mean()
                mean = clustered_mean(own["value"], own["cluster"].tolist())
                print(
                    f"| {criterion}: {system} | {encoder} | {mean} | {against(own, raters)} | "
                    f"{other} | {permuted:.3f} |"
                )


if __name__ == "__main__":
    main()
