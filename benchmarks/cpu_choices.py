"""What embedding costs on a CPU with each choice: speed, error, and effect on probing and ranking.

    python benchmarks/cpu_choices.py DATA [--encoder untrained:95m] [--tracks 120]

DATA is a data root with audio and targets, such as that of `make demo`. All choices embed the same
tracks. Speed is of whole tracks, with decoding. Errors are of the tracks' vectors, relative to the
encoder as it is (float32, a window every 2.5 s). The effect on probing is the mean R² of targets
(layer chosen in inner folds, folds by work), and the median change of one; the effect on ranking is
how many of the ten nearest tracks stay the same. The encoder has random weights if no
other is named: its speed is that of trained ones, its errors need not be.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from mess_core.encoders import Encoder, load_encoder
from mess_core.probing import discover
from mess_core.search import Library
from mess_core.store import Layout
from mess_core.store.tables import read_table
from mess_core.targets.registry import targets

HITS = 10


def int8(name: str) -> Encoder:
    """Return an encoder with linear layers in int8, quantised as it runs; not a choice of MESS."""
    import torch
    from torch.ao.quantization import quantize_dynamic

    torch.backends.quantized.engine = "onednn"
    encoder = load_encoder(name, device="cpu")
    model: Any = encoder._model
    quantize_dynamic(model.model.encoder, {torch.nn.Linear}, dtype=torch.qint8, inplace=True)
    return encoder


def choices(name: str) -> dict[str, Callable[[], Encoder]]:
    whole = f"{name},hop_s=5"
    half = range(load_encoder(name, device="cpu").num_layers // 2 + 1)
    return {
        "as it is": lambda: load_encoder(name, device="cpu"),
        "hop_s=5": lambda: load_encoder(whole, device="cpu"),
        "bfloat16": lambda: load_encoder(name, device="cpu", dtype="bfloat16"),
        "bfloat16, hop_s=5": lambda: load_encoder(whole, device="cpu", dtype="bfloat16"),
        "lower half of the layers": lambda: load_encoder(name, device="cpu", layers=half),
        "int8 linear layers (torch)": lambda: int8(name),
    }


def nearest(vectors: np.ndarray) -> np.ndarray:
    """Return the nearest tracks by the cosine of all layers, [tracks, HITS]."""
    unit = vectors / np.linalg.norm(vectors, axis=2, keepdims=True)
    alike = np.einsum("ald,bld->ab", unit, unit)
    np.fill_diagonal(alike, -np.inf)
    return np.argsort(-alike, axis=1)[:, :HITS]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--encoder", default="untrained:95m")
    parser.add_argument("--tracks", type=int, default=120)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    tracks = Library.open(args.data).tracks.head(args.tracks)
    known = read_table(Layout(args.data).proxy_targets).set_index("track_id")
    y: pd.DataFrame = known.loc[tracks["track_id"], [one.name for one in targets()]]
    y = y.reset_index(drop=True)
    works, hours = tracks["work_id"].tolist(), tracks["duration_s"].sum() / 3600
    print(f"{len(tracks)} tracks of {len(set(works))} works, {hours:.2f} h, {args.encoder}\n")
    print("| choice | s of audio per s | error | mean R² | median change of one R² | hits kept |")
    print("| --- | --- | --- | --- | --- | --- |")
    exact = scores = hits = None
    for choice, load in choices(args.encoder).items():
        encoder = load()
        encoder.embed(tracks["audio_path"].iloc[0])
        began = time.perf_counter()
        vectors = np.stack([encoder.embed(path).track for path in tracks["audio_path"]])
        speed = hours * 3600 / (time.perf_counter() - began)
        found = discover(vectors, y, works, permutations=0, resamples=0).summary
        r2 = found.set_index("target")["chosen_r2"]
        if exact is None or scores is None or hits is None:
            exact, scores, hits = vectors, r2, nearest(vectors)
        same = exact[:, : vectors.shape[1]]
        error = np.linalg.norm(vectors - same) / np.linalg.norm(same)
        kept = np.mean([np.isin(a, b).mean() for a, b in zip(nearest(vectors), hits, strict=True)])
        print(
            f"| {choice} | {speed:.1f} | {error:.4f} | {r2.mean():.3f} | "
            f"{(r2 - scores).abs().median():.3f} | {kept:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
