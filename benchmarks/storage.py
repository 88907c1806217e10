"""Storage per hour of audio, and the effect of the stored types on retrieval.

Embeds every audio file below a folder and compares the default storage (float16 segments, float32
track vectors) with storing every float32 frame: bytes, and the number of tracks with the same ten
nearest neighbours.

    python benchmarks/storage.py FOLDER [--encoder untrained:tiny]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from mess_core.audio import AUDIO_SUFFIXES
from mess_core.encoders import EncoderSettings, load_encoder
from mess_core.search.index import unit_layers
from mess_core.store import EmbeddingStore, Layout


def top_ten(vectors: np.ndarray) -> np.ndarray:
    flat = unit_layers(vectors).reshape(len(vectors), -1).astype(np.float64)
    cosine = flat @ flat.T
    np.fill_diagonal(cosine, -np.inf)
    return np.argsort(-cosine, axis=1, kind="stable")[:, :10]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--encoder", default="untrained:tiny")
    arguments = parser.parse_args()
    paths = sorted(
        path for path in arguments.folder.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES
    )
    encoder = load_encoder(arguments.encoder, settings=EncoderSettings(keep_raw=True))
    exact, seconds, plain = [], 0.0, 0
    with tempfile.TemporaryDirectory() as folder:
        store = EmbeddingStore(Layout(folder, "benchmark"))
        for path in paths:
            embedding = encoder.embed(path)
            assert embedding.raw is not None
            exact.append(embedding.raw.astype(np.float64).mean(axis=(0, 2)))
            seconds += embedding.duration_s
            plain += 4 * (embedding.raw.size + embedding.segments.size + embedding.track.size)
            store.write(
                "x",
                path.stem,
                segments=embedding.segments,
                track=embedding.track,
                sidecar=encoder.provenance(embedding, audio_sha256="0" * 64),
            )
        stored_bytes = sum(
            path.stat().st_size for path in Path(folder).rglob("*") if path.is_file()
        )
        stored, _, _ = store.matrix([("x", path.stem) for path in paths])
        halves = np.stack(
            [
                store.read("segments", "x", path.stem).astype(np.float64).mean(axis=0)
                for path in paths
            ]
        )
    hours = seconds / 3600
    same = (top_ten(np.stack(exact)) == top_ten(stored)).all(axis=1)
    same_half = (top_ten(np.stack(exact)) == top_ten(halves)).all(axis=1)
    print(f"{encoder.name}, {len(paths)} tracks, {hours:.2f} h")
    print(f"float32 raw + segments + track  {plain / hours / 1e6:12,.1f} MB per hour")
    print(f"stored by default               {stored_bytes / hours / 1e6:12,.1f} MB per hour")
    print(f"ratio                           {plain / stored_bytes:12,.0f}")
    print(f"same ten nearest, track vectors      {same.sum()} of {len(paths)}")
    print(f"same ten nearest, float16 segments   {same_half.sum()} of {len(paths)}")


if __name__ == "__main__":
    main()
