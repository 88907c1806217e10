"""Error of half precision: relative error of every hidden state against float32.

Uses random weights and two seconds of noise on the given device. Prints one line per precision
with the range over layers.

    python benchmarks/precision.py [--size 95m] [--device auto]
"""

from __future__ import annotations

import argparse

import numpy as np

from mess_core.encoders import load_encoder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="95m")
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    wave = np.random.default_rng(0).standard_normal(48_000).astype(np.float32)

    def states(dtype: str, device: str) -> np.ndarray:
        encoder = load_encoder(f"untrained:{arguments.size}", device=device, dtype=dtype)
        return encoder.hidden_states(wave).astype(np.float64)  # [layers, frames, dim]

    exact = states("float32", "cpu")
    print("| precision | smallest error of a layer | largest |")
    print("| --- | --- | --- |")
    for dtype in ("float32", "float16", "bfloat16"):
        found = states(dtype, arguments.device)
        error = np.linalg.norm(found - exact, axis=(1, 2)) / np.linalg.norm(exact, axis=(1, 2))
        print(f"| {dtype} | {error.min():.1e} | {error.max():.1e} |")


if __name__ == "__main__":
    main()
