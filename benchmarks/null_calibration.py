"""Calibration of layer discovery: false positives in noise, and detection of a known signal.

Pure noise: the share of libraries in which any target has q <= 0.05 (family-wise). Embeddings and
targets are similar within works, as in real libraries. With a signal in one layer: how often the
inner folds choose that layer, and how often it counts as evidence. Two encoders on pure noise: how
often any difference between them is significant.

    python benchmarks/null_calibration.py [--simulations 200] [--permutations 499]
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd

from mess_core.probing import ProbingSettings, discover
from mess_core.probing.encoder_comparison import compare_encoders

ALPHAS = (1, 10, 100, 1000)
LAYERS, DIM, TARGETS, SIGNAL_LAYER = 4, 16, 6, 2


def simulate(seed: int, permutations: int, signal: float):
    x, table, works, groups = library(seed, signal)
    return discover(
        x, table, works, permutations=permutations, alphas=ALPHAS, resamples=100, seed=seed,
        groups=groups,
    )  # fmt: skip


def library(seed: int, signal: float):
    """Embeddings, targets, works and groups."""
    rng = np.random.default_rng([seed, 5])
    # Works of 1 to 4 tracks, and groups of one to three works, as pieces of an opus are.
    of_work = np.repeat(np.arange(24), np.resize([1, 2, 2, 3, 4], 24))
    tracks, works_in = len(of_work), int(of_work.max()) + 1
    of_group = np.repeat(np.arange(13), np.resize([1, 2, 2, 2, 3], 13))[:works_in][of_work]
    x = rng.standard_normal((works_in, LAYERS, DIM))[of_work]
    x = x + rng.standard_normal((tracks, LAYERS, DIM))
    y = rng.standard_normal((works_in, TARGETS))[of_work] + rng.standard_normal((tracks, TARGETS))
    y[:, 0] += signal * x[:, SIGNAL_LAYER, 0]
    table = pd.DataFrame(y, columns=[f"target{index}" for index in range(TARGETS)])
    works = [f"w{work}" for work in of_work]
    return x, table, works, [f"g{group}" for group in of_group]


def compare(seed: int):
    """Two encoders, of other shapes, that know nothing of the targets."""
    x, table, works, groups = library(seed, 0.0)
    other = np.random.default_rng([seed, 6]).standard_normal((len(x), 3, 24))
    settings = ProbingSettings(permutations=0, alphas=ALPHAS, resamples=300, seed=seed)
    return compare_encoders(
        {"first": x, "second": other}, table, works, groups=groups, settings=settings
    ).differences


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--simulations", type=int, default=200)
    parser.add_argument("--permutations", type=int, default=499)
    arguments = parser.parse_args()
    count = arguments.simulations
    noise = [simulate(seed, arguments.permutations, 0.0) for seed in range(count)]
    by_q = sum(bool((one.summary["q"] <= 0.05).any()) for one in noise)
    differences = [compare(seed) for seed in range(count)]
    by_sign = sum(bool((one["q"] <= 0.05).any()) for one in differences)
    by_both = sum(bool(one["significant"].any()) for one in differences)
    by_evidence = sum(bool(one.table["evidence"].any()) for one in noise)
    print(f"noise: q <= 0.05 anywhere in {by_q} of {count}, evidence in {by_evidence} of {count}")
    print(f"two encoders on noise: q <= 0.05 in {by_sign}, significant in {by_both} of {count}")
    with_signal = [simulate(seed, arguments.permutations, 2.0) for seed in range(count // 4)]
    chosen = sum(int(one.summary["layer"][0]) == SIGNAL_LAYER for one in with_signal)
    rows = [
        one.table.query("target == 'target0' and layer == @SIGNAL_LAYER").iloc[0]
        for one in with_signal
    ]
    found = sum(bool(row["evidence"]) for row in rows)
    print(
        f"signal in layer {SIGNAL_LAYER}: chosen in {chosen} of {len(with_signal)}, evidence there "
        f"in {found}"
    )


if __name__ == "__main__":
    main()
