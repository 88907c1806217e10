"""Layer discovery: one decomposition per layer and fold against a scikit-learn loop.

Same random data, same folds by work, same penalty, both sides in one run. The loop is
``cross_val_predict(make_pipeline(StandardScaler(), Ridge(alpha)))`` for each layer and target.

    python benchmarks/probing.py [--tracks 50 1276]
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mess_core.probing import grouped_folds
from mess_core.probing.ridge import RidgePath
from mess_core.probing.scores import r2

LAYERS, DIM, TARGETS, ALPHA = 13, 768, 22, 100.0


def by_loop(x: np.ndarray, y: np.ndarray, fold: np.ndarray) -> np.ndarray:
    scores = np.empty((LAYERS, TARGETS))
    for layer in range(LAYERS):
        for target in range(TARGETS):
            model = make_pipeline(StandardScaler(), Ridge(alpha=ALPHA))
            guess = cross_val_predict(model, x[:, layer], y[:, target], cv=PredefinedSplit(fold))
            scores[layer, target] = r2_score(y[:, target], guess)
    return scores


def ours(x: np.ndarray, y: np.ndarray, fold: np.ndarray) -> np.ndarray:
    scores = np.empty((LAYERS, TARGETS))
    alphas = np.full(TARGETS, ALPHA)
    for layer in range(LAYERS):
        guess = np.empty_like(y)
        for held_out in np.unique(fold):
            test = fold == held_out
            model = RidgePath(x[~test, layer], y[~test])
            guess[test] = model.predict_each(x[test, layer], alphas)
        scores[layer] = r2(y, guess)
    return scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tracks", type=int, nargs="+", default=[50, 1276])
    arguments = parser.parse_args()
    print("| tracks | loop s | ours s | ratio | largest difference of R² |")
    print("| --- | --- | --- | --- | --- |")
    for tracks in arguments.tracks:
        rng = np.random.default_rng(0)
        x = rng.standard_normal((tracks, LAYERS, DIM))
        y = x[:, :2, :TARGETS].sum(axis=1) + rng.standard_normal((tracks, TARGETS))
        fold = grouped_folds([f"work{index // 3}" for index in range(tracks)], 5)
        ours(x[:20], y[:20], fold[:20])
        began = time.perf_counter()
        mine = ours(x, y, fold)
        middle = time.perf_counter()
        theirs = by_loop(x, y, fold)
        end = time.perf_counter()
        print(
            f"| {tracks} | {end - middle:.2f} | {middle - began:.3f} | "
            f"{(end - middle) / (middle - began):.0f} | {np.abs(mine - theirs).max():.1e} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
