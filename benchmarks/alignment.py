"""Alignment of two performances: MESS against other libraries, on the same pairs.

For one random pair of every third ASAP piece, beats of one performance are mapped to the other;
those count that fall on a note in both, since the others were placed between notes by a rule. Then,
without ASAP's annotations, notes of chords that are struck again and again, and of the same ASAP
performances, are mapped to synthetic performances of them, with known ground truth.
synctoolbox (MrMsDTW on chroma and onsets, 50 frames per second) and parangonar (TheGlueNote,
packaged weights) are compared if they are installed:

    pip install synctoolbox 'parangonar[accelerated]'
    python benchmarks/alignment.py ASAP_FOLDER [--longest 2500]
"""

from __future__ import annotations

import argparse
import importlib.util
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mess_core.datasets.asap import read_asap
from mess_core.midi import Performance, align
from mess_core.validation.beats import on_note, random_pairs
from mess_core.validation.synthetic_performances import perform_again, repeated_chords

Map = tuple[np.ndarray, np.ndarray]
Pair = tuple[Performance, Performance, np.ndarray, np.ndarray]
FRAME_RATE = 50


def ours() -> Callable[[Performance, Performance], Map]:
    def run(a: Performance, b: Performance) -> Map:
        alignment = align(a, b)
        return alignment.a_s, alignment.b_s

    return run


def synctoolbox() -> Callable[[Performance, Performance], Map]:
    from synctoolbox.dtw.mrmsdtw import sync_via_mrmsdtw
    from synctoolbox.dtw.utils import make_path_strictly_monotonic

    def features(one: Performance) -> Map:
        frames = int(one.end_s * FRAME_RATE) + 2
        chroma, onsets = np.zeros((12, frames)), np.zeros((12, frames))
        notes = zip(one.onset_s, one.offset_s, one.pitch % 12, one.velocity, strict=True)
        for onset, offset, pitch, velocity in notes:
            first = int(onset * FRAME_RATE)
            chroma[pitch, first : int(min(offset, onset + 2) * FRAME_RATE) + 1] += velocity
            decay = np.sqrt(1 - np.arange(10) / 10)[: frames - first]
            window = onsets[pitch, first : first + 10]
            np.maximum(window, decay, out=window)
        return chroma / (np.linalg.norm(chroma, axis=0) + 1e-6), onsets

    def run(a: Performance, b: Performance) -> Map:
        (chroma_a, onsets_a), (chroma_b, onsets_b) = features(a), features(b)
        path = sync_via_mrmsdtw(
            f_chroma1=chroma_a,
            f_onset1=onsets_a,
            f_chroma2=chroma_b,
            f_onset2=onsets_b,
            input_feature_rate=FRAME_RATE,
            step_weights=np.array([1.5, 1.5, 2.0]),
            threshold_rec=10**6,
        )
        path = make_path_strictly_monotonic(path)
        return path[0] / FRAME_RATE, path[1] / FRAME_RATE

    return run


def parangonar() -> Callable[[Performance, Performance], Map]:
    from parangonar.match.matchers import TheGlueNoteMatcher

    matcher = TheGlueNoteMatcher()

    def notes(one: Performance, prefix: str) -> np.ndarray:
        length = one.offset_s - one.onset_s
        columns = {
            **{f"onset_{unit}": one.onset_s for unit in ("sec", "beat", "quarter")},
            **{f"duration_{unit}": length for unit in ("sec", "beat", "quarter")},
            "onset_div": (one.onset_s * 480).astype(int),
            "duration_div": np.maximum(length * 480, 1).astype(int),
            "onset_tick": (one.onset_s * 960).astype(int),
            "duration_tick": np.maximum(length * 960, 1).astype(int),
            "pitch": one.pitch,
            "velocity": one.velocity,
            **dict.fromkeys(("voice", "track", "channel"), np.zeros(len(one), dtype=int)),
            "id": np.array([f"{prefix}{index}" for index in range(len(one))]),
        }
        table = np.zeros(len(one), dtype=[(name, column.dtype) for name, column in columns.items()])
        for name, column in columns.items():
            table[name] = column
        return table

    def run(a: Performance, b: Performance) -> Map:
        matches = [
            (int(one["score_id"][1:]), int(one["performance_id"][1:]))
            for one in matcher(notes(a, "s"), notes(b, "p"))
            if one["label"] == "match"
        ]
        index = np.array(sorted(matches, key=lambda pair: a.onset_s[pair[0]]))
        return a.onset_s[index[:, 0]], b.onset_s[index[:, 1]]

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("asap", type=Path)
    parser.add_argument("--longest", type=int, default=2500, help="most notes of a performance")
    parser.add_argument("--every", type=int, default=3, help="use every n-th piece")
    parser.add_argument("--first", type=int, default=0, help="from this one on")
    parser.add_argument("--synthetic", type=int, default=40, help="pieces of repeated chords")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    methods = {"ours": ours}
    methods |= {
        one.__name__: one
        for one in (synctoolbox, parangonar)
        if importlib.util.find_spec(one.__name__)
    }
    performances = read_asap(arguments.asap)
    pieces = sorted(performances["piece"].unique())[arguments.first :: arguments.every]
    chosen = [
        pair[1:]
        for pair in random_pairs(performances[performances["piece"].isin(pieces)])
        if len(pair[1]) <= arguments.longest
    ]
    chords = [repeated_chords(seed) for seed in range(arguments.synthetic)]
    sets = {
        "beats on notes, ASAP": [struck(*pair) for pair in chosen],
        "ASAP, played again": [known(pair[0], seed) for seed, pair in enumerate(chosen)],
        "repeated chords, played again": [known(one, seed) for seed, one in enumerate(chords)],
    }
    runs = {name: make() for name, make in methods.items()}
    for title, pairs in sets.items():
        print(f"\n{title}: {len(pairs)} pairs, {sum(len(at) for *_, at, _ in pairs)} moments\n")
        print("| method | median ms | p95 ms | p99 ms | over 250 ms | s per 5,000 notes |")
        print("| --- | --- | --- | --- | --- | --- |")
        for name, run in runs.items():
            run(*pairs[0][:2])  # compiles and loads
            errors, seconds, count = [], 0.0, 0
            for a, b, at_a, at_b in pairs:
                began = time.perf_counter()
                x, y = run(a, b)
                seconds, count = seconds + time.perf_counter() - began, count + len(a)
                at = np.unique(x)
                mean = np.array([y[x == one].mean() for one in at])
                errors.append(1000 * np.abs(np.interp(at_a, at, mean) - at_b))
            error_ms = np.concatenate(errors)
            found = " | ".join(f"{one:.1f}" for one in np.percentile(error_ms, [50, 95, 99]))
            slipped = f"{100 * np.mean(error_ms > 250):.2f} %"
            print(f"| {name} | {found} | {slipped} | {5000 * seconds / count:.2f} |", flush=True)


def struck(a: Performance, b: Performance, beats_a: np.ndarray, beats_b: np.ndarray) -> Pair:
    """Keep the beats that fall on a note in both performances."""
    both = on_note(a, beats_a) & on_note(b, beats_b)
    return a, b, beats_a[both], beats_b[both]


def known(performance: Performance, seed: int) -> Pair:
    again, onset_s = perform_again(performance, seed=seed)
    return performance, again, performance.onset_s, onset_s


if __name__ == "__main__":
    main()
