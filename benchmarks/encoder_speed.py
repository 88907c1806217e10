"""Measure how fast each family embeds, at its published size with random weights.

    python benchmarks/encoder_speed.py [--seconds 40] [--device cpu] [NAME ...]

Prints a table in Markdown: parameters, audio seconds per second (the best of two runs over the same
noise, all states, windows of 5 s every 2.5 s), and megabytes of stored vectors per hour of audio.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from mess_core.encoders import load_encoder
from mess_core.encoders.published import PUBLISHED
from mess_core.environment import PIANO


def line(name: str, seconds: float, device: str) -> str:
    encoder = load_encoder(name, device=device)
    rng = np.random.default_rng(0)
    count = int(seconds * encoder.sample_rate)
    noise = (0.1 * rng.standard_normal(count)).astype(np.float32)
    best = np.inf
    for _ in range(2):
        began = time.perf_counter()
        embedding = encoder.embed(noise)
        best = min(best, time.perf_counter() - began)
    stored = embedding.segments.size * 2 + embedding.track.size * 4
    cells = [
        name,
        f"{encoder.parameters / 1e6:.1f} M",
        f"{len(encoder.layers)} x {encoder.dim}",
        f"{seconds / best:.1f}",
        f"{stored / seconds * 3600 / 1e6:.1f}",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    usual = [PIANO, "untrained:95m", "untrained:330m"]
    usual += [f"untrained:{name}" for name, one in PUBLISHED.items() if one.family != "mert"]
    print("| encoder | weights | states | audio s per s | MB per hour |")
    print("| --- | --- | --- | --- | --- |")
    for name in args.names or usual:
        print(line(name, args.seconds, args.device), flush=True)


if __name__ == "__main__":
    main()
