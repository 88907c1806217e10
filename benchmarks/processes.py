"""What several processes save: targets, aligned works and probing, with 1, 2, ... of them.

    python benchmarks/processes.py DATA [--tracks 60] [--workers 1 2] [--only aligned]

DATA is a data root with tracks that have audio and MIDI, such as that of `make demo`. Results go to
temporary data roots and have to be the same, whatever the number. The first process of each kind is
started before, with one track, as in a long run. Prints seconds, the ratio to one process, and the
efficiency, which is the ratio over the number. Probing in one process uses all cores for its
products of matrices.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from mess_core.probing import discover
from mess_core.search import Library
from mess_core.store import Layout
from mess_core.targets.aligned import compute_aligned_targets
from mess_core.targets.tracks import compute_track_targets

Work = Callable[[pd.DataFrame, Path], object]


def targets(tracks: pd.DataFrame, folder: Path) -> object:
    outcomes = list(compute_track_targets(tracks, Layout(folder)))
    return [(one.track_id, one.status, one.digest) for one in outcomes]


def aligned(tracks: pd.DataFrame, folder: Path) -> object:
    works = list(compute_aligned_targets(tracks, Layout(folder)))
    return [(one.work_id, one.performances, one.problem) for one in works]


def probed(tracks: pd.DataFrame, folder: Path) -> object:
    """Probe random vectors with targets from two of them, of 600 rows in 200 works."""
    rng = np.random.default_rng(len(tracks))
    x = rng.standard_normal((600, 4, 256))
    y = pd.DataFrame(x[:, 0, :8] + x[:, 1, :8] + rng.standard_normal((600, 8)))
    y.columns = [f"target{one}" for one in range(8)]
    found = discover(x, y, [f"work{row // 3}" for row in range(600)], permutations=500)
    return found.table.round(6).to_csv()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--tracks", type=int, default=60)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    kinds: dict[str, Work] = {"targets": targets, "aligned": aligned, "probing": probed}
    parser.add_argument("--only", choices=kinds)
    args = parser.parse_args()
    tracks = Library.open(args.data).tracks
    tracks = tracks[tracks["audio_path"].notna() & tracks["midi_path"].notna()].head(args.tracks)
    hours = tracks["duration_s"].sum() / 3600
    print(f"{len(tracks)} tracks, {hours:.2f} h; {os.cpu_count()} cores\n")
    print("| work | processes | s | ratio | efficiency |\n| --- | --- | --- | --- | --- |")
    for name, work in kinds.items():
        if args.only not in (None, name):
            continue
        alone, expected = 0.0, None
        for workers in args.workers:
            os.environ["MESS_WORKERS"] = str(workers)
            with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as folder:
                work(tracks.head(2 * workers), Path(first))
                began = time.perf_counter()
                found = work(tracks, Path(folder))
                spent = time.perf_counter() - began
            if expected is None:
                alone, expected = spent, found
            assert found == expected, f"{name} with {workers} processes gives other results"
            ratio = alone / spent
            print(
                f"| {name} | {workers} | {spent:.1f} | {ratio:.2f} | {ratio / workers:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
