"""Tell what an encoder's states hold, beside its baselines, as a table in Markdown.

From the data roots that `mess run` wrote for one data set and two encoders. The 22 targets are read
from ``probing``; the share of time that the pedal is down, which is not among them, is probed here
in the same way.

    python benchmarks/encoder_table.py PIANO_DATA TINY_DATA
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from mess_core.encoders.chosen import choose_encoder
from mess_core.probing import discover
from mess_core.probing.folds import grouping
from mess_core.probing.pipeline import probing_inputs
from mess_core.probing.results import load_discovery
from mess_core.store.layout import Layout
from mess_core.store.tables import read_table

EXTRA = "pedal_fraction"


def summary(root: str) -> pd.DataFrame:
    """One row per target and `EXTRA`, as ``probing/summary.parquet`` and its layer's row."""
    layout = choose_encoder(Layout(root), indexed=False)
    stored = load_discovery(layout.probing)[0]
    inputs = probing_inputs(layout)
    extra = read_table(layout.proxy_targets).set_index("track_id")[[EXTRA]]
    probed = discover(
        inputs.x,
        extra.loc[inputs.rows["track_id"]].reset_index(drop=True),
        inputs.rows["work_id"].tolist(),
        groups=grouping(layout, inputs.rows, "work"),
        untrained=inputs.untrained,
        descriptors=inputs.descriptors,
        layers=inputs.manifest["identity"]["layers"],
    )
    found = pd.concat([stored.summary, probed.summary], ignore_index=True)
    table = pd.concat([stored.table, probed.table], ignore_index=True)
    within = ["target", "layer", "r2_within", "r2_within_low", "r2_within_high"]
    return found.merge(table[within], on=["target", "layer"]).set_index("target")


def line(name: str, row: pd.Series, tiny: pd.Series) -> str:
    mark = "finding" if row["finding"] else "evidence" if row["evidence"] else ""
    count = f" (n = {row['n']:.0f})" if row["n"] < row["of"] else ""
    cells = [
        f"{name}{count}",
        f"{row['chosen_r2']:.2f} ({row['chosen_r2_low']:.2f} to {row['chosen_r2_high']:.2f})",
        f"{row['r2_within']:.2f} ({row['r2_within_low']:.2f} to {row['r2_within_high']:.2f})",
        f"{row['untrained_r2']:.2f}",
        f"{row['untrained_gain']:+.2f} ({row['untrained_gain_low']:+.2f} to "
        f"{row['untrained_gain_high']:+.2f})",
        f"{tiny['chosen_r2']:.2f}",
        f"{row['descriptors_r2']:.2f}",
        mark,
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("piano", type=Path)
    parser.add_argument("tiny", type=Path)
    args = parser.parse_args()
    piano, tiny = summary(str(args.piano)), summary(str(args.tiny))
    piano["of"] = piano["n"].max()
    heads = [
        "target", "R² (95 %)", "within works (95 %)", "untrained", "gain (95 %)", "tiny",
        "MFCC, chroma", "",
    ]  # fmt: skip
    print(f"| {' | '.join(heads)} |\n|{' --- |' * len(heads)}")
    for name, row in piano.iterrows():
        print(line(str(name), row, tiny.loc[name]))
    published = piano.drop(EXTRA)
    print(
        f"\n{piano['n'].max():.0f} performances of {piano['works'].max():.0f} works; evidence for "
        f"{published['evidence'].sum()} of {len(published)} targets "
        f"({tiny.drop(EXTRA)['evidence'].sum()} with tiny), "
        f"{published['finding'].sum()} findings"
    )


if __name__ == "__main__":
    main()
