"""Insert leaks of each kind into a library that `mess evaluate` has prepared: are they caught?

Nothing is written. Without a leak every check has to pass; with one it has to fail. The last leak
is a system that has seen the labels of the test tracks: no check of the data can see that, but it
is above chance on permuted labels.

    python benchmarks/inserted_leaks.py DATA
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd

from mess_core.encoders.chosen import choose_encoder
from mess_core.evaluation.data import BenchmarkData, TrainingSet
from mess_core.evaluation.ground_truth import FoldQueries
from mess_core.evaluation.leaks import (
    Choice,
    Leak,
    choice_leaks,
    scaler_leaks,
    segment_leaks,
    track_leaks,
)
from mess_core.evaluation.permuted_labels import control_table
from mess_core.evaluation.pipeline import Evaluation
from mess_core.evaluation.protocol import evaluate_systems
from mess_core.evaluation.splits import Fold, Split
from mess_core.evaluation.systems import Scorer, System, baselines
from mess_core.ranking.clips import Clips
from mess_core.store.layout import Layout


def changed(tracks: pd.DataFrame, track: str, **values: str) -> pd.DataFrame:
    """Return the track table with some values of one track replaced."""
    found = tracks.copy()
    found.loc[found["track_id"].astype(str) == track, list(values)] = list(values.values())
    return found


def tracks_with_leaks(
    tracks: pd.DataFrame, fold: Fold
) -> dict[str, tuple[pd.DataFrame, Fold, str]]:
    """Return track tables and folds with one leak each, and the split that they are of."""
    known = tracks.assign(track_id=tracks["track_id"].astype(str)).set_index("track_id")
    titled = known[["composer", "title"]].notna().all(axis=1)
    train, test = fold.train[0], next(one for one in fold.test if titled[one])
    work = known.loc[test]
    return {
        "nothing": (tracks, fold, "work"),
        "a work under another id": (
            changed(tracks, train, composer=work["composer"], title=work["title"]), fold, "work",
        ),
        "a piece of an opus": (
            changed(tracks, train, work_id=f"{work['work_id']}-2"), fold, "work",
        ),
        "one recording as two tracks": (
            changed(tracks, train, audio_sha256=work["audio_sha256"]), fold, "recording",
        ),
        "a performer on both sides": (
            changed(changed(tracks, train, performer="A"), test, performer="A"), fold, "performer",
        ),
        "a track on both sides": (tracks, replace(fold, train=(*fold.train, test)), "work"),
    }  # fmt: skip


def numbers_with_leaks(benchmark: BenchmarkData, fold: Fold) -> dict[str, tuple[list[Leak], str]]:
    """Return what is found with leaks in segments, scalers and choices, and without."""
    table = benchmark.passages.assign(audio_sha256=benchmark.passages["track_id"].astype(str))
    inside = table["track_id"].astype(str).isin(fold.train).to_numpy()
    train, test = table[inside], table[~inside]
    rows, own = benchmark.clips.vectors.reshape(len(table), -1), np.flatnonzero(inside)
    moved = test.iloc[:1].assign(start_s=test["start_s"].iloc[0] + 1.0)
    chosen = Choice("layer", 3, frozenset(fold.train))
    return {
        "no segment": (segment_leaks(train, test), "no"),
        "a segment that overlaps a test clip": (
            segment_leaks(pd.concat([train, moved]), test), "yes",
        ),
        "a scaler of the training rows": (scaler_leaks(rows[own].mean(axis=0), rows, own), "no"),
        "test rows in the scaler": (scaler_leaks(rows.mean(axis=0), rows, own), "yes"),
        "a layer chosen on training tracks": (choice_leaks([chosen], fold.test), "no"),
        "a layer chosen on test tracks": (
            choice_leaks([replace(chosen, tracks=frozenset(fold.test[:2]))], fold.test), "yes",
        ),
    }  # fmt: skip


def memory_of_labels(benchmark: BenchmarkData, split: Split, seed: int) -> System:
    """Return a system that knows which test clips are of one passage, as it does when it leaks."""
    passage = dict(zip(benchmark.clips.ids, benchmark.passages["passage_id"], strict=True))

    def fit(_training_set: TrainingSet) -> Scorer:
        def score(clips: Clips) -> np.ndarray:
            names = np.array([str(passage.get(one, one)) for one in clips.ids])
            return (names[:, None] == names).astype(np.float64)

        return score

    return System(f"has seen the labels, seed {seed}", "control", fit, "content")


def in_controls(benchmark: BenchmarkData, split: Split) -> dict[str, bool]:
    """Return whether the permutation control finds a system suspicious that leaks, and one not."""
    from mess_core.evaluation.permuted_labels import permuted_benchmark

    honest = [one for one in baselines([0], "e") if one.name in {"random", "e, mean layer"}]
    permuted = permuted_benchmark(benchmark, split, "content", seed=split.seed + 1)
    leaking = memory_of_labels(permuted, split, 0)
    answers = evaluate_systems(benchmark, split, [*honest, leaking], permutations=1)
    passages = dict(
        zip(benchmark.passages["clip_id"], benchmark.passages["passage_id"], strict=True)
    )
    table = control_table(answers[answers["criterion"].str.startswith("content")], passages)
    own = table[table["metric"] == "RR@10"].set_index("system")["suspicious"]
    return {str(name): bool(found) for name, found in own.items()}


def kinds(found: list[Leak]) -> str:
    return ", ".join(sorted({one.kind for one in found}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    evaluation = Evaluation(choose_encoder(Layout(parser.parse_args().data), None, indexed=False))
    benchmark, split = evaluation.benchmark, evaluation.split
    fold = split.folds[0]
    rows: list[tuple[str, bool, bool, str]] = []
    for name, (tracks, own, by) in tracks_with_leaks(benchmark.tracks, fold).items():
        found = track_leaks(tracks, own, by)
        rows.append((name, name != "nothing", bool(found), kinds(found)))
    for name, (found, leaks) in numbers_with_leaks(benchmark, fold).items():
        rows.append((name, leaks == "yes", bool(found), kinds(found)))
    scored = partial(FoldQueries, fold=fold, seed=split.seed)
    heard = set(benchmark.heard) & set(fold.test)
    clips = len(scored(benchmark).clips), len(scored(replace(benchmark, heard={})).clips)
    rows.append(
        ("works that the encoder heard", bool(heard), clips[0] < clips[1], f"{clips[1] - clips[0]} "
         "clips left out of the scores")
    )  # fmt: skip
    for name, suspicious in in_controls(benchmark, split).items():
        rows.append((name, name.startswith("has seen"), suspicious, "permuted labels"))
    print("| inserted | leaks | caught | as |\n| --- | --- | --- | --- |")
    for name, leaks, caught, kind in rows:
        mark = "" if leaks == caught else " **wrong**"
        print(f"| {name} | {'yes' if leaks else 'no'} | {'yes' if caught else 'no'}{mark} "
              f"| {kind} |")  # fmt: skip
    if any(leaks != caught for _, leaks, caught, _ in rows):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
