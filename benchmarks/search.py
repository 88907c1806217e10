"""Latency of exact queries of the track index with any layer weights, on one thread.

Uses random unit vectors of the size of the MAESTRO data set. The comparison is a FAISS search over
all layers side by side, also for queries that need only some layers.

    python benchmarks/search.py [--tracks 1276] [--queries 300]
"""

from __future__ import annotations

import argparse
import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from mess_core.search.index import TrackIndex

LAYERS, DIM, K = 13, 768, 10


def timed(run, queries: int) -> tuple[float, float]:
    seconds = []
    for query in range(queries):
        began = time.perf_counter()
        run(query)
        seconds.append(time.perf_counter() - began)
    return tuple(1000 * np.percentile(seconds, [50, 99]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tracks", type=int, default=1276)
    parser.add_argument("--queries", type=int, default=300)
    arguments = parser.parse_args()
    import faiss

    faiss.omp_set_num_threads(1)
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((arguments.tracks, LAYERS, DIM)).astype(np.float32)
    index = TrackIndex.build(vectors, list(range(LAYERS)))
    weightings = {
        "one aspect of one layer": {5: 1.0},
        "two aspects of three layers": {2: 0.35, 5: 0.35, 9: -0.3},
        "all layers": dict.fromkeys(range(LAYERS), 1 / LAYERS),
    }
    print("| query | median ms | p99 ms | FAISS over all layers, median ms | ratio |")
    print("| --- | --- | --- | --- | --- |")
    for name, weights in weightings.items():
        weight = np.array([weights.get(layer, 0.0) for layer in range(LAYERS)], dtype=np.float32)

        def ours(query: int, weights=weights) -> None:
            index.search(index.vector(query % len(index)), weights, K)

        def whole(query: int, weight=weight) -> None:
            flat = index.vector(query % len(index)) * weight[:, None]
            index.index.search(np.ascontiguousarray(flat.reshape(1, -1)), K)

        ours(0), whole(0)
        median, high = timed(ours, arguments.queries)
        other, _ = timed(whole, arguments.queries)
        print(f"| {name} | {median:.2f} | {high:.2f} | {other:.2f} | {other / median:.1f} |")


if __name__ == "__main__":
    main()
