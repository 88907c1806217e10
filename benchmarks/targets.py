"""The 15 audio targets: one shared analysis against one librosa call per target.

Both start from the same decoded samples in one process, after a warm-up on ten seconds. The
one-by-one version does what analysis scripts do: every feature is computed with ``y=samples``, so
each call computes its own spectrum. It computes less than MESS (no attack slopes from a fine
envelope, no phrase boundaries), since only librosa calls are timed. Values are compared where both
definitions agree.

    python benchmarks/targets.py [FILE ...] [--minutes 10]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import librosa
import numpy as np

from mess_core.audio import SAMPLE_RATE, load_audio
from mess_core.targets import targets
from mess_core.targets.analysis import AudioAnalysis, analyse


def synthetic(minutes: float) -> np.ndarray:
    """Return performances of the demo corpus, concatenated."""
    from mess_core.datasets.demo import Expression, demo_score, perform
    from mess_core.datasets.synthesis import synthesise

    parts, seconds, work = [], 0.0, 0
    while seconds < minutes * 60:
        parts.append(synthesise(perform(demo_score(work, bars=16), Expression(), seed=work)))
        seconds += len(parts[-1]) / SAMPLE_RATE
        work += 1
    return np.concatenate(parts).astype(np.float32)


def one_by_one(y: np.ndarray) -> dict[str, np.ndarray]:
    """Compute each feature per frame with its own librosa call."""
    rate = {"y": y, "sr": SAMPLE_RATE}
    found = {
        "spectral_centroid": librosa.feature.spectral_centroid(**rate)[0],
        "spectral_bandwidth": librosa.feature.spectral_bandwidth(**rate)[0],
        "spectral_rolloff": librosa.feature.spectral_rolloff(**rate)[0],
        "zero_crossing_rate": librosa.feature.zero_crossing_rate(y)[0],
        "tempo": librosa.feature.tempo(**rate),
        "onset_density": librosa.onset.onset_detect(**rate),
        "dynamic_range": librosa.feature.rms(y=y)[0],
        "dynamic_variance": librosa.feature.rms(y=y)[0],
        "crescendo_strength": librosa.feature.rms(y=y)[0],
        "diminuendo_strength": librosa.feature.rms(y=y)[0],
        "harmonic_complexity": librosa.feature.chroma_cqt(**rate),
        "attack_slopes": librosa.onset.onset_detect(**rate),
        "attack_sharpness": librosa.onset.onset_strength(**rate),
        "num_phrases": librosa.feature.chroma_cqt(**rate),
    }
    found["phrase_regularity"] = found["num_phrases"]
    return found


def ours(y: np.ndarray) -> tuple[AudioAnalysis, dict[str, float]]:
    analysis = analyse(y)
    return analysis, {one.name: one.function(analysis) for one in targets("audio")}


def entropy(chroma: np.ndarray) -> float:
    share = chroma.mean(axis=1) / chroma.mean(axis=1).sum()
    return float(-np.sum(share * np.log(share)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--repeats", type=int, default=2)
    arguments = parser.parse_args()
    if arguments.files:
        y = np.concatenate([load_audio(path) for path in arguments.files])
    else:
        y = synthetic(arguments.minutes)
    y = y[: int(arguments.minutes * 60 * SAMPLE_RATE)]
    for side in (one_by_one, ours):
        side(y[: 10 * SAMPLE_RATE])
    seconds = {"one by one": np.inf, "ours": np.inf}
    for _ in range(arguments.repeats):  # alternate, so that both run under the same load
        began = time.perf_counter()
        plain = one_by_one(y)
        seconds["one by one"] = min(seconds["one by one"], time.perf_counter() - began)
        began = time.perf_counter()
        analysis, values = ours(y)
        seconds["ours"] = min(seconds["ours"], time.perf_counter() - began)
    print(f"{len(y) / SAMPLE_RATE / 60:.1f} minutes of audio, best of {arguments.repeats}\n")
    print("| method | seconds | ratio |")
    print("| --- | --- | --- |")
    for name, taken in seconds.items():
        print(f"| {name} | {taken:.2f} | {seconds['one by one'] / taken:.2f} |")
    print("\n| target | librosa | ours | relative difference |")
    print("| --- | --- | --- | --- |")
    sounding = analysis.sounding
    same = {
        name: float(plain[name][sounding].mean(dtype=np.float64))
        for name in (
            "spectral_centroid",
            "spectral_bandwidth",
            "spectral_rolloff",
            "zero_crossing_rate",
        )
    }
    same["harmonic_complexity"] = entropy(plain["harmonic_complexity"][:, sounding])
    rms = plain["dynamic_variance"][sounding].astype(np.float64)
    same["dynamic_variance"] = float(rms.var() / rms.mean())
    for name, expected in same.items():
        difference = abs(values[name] / expected - 1)
        print(f"| {name} | {expected:.6g} | {values[name]:.6g} | {difference:.1e} |")


if __name__ == "__main__":
    main()
