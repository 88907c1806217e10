"""Pack what fine-tuning needs of a library into one file, for a machine without the library.

The file holds log-mel spectrograms of the clips, their notes, descriptors and tables, the folds,
and nothing of the recordings themselves; about 10 kB per clip.
"""

from __future__ import annotations

import io
import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd

from mess_core.evaluation.data import BenchmarkData
from mess_core.evaluation.pipeline import Evaluation
from mess_core.evaluation.splits import Fold
from mess_core.midi.performance import Performance
from mess_core.ranking.clips import Clips

TABLES = ("tracks", "passages", "single_factor")
NOTES = ("onset_s", "offset_s", "pitch", "velocity")


def pack(path: Path, evaluation: Evaluation, mel: np.ndarray, frames: np.ndarray) -> None:
    """Write the benchmark data without vectors and audio, and the folds by work."""
    benchmark, split = evaluation.benchmark, evaluation.split
    performances = benchmark.clips.performances
    arrays = {
        "mel": mel,
        "frames": frames,
        "values": benchmark.values,
        "notes": np.array([len(one) for one in performances]),
        "presses": np.array([len(one.pedal_s) for one in performances]),
        "pedal_s": np.concatenate([one.pedal_s for one in performances]),
        **{name: np.concatenate([getattr(one, name) for one in performances]) for name in NOTES},
    }
    for name in TABLES:
        content = io.BytesIO()
        getattr(benchmark, name).to_parquet(content)
        arrays[name] = np.frombuffer(content.getvalue(), dtype=np.uint8)
    record = {
        "heard": dict(benchmark.heard),
        "seed": split.seed,
        "folds": [{"train": list(one.train), "test": list(one.test)} for one in split.folds],
        "split_sha256": split.sha256,
    }
    arrays["record"] = np.frombuffer(json.dumps(record).encode(), dtype=np.uint8)
    np.savez_compressed(path, **arrays)


def unpack(path: Path) -> tuple[BenchmarkData, list[Fold], int, np.ndarray, np.ndarray]:
    """Return benchmark data without vectors, the folds and their seed, spectrograms and lengths."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    tables = {name: pd.read_parquet(io.BytesIO(arrays[name].tobytes())) for name in TABLES}
    record = json.loads(arrays["record"].tobytes())
    note_at = np.r_[0, np.cumsum(arrays["notes"])]
    press_at = np.r_[0, np.cumsum(arrays["presses"])]
    performances = tuple(
        Performance(
            *(arrays[name][note_at[row] : note_at[row + 1]] for name in NOTES),
            arrays["pedal_s"][press_at[row] : press_at[row + 1]],
        )
        for row in range(len(arrays["notes"]))
    )
    ids = tuple(tables["passages"]["clip_id"].astype(str))
    tracks = tuple(tables["passages"]["track_id"].astype(str))
    triplets = 3 * len(tables["single_factor"])
    data = BenchmarkData(
        tables["tracks"],
        tables["passages"],
        _without_vectors(ids, performances, tracks),
        arrays["values"],
        tables["single_factor"],
        _without_vectors(
            tuple(f"single-factor:{row}" for row in range(triplets)),
            performances[:1] * triplets,
            ("",) * triplets,
        ),
        record["heard"],
    )
    folds = [
        Fold(**{name.name: tuple(one[name.name]) for name in fields(Fold)})
        for one in record["folds"]
    ]
    return data, folds, record["seed"], arrays["mel"], arrays["frames"]


def _without_vectors(
    ids: tuple[str, ...], performances: tuple[Performance, ...], recordings: tuple[str, ...]
) -> Clips:
    count = len(ids)
    nothing = np.zeros((count, 1, 1), np.float32), np.zeros((count, 1))
    return Clips(ids, performances, *nothing, recordings)
