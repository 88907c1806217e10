"""Build time, memory, latency and recall of every kind of passage index, on the same vectors.

Vectors are clustered by track and by work, and the variance of the axes follows a power law, as
that of music embeddings does (uniform random vectors have no near neighbours). Queries are
segments whose own track is excluded, as in a library search, and run on one thread.

    python benchmarks/passages.py [--segments 286000] [--kinds flat,fp16,ivf,ivfpq,hnsw]
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np

from mess_core.search import passage_index
from mess_core.search.index import selector, unit_layers
from mess_core.search.passage_index import PassageIndex

DIM, PER_TRACK, PER_WORK, QUERIES = 768, 224, 4, 200


def clustered(path: Path, segments: int, seed: int = 0) -> np.ndarray:
    """Write float16 vectors to a file, [segments, 768], and map it."""
    rng = np.random.default_rng(seed)
    axes = (np.arange(1, DIM + 1) ** -0.5).astype(np.float32)
    found = np.lib.format.open_memmap(path, "w+", np.float16, (segments, DIM))
    mean = 3 * axes * rng.standard_normal(DIM, dtype=np.float32)
    work = mean
    for number, first in enumerate(range(0, segments, PER_TRACK)):
        if number % PER_WORK == 0:
            work = mean + axes * rng.standard_normal(DIM, dtype=np.float32)
        track = work + 0.5 * axes * rng.standard_normal(DIM, dtype=np.float32)
        rows = min(PER_TRACK, segments - first)
        # Neighbouring windows share half of their sound.
        steps = rng.standard_normal((rows + 1, DIM), dtype=np.float32)
        found[first : first + rows] = track + 0.7 * axes * (steps[1:] + steps[:-1]) / np.sqrt(2)
    found.flush()
    return np.load(path, mmap_mode="r")


def hnsw(vectors: np.ndarray, exact: passage_index._Nearest, threads: int) -> None:
    """Print a row for HNSW, which `KINDS` leaves out, with efSearch raised to recall 0.99."""
    import faiss

    faiss.omp_set_num_threads(threads)
    began = time.perf_counter()
    index = faiss.index_factory(DIM, "HNSW32,SQfp16", faiss.METRIC_INNER_PRODUCT)
    index.train(np.zeros((1, DIM), np.float32))
    for first in range(0, len(vectors), 16_384):
        index.add(unit_layers(vectors[first : first + 16_384]))
    built = time.perf_counter() - began
    size = len(faiss.serialize_index(index)) / 1e6
    faiss.omp_set_num_threads(1)
    wide = 32
    while True:
        seconds, hits = [], 0
        for query, (first, last), rows in zip(exact.queries, exact.spans, exact.rows, strict=True):
            allowed = np.ones(len(vectors), dtype=bool)
            allowed[first:last] = False
            chosen = selector(allowed)
            began = time.perf_counter()
            settings = faiss.SearchParametersHNSW(efSearch=wide, sel=chosen)
            _, found = index.search(query[None], 10, params=settings)
            seconds.append(time.perf_counter() - began)
            hits += len(np.intersect1d(found, rows))
        recall = hits / (10 * len(exact.queries))
        if recall >= 0.99 or wide >= 2048:
            break
        wide *= 4
    median, high = 1000 * np.percentile(seconds, [50, 99])
    print(
        f"| hnsw | HNSW32,SQfp16 | efSearch {wide} | {built:.0f} | {size:.0f} | {median:.2f} "
        f"| {high:.2f} | {recall:.4f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--segments", type=int, default=286_000)
    parser.add_argument("--kinds", default="flat,fp16,ivf,ivfpq,hnsw")
    parser.add_argument(
        "--threads", type=int, default=os.cpu_count(), help="threads while building"
    )
    arguments = parser.parse_args()
    import faiss

    print(
        f"{arguments.segments} segments x {DIM}, {arguments.threads} threads to build, 1 to search"
    )
    print(
        "| kind | factory | lists searched | build s | index MB | median ms | p99 ms | recall@10 |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        vectors = clustered(Path(folder) / "vectors.npy", arguments.segments)
        tracks = range(0, len(vectors), PER_TRACK)

        def parts():
            return (vectors[first : first + PER_TRACK] for first in tracks)

        sizes = [min(PER_TRACK, len(vectors) - first) for first in tracks]
        exact = passage_index._nearest(parts, sizes, seed=1)  # not the queries of the build
        for name in arguments.kinds.split(","):
            if name == "hnsw":
                hnsw(vectors, exact, arguments.threads)
                continue
            faiss.omp_set_num_threads(arguments.threads)
            began = time.perf_counter()
            index = PassageIndex.build(parts, 0, kind=name, recall_target=0.99)
            built = time.perf_counter() - began
            size = len(faiss.serialize_index(index.index)) / 1e6
            faiss.omp_set_num_threads(1)
            seconds, hits = [], 0
            queries = list(zip(exact.queries, exact.spans, exact.rows, strict=True))[:QUERIES]
            for query, (first, last), rows in queries:
                allowed = np.ones(len(vectors), dtype=bool)
                allowed[first:last] = False
                began = time.perf_counter()
                _, found = index.search(query, 10, allowed=allowed)
                seconds.append(time.perf_counter() - began)
                hits += len(np.intersect1d(found, rows))
            median, high = 1000 * np.percentile(seconds, [50, 99])
            measured = index.measured
            recall = hits / (10 * len(queries))
            cells = [measured["kind"], measured["factory"], measured["probes"], f"{built:.0f}"]
            cells += [f"{size:.0f}", f"{median:.2f}", f"{high:.2f}", f"{recall:.4f}"]
            print("| " + " | ".join(map(str, cells)) + " |", flush=True)
            if measured["fell_back"]:
                print(f"  {measured['fell_back']}")
            del index


if __name__ == "__main__":
    main()
