"""Probe recordings of a real piano in a real room with probes that heard rendered audio only.

Ridge probes of three numbers of each 5 s segment are fitted on the folder that
`benchmarks/unheard_works.py` writes (penalty and layer by cross-validation over works), and
applied to recordings that come with their notes, as in MAPS (Emiya et al., 2010): ``.flac`` with
``.tsv`` of onset, offset, note and velocity. Spearman's correlation with the notes, by the
recordings as they are, at another level, in a reverberant room, and as MP3; intervals by drawing
recordings again.

    python benchmarks/real_audio.py UNHEARD MAPS_ENST
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile as sf
from numpy.typing import NDArray
from scipy.signal import fftconvolve
from scipy.stats import spearmanr
from sklearn.linear_model import RidgeCV
from sklearn.metrics import r2_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import mess_core as mess
from mess_core.audio import load_audio
from mess_core.encoders import load_control
from mess_core.midi.reading import read_performance

NAMES = ["mean velocity", "onset density", "note length"]
LAG_S = 0.06  # by which the audio of MAPS follows its notes
FEWEST_NOTES = 8

Wave = NDArray[np.float32]


def room(wave: Wave, rate: int) -> Wave:
    """Noise that decays by 60 dB in 0.8 s, at the level of the direct sound, after 10 ms."""
    rng = np.random.default_rng(0)
    time_s = np.arange(int(0.8 * rate)) / rate
    tail = rng.standard_normal(len(time_s)) * 10 ** (-3 * time_s / 0.8)
    tail[: int(0.01 * rate)] = 0.0
    tail /= np.sqrt((tail**2).sum())
    tail[0] = 1.0
    return fftconvolve(wave, tail)[: len(wave)].astype(np.float32)


def mp3(wave: Wave, rate: int) -> Wave:
    """MPEG layer III at a constant 96 kb/s and back."""
    file = io.BytesIO()
    sf.write(
        file, wave, rate, format="MP3", subtype="MPEG_LAYER_III",
        bitrate_mode="CONSTANT", compression_level=0.42,
    )  # fmt: skip
    file.seek(0)
    return sf.read(file, dtype="float32")[0][: len(wave)]


CONDITIONS: dict[str, Callable[[Wave, int], Wave]] = {
    "as recorded": lambda wave, _: wave,
    "12 dB softer": lambda wave, _: wave * np.float32(10 ** (-12 / 20)),
    "room, 0.8 s": room,
    "MP3, 96 kb/s": mp3,
}


def numbers(notes: pd.DataFrame, start: NDArray, end: NDArray) -> NDArray[np.float64]:
    """`NAMES` of each segment: MIDI velocity, notes per second, log2 of the median s held."""
    found = np.full((len(start), len(NAMES)), np.nan)
    for row, (first, last) in enumerate(zip(start, end, strict=True)):
        inside = notes[(notes["onset"] >= first) & (notes["onset"] < last)]
        if len(inside) >= FEWEST_NOTES:
            held = np.log2(np.median((inside["offset"] - inside["onset"]).clip(lower=0.01)))
            found[row] = inside["velocity"].mean(), len(inside) / (last - first), held
    return found


def rendered(folder: Path, encoder: mess.Encoder) -> tuple[NDArray, NDArray, list[str]]:
    """Segments of the rendered performances: vectors, numbers, and works."""
    table = pd.read_csv(folder / "metadata.csv").set_index("track_id")
    vectors, truth, works = [], [], []
    for path in sorted(folder.glob("*.flac")):
        one = read_performance(path.with_suffix(".mid"))
        notes = pd.DataFrame(
            {"onset": one.onset_s, "offset": one.offset_s, "velocity": one.velocity}
        )
        embedding = encoder.embed(path)
        vectors.append(embedding.segments)
        truth.append(numbers(notes, embedding.start_s, embedding.end_s))
        works += [table.loc[path.stem, "work_id"]] * len(embedding.segments)
    return np.concatenate(vectors), np.concatenate(truth), works


def recorded(folder: Path, encoder: mess.Encoder) -> list[tuple[dict[str, NDArray], NDArray]]:
    """Vectors of each condition, and numbers, of the segments of each recording."""
    found = []
    for path in sorted(folder.glob("*.flac")):
        notes = pd.read_csv(
            path.with_suffix(".tsv"), sep="\t", comment="#", header=None,
            names=["onset", "offset", "note", "velocity"],
        )  # fmt: skip
        notes[["onset", "offset"]] += LAG_S
        wave = load_audio(path, sample_rate=encoder.sample_rate)
        made = {
            name: encoder.embed(change(wave, encoder.sample_rate))
            for name, change in CONDITIONS.items()
        }
        one = next(iter(made.values()))
        truth = numbers(notes, one.start_s, one.end_s)
        found.append(({name: each.segments for name, each in made.items()}, truth))
    return found


def probe() -> object:
    return make_pipeline(StandardScaler(), RidgeCV(np.logspace(0, 6, 13)))


def correlations(
    encoder: mess.Encoder, folder: Path, recordings: Path, resamples: int
) -> list[str]:
    """Return a row of Markdown per number."""
    x, y, works = rendered(folder, encoder)
    tests = recorded(recordings, encoder)
    lines = []
    for column, name in enumerate(NAMES):
        known = np.isfinite(y[:, column])
        groups = [work for work, there in zip(works, known, strict=True) if there]
        scores = [
            r2_score(
                y[known, column],
                cross_val_predict(
                    probe(), x[known, layer], y[known, column], groups=groups, cv=GroupKFold(5)
                ),
            )
            for layer in range(x.shape[1])
        ]
        layer = int(np.argmax(scores))
        fitted = probe().fit(x[known, layer], y[known, column])
        cells = []
        for condition in CONDITIONS:
            pairs = []
            for vectors, truth in tests:
                there = np.isfinite(truth[:, column])
                if there.any():
                    guess = fitted.predict(vectors[condition][there, layer])
                    pairs.append(np.stack([guess, truth[there, column]]))
            cells.append(interval(pairs, resamples))
        segments = sum(one.shape[1] for one in pairs)
        lines.append(
            f"| {encoder.name.split('@')[0]} | {name} | {layer} | {max(scores):.2f} | "
            f"{' | '.join(cells)} | {segments} of {len(pairs)} |"
        )
    return lines


def interval(pairs: list[NDArray], resamples: int) -> str:
    """Spearman's correlation over all segments, with its 95 % interval over recordings."""
    rng = np.random.default_rng(0)

    def over(chosen: NDArray) -> float:
        guess, truth = np.concatenate([pairs[one] for one in chosen], axis=1)
        return float(spearmanr(guess, truth)[0])

    drawn = [over(rng.integers(0, len(pairs), len(pairs))) for _ in range(resamples)]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return f"{over(np.arange(len(pairs))):.2f} ({low:.2f} to {high:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("rendered", type=Path)
    parser.add_argument("recorded", type=Path)
    parser.add_argument("--encoder", default="mess-piano")
    parser.add_argument("--resamples", type=int, default=1000)
    args = parser.parse_args()
    trained = mess.load_encoder(args.encoder)
    against = [trained, load_control(trained), mess.load_encoder("untrained:tiny")]
    heads = ["encoder", "number", "layer", "R² rendered", *CONDITIONS, "segments, recordings"]
    print(f"| {' | '.join(heads)} |\n|{' --- |' * len(heads)}")
    for encoder in against:
        lines = correlations(encoder, args.rendered, args.recorded, args.resamples)
        print("\n".join(lines), flush=True)


if __name__ == "__main__":
    main()
