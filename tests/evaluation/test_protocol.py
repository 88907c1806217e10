"""Cross-validated comparison on synthetic clips: candidates, leakage controls, messages."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from mess_core.errors import DatasetError, TooLittleError
from mess_core.evaluation import protocol
from mess_core.evaluation.aligned_systems import aligned_systems
from mess_core.evaluation.data import BenchmarkData, select_training_set
from mess_core.evaluation.ground_truth import FoldQueries
from mess_core.evaluation.metrics import retrieval_metrics
from mess_core.evaluation.permuted_labels import control_table, permuted_benchmark
from mess_core.evaluation.protocol import evaluate_systems, training_set_leaks
from mess_core.evaluation.splits import make_split
from mess_core.evaluation.systems import System, baselines, model_sequence
from mess_core.midi.performance import Performance
from mess_core.ranking.clips import Clips
from mess_core.ranking.triplets import EXPRESSION

WORKS, PASSAGES, PLAYERS = 8, 3, 4
NOTES = Performance(np.arange(3.0), np.arange(3.0) + 0.5, np.arange(60, 63), np.full(3, 64),
                    np.empty((0, 2)))  # fmt: skip


def make_benchmark(works=WORKS, **columns):
    """Make clips whose vectors encode the passage and the expression, with a little noise."""
    rng = np.random.default_rng(0)
    rows, tracks, vectors, values = [], [], [], []
    for work in range(works):
        for player in range(PLAYERS):
            track = f"w{work}p{player}"
            tracks.append((track, f"work:op{work}", f"player{player}", f"{work}-{player}"))
            for passage in range(PASSAGES):
                expression = rng.normal(0, 1, len(EXPRESSION))
                content = np.random.default_rng([work, passage]).normal(0, 2, 12)
                start = 10.0 * passage
                rows.append((f"{track}@{start:.2f}", f"work:op{work}#{passage}", f"work:op{work}",
                             track, f"player{player}", start, start + 10.0))  # fmt: skip
                layer = np.concatenate([content, expression])
                layer = layer + rng.normal(0, 0.3, len(layer))
                vectors.append(np.stack([layer, rng.normal(size=len(layer))]))
                values.append(expression)
    names = ["clip_id", "passage_id", "work_id", "track_id", "performer", "start_s", "end_s"]
    passages = pd.DataFrame(rows, columns=names)
    table = pd.DataFrame(tracks, columns=["track_id", "work_id", "performer", "audio_sha256"])
    table = table.assign(composer="Work", title=table["work_id"].str.removeprefix("work:"))
    ids = passages["clip_id"]
    sources = ids[::6]
    single_factor = [f"{name}:pedal:{part}" for name in sources for part in ("x", "near", "far")]
    return BenchmarkData(
        table.assign(**columns),
        passages,
        clips(ids, np.array(vectors), passages["track_id"]),
        np.array(values),
        pd.DataFrame({"factor": "pedal", "clip_id": sources}),
        clips(single_factor, np.repeat(np.array(vectors)[::6], 3, axis=0), single_factor),
    )


def clips(ids, vectors, recordings):
    audio = np.zeros((len(vectors), 1))
    return Clips(tuple(ids), (NOTES,) * len(vectors), vectors.astype(np.float32), audio,
                 tuple(recordings))  # fmt: skip


def _cosine(clips):
    unit = clips.vectors[:, 0] / np.linalg.norm(clips.vectors[:, 0], axis=1, keepdims=True)
    return unit @ unit.T


def memory(training_set):
    """Fit a system that knows the expression of all clips of its training set, and no others."""
    known = dict(zip(training_set.clips.ids, training_set.values, strict=True))

    def score(clips):
        values = [known.get(name, np.zeros(len(EXPRESSION))) for name in clips.ids]
        found = np.array([np.zeros(len(EXPRESSION)) if np.isnan(v).any() else v for v in values])
        return -np.linalg.norm(found[:, None] - found[None], axis=2)

    return score


ORACLE = System("oracle", "encoder", lambda _: _cosine, learns=False)
MEMORY = System("memory", "head", memory)
RANDOM = baselines([0, 1], "x")[0]
TIED = System("tied", "control", lambda _: lambda clips: np.zeros((len(clips), len(clips))))


@pytest.fixture(scope="module")
def benchmark():
    return make_benchmark()


def means(answers, metric):
    return answers[answers["metric"] == metric].groupby(["system", "criterion"])["value"].mean()


def test_a_system_that_generalises_is_right_and_one_that_memorises_is_at_chance(benchmark):
    split = make_split(benchmark.tracks, folds=4)
    answers = evaluate_systems(benchmark, split, [ORACLE, MEMORY, RANDOM])
    accuracy = means(answers, "triplets")
    assert accuracy["oracle", "expression"] > 0.8
    assert accuracy["memory", "expression"] == pytest.approx(0.5)
    assert means(answers, "RR@10")["oracle", "content"] > 0.9
    permuted = accuracy["oracle", "expression (permuted)"]
    assert permuted == pytest.approx(0.5, abs=0.1)
    passage_of = dict(
        zip(benchmark.passages["clip_id"], benchmark.passages["passage_id"], strict=True)
    )
    table = control_table(answers, passage_of)
    assert not table["suspicious"].any()
    assert {"content (permuted)", "expression (permuted)"} <= set(table["criterion"])


def test_a_recording_without_a_hash_equals_only_itself(benchmark):
    """Its file could not be read when the library was scanned."""
    tracks = benchmark.tracks.astype({"audio_sha256": "string"})
    split = make_split(tracks, folds=4)
    expected = evaluate_systems(replace(benchmark, tracks=tracks), split, [ORACLE])
    unread = tracks.assign(audio_sha256=tracks["audio_sha256"].mask(tracks.index < 2))
    found = evaluate_systems(replace(benchmark, tracks=unread), split, [ORACLE])
    pd.testing.assert_frame_equal(found, expected)


def test_a_training_set_with_test_clips_raises_and_would_show_in_the_controls(
    benchmark, monkeypatch
):
    split = make_split(benchmark.tracks, folds=4)
    everything = benchmark.tracks["track_id"].tolist()
    leaky = select_training_set(benchmark, everything)
    found = training_set_leaks(benchmark, leaky, split.folds[0])
    assert {leak.kind for leak in found} == {"track", "segment"}
    monkeypatch.setattr(
        protocol,
        "select_training_set",
        lambda benchmark, *_, **__: select_training_set(benchmark, everything),
    )
    with pytest.raises(DatasetError, match="overlap"):
        evaluate_systems(benchmark, split, [MEMORY])
    monkeypatch.setattr(protocol, "training_set_leaks", lambda *_: [])
    answers = evaluate_systems(benchmark, split, [ORACLE, MEMORY])
    assert means(answers, "triplets")["memory", "expression"] == 1.0
    passage_of = dict(
        zip(benchmark.passages["clip_id"], benchmark.passages["passage_id"], strict=True)
    )
    table = control_table(answers, passage_of)
    assert set(table.loc[table["suspicious"], "system"]) == {"memory"}


def test_permuted_labels_stay_in_their_fold_or_passage(benchmark):
    split = make_split(benchmark.tracks, folds=4)
    permuted = permuted_benchmark(benchmark, split, "content", seed=3)
    before, after = benchmark.passages["passage_id"], permuted.passages["passage_id"]
    assert (before != after).mean() > 0.8
    fold = benchmark.passages["track_id"].map(split.fold_of())
    for side in range(4):
        assert sorted(before[fold == side]) == sorted(after[fold == side])
    values = permuted_benchmark(benchmark, split, "expression", seed=3).values
    for rows in benchmark.passages.groupby("passage_id").indices.values():
        assert sorted(values[rows, 0]) == sorted(benchmark.values[rows, 0])
    assert not np.array_equal(values, benchmark.values)


def content_queries(benchmark):
    """Return query to (relevant, candidates) for a fold that tests all tracks."""
    fold = replace(
        make_split(benchmark.tracks, folds=2).folds[0],
        train=(),
        test=tuple(benchmark.tracks["track_id"]),
    )
    queries = FoldQueries(benchmark, fold, 0)
    names = np.array(queries.clips.ids)
    return {
        name: (set(names[queries._relevant[row]]), set(names[queries._candidates[row]]))
        for row, name in enumerate(names)
    }


def test_clips_that_are_neither_relevant_nor_irrelevant_are_no_candidates():
    benchmark = make_benchmark(3)
    players = benchmark.tracks["performer"].where(benchmark.tracks["track_id"] != "w0p1", "player0")
    audio = benchmark.tracks["audio_sha256"].where(benchmark.tracks["track_id"] != "w0p3", "0-2")
    work = benchmark.tracks["work_id"].replace({"work:op1": "work:op2-7"})
    benchmark = replace(
        benchmark,
        tracks=benchmark.tracks.assign(performer=players, audio_sha256=audio, work_id=work),
        passages=benchmark.passages.assign(
            performer=benchmark.passages["performer"].where(
                benchmark.passages["track_id"] != "w0p1", "player0"
            ),
            work_id=benchmark.passages["work_id"].replace({"work:op1": "work:op2-7"}),
        ),
    )
    found = content_queries(benchmark)
    relevant, candidates = found["w0p0@0.00"]
    assert "w0p1@0.00" not in candidates  # another take by the same performer
    assert "w0p1@10.00" in candidates  # another passage is irrelevant
    assert relevant == {"w0p2@0.00", "w0p3@0.00"}
    _, candidates = found["w0p2@0.00"]
    assert not any(name.startswith("w0p3") for name in candidates)  # the same audio
    _, candidates = found["w1p0@0.00"]  # w1 is a piece of the opus w2
    assert not any(name.startswith("w2") for name in candidates)
    assert not any(name.startswith("w1p0") for name in candidates)


def test_ties_are_broken_at_random(benchmark):
    split = make_split(benchmark.tracks, folds=2)
    answers = evaluate_systems(benchmark, split, [TIED])
    content = means(answers, "R@10")["tied", "content"]
    # Any ten of the 45 other clips of the fold.
    assert content == pytest.approx(10 / 45, abs=0.06)
    assert means(answers, "triplets")["tied", "expression"] == 0.5
    tied = {f"q{row}": {f"d{hit}": 1.0 for hit in range(50)} for row in range(200)}
    relevance = {query: {"d7": 1} for query in tied}
    assert retrieval_metrics(relevance, tied, ks=(10,))["R@10"].mean() == pytest.approx(
        0.2, abs=0.1
    )
    # Scores that differ only in double precision are not ties.
    close = {"q": {"z": 1.0 + 1e-12, "a": 1.0, "b": 1.0 - 1e-12}}
    assert retrieval_metrics({"q": {"z": 1}}, close, ks=(1,))["R@1"].item() == 1.0


def test_scores_do_not_depend_on_the_number_of_processes(benchmark):
    split = make_split(benchmark.tracks, folds=2)
    systems = [ORACLE, RANDOM, *model_sequence("expression")[:2]]
    one, two = (
        evaluate_systems(benchmark, split, systems, permutations=1, workers=workers)
        for workers in (1, 2)
    )
    pd.testing.assert_frame_equal(one, two)
    assert set(one["system"]) == {system.name for system in systems}
    assert one["criterion"].str.endswith(" (permuted)").any()


def test_systems_that_find_nothing_to_align_are_left_out_and_named(benchmark):
    split, messages = make_split(benchmark.tracks, folds=2), []
    found = evaluate_systems(
        benchmark, split, [ORACLE, *aligned_systems("x")], permutations=0, say=messages.append
    )
    assert set(found["system"]) == {"oracle"}
    assert any(
        one.startswith("x, aligned frames could not be fitted: the clips have no frames")
        for one in messages
    )


def test_folds_without_training_passages_are_skipped_and_none_left_raises(benchmark):
    small = make_benchmark(2)
    # Only one work has passages of its tracks.
    small = replace(small, passages=small.passages.assign(
        track_id=small.passages["track_id"].where(small.passages["work_id"] == "work:op0", "x")
    ))  # fmt: skip
    messages = []
    with pytest.raises(TooLittleError, match="no fold has both training and test passages"):
        evaluate_systems(small, make_split(small.tracks, folds=2), [ORACLE], say=messages.append)
    assert any("is skipped" in line for line in messages)


def test_random_scores_differ_between_queries_and_are_reproducible(benchmark):
    score = RANDOM.fit(select_training_set(benchmark, benchmark.tracks["track_id"].tolist()))
    first = [score(benchmark.clips.take([x, x + 1, x + 2]))[0] for x in range(90)]
    assert np.mean([row[1] > row[2] for row in first]) == pytest.approx(0.5, abs=0.2)
    np.testing.assert_array_equal(first[0], score(benchmark.clips.take([0, 1, 2]))[0])


def test_works_that_the_encoder_was_trained_on_are_learned_from_but_not_scored():
    benchmark = make_benchmark()
    split = make_split(benchmark.tracks, "work", folds=4)
    heard = {track: "work:op0" for track in benchmark.tracks["track_id"] if track.startswith("w0")}
    known = replace(benchmark, heard=heard)
    scored = evaluate_systems(known, split, [ORACLE])
    assert set(scored["cluster"]) == {f"work:op{work}" for work in range(1, WORKS)}
    assert not scored["query"].str.startswith("w0").any()
    in_training = next(fold for fold in split.folds if "w0p0" in fold.train)
    assert "w0p0" in select_training_set(known, in_training.train).tracks
