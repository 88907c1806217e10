"""Layer discovery against a scikit-learn loop, and its run time by library size.

Both use the same random data, folds by work and penalty in one call. The loop is
``cross_val_predict(make_pipeline(StandardScaler(), Ridge(alpha)))`` for each layer and target.
The whole nested protocol is timed as well: 15 penalties, 5 x 5 folds, all outputs except
permutations.

    python benchmarks/probing.py [--tracks 50 1276] [--device cpu] [--costs costs.png]

With ``--permutations`` it is the whole of probing instead, with the permutation test, an untrained
encoder and descriptors: seconds, and the peak memory of a process of its own.

    python benchmarks/probing.py --tracks 1276 --permutations 500

With ``--exact`` its p-values are compared with those of predicting every permuted target in
float64, which needs memory: 2 GB for 300 tracks.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

import numpy as np
import pandas as pd
from joblib.externals.loky import get_reusable_executor
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mess_core.probing import discover
from mess_core.probing.layer_probing import ALPHAS
from mess_core.probing.nested_cv import (
    Split,
    cross_predict,
    nested_predictions,
    nested_splits,
)
from mess_core.probing.permutation import permutation_p, work_block_permutations
from mess_core.probing.permuted_targets import PermutedTargets
from mess_core.probing.scores import r2

LAYERS, DIM, TARGETS, ALPHA = 13, 768, 22, 100.0


def library(tracks: int, layers: int = LAYERS, targets: int = TARGETS):
    """Return random embeddings, noisy targets from two layers, and works of three tracks."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((tracks, layers, DIM))
    y = x[:, : min(2, layers), :targets].sum(axis=1) + rng.standard_normal((tracks, targets))
    return x, y, [f"work{index // 3}" for index in range(tracks)]


def by_loop(x: np.ndarray, y: np.ndarray, splits: list[Split]) -> np.ndarray:
    fold = np.empty(len(y), dtype=int)
    for index, split in enumerate(splits):
        fold[split.test] = index
    scores = np.empty((x.shape[1], y.shape[1]))
    for layer in range(x.shape[1]):
        for target in range(y.shape[1]):
            model = make_pipeline(StandardScaler(), Ridge(alpha=ALPHA))
            guess = cross_val_predict(model, x[:, layer], y[:, target], cv=PredefinedSplit(fold))
            scores[layer, target] = r2_score(y[:, target], guess)
    return scores


def ours(x: np.ndarray, y: np.ndarray, splits: list[Split], device: str) -> np.ndarray:
    layers = range(x.shape[1])
    guesses = (cross_predict(x[:, layer], y, splits, ALPHA, device=device) for layer in layers)
    return np.stack([r2(y, guess) for guess in guesses])


def nested_seconds(tracks: int, layers: int = LAYERS, targets: int = TARGETS, device="cpu"):
    x, y, works = library(tracks, layers, targets)
    table = pd.DataFrame(y, columns=[f"target{index}" for index in range(targets)])
    began = time.perf_counter()
    discover(x, table, works, permutations=0, device=device)
    return time.perf_counter() - began


def whole_seconds(tracks: int, permutations: int, device: str) -> float:
    """Return the seconds of probing with the permutation test and all baselines."""
    x, y, works = library(tracks)
    rng = np.random.default_rng(1)
    began = time.perf_counter()
    discover(
        x.astype(np.float32),
        pd.DataFrame(y, columns=[f"target{index}" for index in range(TARGETS)]),
        works,
        untrained=rng.standard_normal(x.shape).astype(np.float32),
        descriptors=rng.standard_normal((tracks, 100)),
        permutations=permutations,
        device=device,
    )
    return time.perf_counter() - began


def print_whole(sizes: list[int], permutations: int, device: str) -> None:
    """Print seconds and peak memory of the whole of probing for each library size."""
    print("| tracks | permutations | s | peak memory, GB |\n| --- | --- | --- | --- |")
    for tracks in sizes:
        seconds = whole_seconds(tracks, permutations, device)
        get_reusable_executor().shutdown(wait=True)  # so that the workers' memory is known
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
        peak = f"{own:.2f}" + (f", of a worker {children:.2f}" if children else "")
        print(f"| {tracks} | {permutations} | {seconds:.1f} | {peak} |", flush=True)


def print_exact(tracks: int, permutations: int) -> None:
    """Print how many p-values differ from those of predicting every permuted target in float64."""
    x, y, works = library(tracks)
    splits, alphas = nested_splits(works, 5, 5, seed=0), np.asarray(ALPHAS)
    orders = work_block_permutations(works, permutations, seed=0)
    columns = np.moveaxis(y[orders], 0, 1).reshape(tracks, -1)
    ours, exact, observed = [], [], []
    for layer in range(LAYERS):
        permuted = PermutedTargets(y, orders, alphas)
        found = nested_predictions(
            x[:, layer], y, splits, alphas, targets=TARGETS, permuted=permuted
        )
        ours.append(found.permuted_r2)
        one_by_one = nested_predictions(x[:, layer], columns, splits, alphas, targets=0)
        exact.append(r2(columns, one_by_one.predicted).reshape(permutations, TARGETS))
        observed.append(r2(y, found.predicted))
    both = [permutation_p(np.stack(observed), np.max(one, axis=0)) for one in (ours, exact)]
    apart = np.abs(both[0] - both[1])
    other = np.abs(np.stack(ours) - np.stack(exact)) > 1e-4  # another penalty has been chosen
    print(
        f"{int((apart > 0).sum())} of {apart.size} p-values differ, by at most {apart.max():.4f}; "
        f"{other.mean():.1e} of the permuted R² differ by more than 1e-4"
    )


def plot_costs(path: Path, device: str) -> None:
    """Plot the run time of the nested protocol against tracks, targets and layers."""
    from matplotlib.figure import Figure

    base = 200
    sweeps = {
        "tracks": ([50, 100, 200, 400, 800, 1276], lambda n: nested_seconds(n, device=device)),
        "targets": (
            [1, 22, 100, 400],
            lambda n: nested_seconds(base, targets=n, device=device),
        ),
        "layers": ([1, 4, 13, 25], lambda n: nested_seconds(base, layers=n, device=device)),
    }
    figure = Figure(figsize=(11, 3.4), dpi=110, layout="tight")
    for axis, (name, (values, run)) in zip(figure.subplots(1, 3), sweeps.items(), strict=True):
        seconds = [run(value) for value in values]
        print(
            f"{name}: " + ", ".join(f"{v}: {s:.2f} s" for v, s in zip(values, seconds, strict=True))
        )
        axis.plot(values, seconds, "o-", color="#4477aa")
        axis.set(xlabel=name, ylabel="s, nested protocol", xscale="log", yscale="log")
    figure.savefig(path)
    print(f"wrote {path}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tracks", type=int, nargs="+", default=[50, 1276])
    parser.add_argument("--device", default="cpu", help="device of MESS; the loop runs on the CPU")
    parser.add_argument("--costs", type=Path, help="also plot run times to this PNG")
    parser.add_argument("--permutations", type=int, help="the whole of probing, with so many")
    parser.add_argument("--exact", action="store_true", help="compare p-values with float64")
    arguments = parser.parse_args()
    device = arguments.device
    if arguments.exact:
        for tracks in arguments.tracks:
            print_exact(tracks, arguments.permutations or 500)
        return
    if arguments.permutations is not None:
        print_whole(arguments.tracks, arguments.permutations, device)
        return
    print(
        "| tracks | loop s | ours s | ratio | largest difference of R² | nested s | loop / nested |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for tracks in arguments.tracks:
        x, y, works = library(tracks)
        splits = nested_splits(works, 5, 5, seed=0)
        ours(*library(20)[:2], nested_splits(works[:20], 5, 5, seed=0), device)
        began = time.perf_counter()
        mine = ours(x, y, splits, device)
        middle = time.perf_counter()
        theirs = by_loop(x, y, splits)
        loop, single = time.perf_counter() - middle, middle - began
        nested = nested_seconds(tracks, device=device)
        print(
            f"| {tracks} | {loop:.2f} | {single:.3f} | {loop / single:.0f} | "
            f"{np.abs(mine - theirs).max():.1e} | {nested:.1f} | {loop / nested:.1f} |",
            flush=True,
        )
    if arguments.costs is not None:
        plot_costs(arguments.costs, device)


if __name__ == "__main__":
    main()
