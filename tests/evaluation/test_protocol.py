"""The examination on made-up clips: who is a candidate, what controls notice, what is said."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from mess_core.errors import DatasetError, TooLittleError
from mess_core.evaluation import protocol
from mess_core.evaluation.data import BenchmarkData, select_training_set
from mess_core.evaluation.ground_truth import FoldQueries
from mess_core.evaluation.metrics import retrieval_metrics
from mess_core.evaluation.permuted_labels import control_table, permuted_benchmark
from mess_core.evaluation.protocol import evaluate_systems, training_set_leaks
from mess_core.evaluation.splits import make_split
from mess_core.evaluation.systems import System, baselines
from mess_core.midi.performance import Performance
from mess_core.ranking.clips import Clips
from mess_core.ranking.pairs import EXPRESSION

WORKS, PASSAGES, PLAYERS = 8, 3, 4
NOTES = Performance(np.arange(3.0), np.arange(3.0) + 0.5, np.arange(60, 63), np.full(3, 64),
                    np.empty((0, 2)))  # fmt: skip


def made(works=WORKS, **columns):
    """Clips whose vectors hold the passage and the way of playing, each a little noisy."""
    rng = np.random.default_rng(0)
    rows, tracks, vectors, values = [], [], [], []
    for work in range(works):
        for player in range(PLAYERS):
            track = f"w{work}p{player}"
            tracks.append((track, f"work:op{work}", f"player{player}", f"{work}-{player}"))
            for place in range(PASSAGES):
                way = rng.normal(0, 1, len(EXPRESSION))
                what = np.random.default_rng([work, place]).normal(0, 2, 12)
                start = 10.0 * place
                rows.append((f"{track}@{start:.2f}", f"work:op{work}#{place}", f"work:op{work}",
                             track, f"player{player}", start, start + 10.0))  # fmt: skip
                layer = np.concatenate([what, way]) + rng.normal(0, 0.3, 12 + len(way))
                vectors.append(np.stack([layer, rng.normal(size=len(layer))]))
                values.append(way)
    names = ["clip_id", "passage_id", "work_id", "track_id", "performer", "start_s", "end_s"]
    passages = pd.DataFrame(rows, columns=names)
    table = pd.DataFrame(tracks, columns=["track_id", "work_id", "performer", "audio_sha256"])
    table = table.assign(composer="Work", title=table["work_id"].str.removeprefix("work:"))
    ids = passages["clip_id"]
    planted = ids[::6]
    inner = [f"{name}:pedal:{part}" for name in planted for part in ("x", "near", "far")]
    return BenchmarkData(
        table.assign(**columns),
        passages,
        clips(ids, np.array(vectors), passages["track_id"]),
        np.array(values),
        pd.DataFrame({"factor": "pedal", "clip_id": planted}),
        clips(inner, np.repeat(np.array(vectors)[::6], 3, axis=0), inner),
    )


def clips(ids, vectors, recordings):
    nothing = np.zeros((len(vectors), 1))
    return Clips(tuple(ids), (NOTES,) * len(vectors), vectors.astype(np.float32), nothing,
                 tuple(recordings))  # fmt: skip


def _cosine(some):
    unit = some.vectors[:, 0] / np.linalg.norm(some.vectors[:, 0], axis=1, keepdims=True)
    return unit @ unit.T


def memory(training_set):
    """Knows the way that every clip of its training_set is played, and nothing about others."""
    known = dict(zip(training_set.clips.ids, training_set.values, strict=True))

    def score(some):
        ways = [known.get(name, np.zeros(len(EXPRESSION))) for name in some.ids]
        found = np.array([np.zeros(len(EXPRESSION)) if np.isnan(w).any() else w for w in ways])
        return -np.linalg.norm(found[:, None] - found[None], axis=2)

    return score


LISTENER = System("listener", "encoder", lambda _: _cosine, learns=False)
MEMORY = System("memory", "head", memory)
RANDOM = baselines([0, 1], "x")[0]
TIED = System("tied", "control", lambda _: lambda some: np.zeros((len(some), len(some))))


@pytest.fixture(scope="module")
def benchmark():
    return made()


def means(answers, metric):
    return answers[answers["metric"] == metric].groupby(["system", "criterion"])["value"].mean()


def test_who_hears_is_right_and_who_remembers_only_training_clips_is_not(benchmark):
    split = make_split(benchmark.tracks, folds=4)
    answers = evaluate_systems(benchmark, split, [LISTENER, MEMORY, RANDOM])
    right = means(answers, "triplets")
    assert right["listener", "expression"] > 0.8
    assert right["memory", "expression"] == pytest.approx(0.5)
    assert means(answers, "RR@10")["listener", "content"] > 0.9
    shuffled = right["listener", "expression (permuted)"]
    assert shuffled == pytest.approx(0.5, abs=0.1)
    passage_of = dict(
        zip(benchmark.passages["clip_id"], benchmark.passages["passage_id"], strict=True)
    )
    table = control_table(answers, passage_of)
    assert not table["suspicious"].any()
    assert {"content (permuted)", "expression (permuted)"} <= set(table["criterion"])


def test_a_lesson_that_holds_test_clips_is_refused_and_would_show_in_the_controls(
    benchmark, monkeypatch
):
    split = make_split(benchmark.tracks, folds=4)
    everything = benchmark.tracks["track_id"].tolist()
    leaky = select_training_set(benchmark, everything)
    found = training_set_leaks(benchmark, leaky, split.folds[0])
    assert {leak.kind for leak in found} == {"choice", "segment"}
    monkeypatch.setattr(
        protocol,
        "select_training_set",
        lambda told, *_, **__: select_training_set(told, everything),
    )
    with pytest.raises(DatasetError, match="not apart"):
        evaluate_systems(benchmark, split, [MEMORY])
    monkeypatch.setattr(protocol, "training_set_leaks", lambda *_: [])
    answers = evaluate_systems(benchmark, split, [LISTENER, MEMORY])
    assert means(answers, "triplets")["memory", "expression"] == 1.0
    passage_of = dict(
        zip(benchmark.passages["clip_id"], benchmark.passages["passage_id"], strict=True)
    )
    table = control_table(answers, passage_of)
    assert set(table.loc[table["suspicious"], "system"]) == {"memory"}


def test_labels_are_dealt_once_and_stay_on_their_side(benchmark):
    split = make_split(benchmark.tracks, folds=4)
    permuted = permuted_benchmark(benchmark, split, "content", seed=3)
    before, after = benchmark.passages["passage_id"], permuted.passages["passage_id"]
    assert (before != after).mean() > 0.8
    fold = benchmark.passages["track_id"].map(split.fold_of())
    for side in range(4):
        assert sorted(before[fold == side]) == sorted(after[fold == side])
    ways = permuted_benchmark(benchmark, split, "expression", seed=3).values
    for rows in benchmark.passages.groupby("passage_id").indices.values():
        assert sorted(ways[rows, 0]) == sorted(benchmark.values[rows, 0])
    assert not np.array_equal(ways, benchmark.values)


def asked(benchmark, similarity=None):
    """What a fold that tests everything asks: query to (right, candidates)."""
    fold = replace(
        make_split(benchmark.tracks, folds=2).folds[0],
        train=(),
        test=tuple(benchmark.tracks["track_id"]),
    )
    queries = FoldQueries(benchmark, fold, 0)
    names = np.array(queries.clips.ids)
    return {
        name: (set(names[queries._same[row]]), set(names[queries._candidate[row]]))
        for row, name in enumerate(names)
    }


def test_what_is_neither_right_nor_wrong_is_no_candidate():
    benchmark = made(3)
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
    found = asked(benchmark)
    right, candidates = found["w0p0@0.00"]
    assert "w0p1@0.00" not in candidates  # the same performer's other take
    assert "w0p1@10.00" in candidates  # of another passage it is wrong
    assert right == {"w0p2@0.00", "w0p3@0.00"}
    _, candidates = found["w0p2@0.00"]
    assert not any(name.startswith("w0p3") for name in candidates)  # the same audio
    _, candidates = found["w1p0@0.00"]  # a piece of the opus that w2 is
    assert not any(name.startswith("w2") for name in candidates)
    assert not any(name.startswith("w1p0") for name in candidates)


def test_ties_favour_no_name(benchmark):
    split = make_split(benchmark.tracks, folds=2)
    answers = evaluate_systems(benchmark, split, [TIED])
    content = means(answers, "R@10")["tied", "content"]
    # Of 45 other clips of the fold, any ten.
    assert content == pytest.approx(10 / 45, abs=0.06)
    assert means(answers, "triplets")["tied", "expression"] == 0.5
    same = {f"q{row}": {f"d{hit}": 1.0 for hit in range(50)} for row in range(200)}
    truth = {query: {"d7": 1} for query in same}
    assert retrieval_metrics(truth, same, ks=(10,))["R@10"].mean() == pytest.approx(0.2, abs=0.1)
    # Nor does single precision make ties of what differs.
    close = {"q": {"z": 1.0 + 1e-12, "a": 1.0, "b": 1.0 - 1e-12}}
    assert retrieval_metrics({"q": {"z": 1}}, close, ks=(1,))["R@1"].item() == 1.0


def test_folds_without_anything_to_learn_are_passed_over_and_none_at_all_is_said(benchmark):
    lonely = made(2)
    # Only one work has passages that others play.
    lonely = replace(lonely, passages=lonely.passages.assign(
        track_id=lonely.passages["track_id"].where(lonely.passages["work_id"] == "work:op0", "x")
    ))  # fmt: skip
    heard = []
    with pytest.raises(TooLittleError, match="no fold has passages on both sides"):
        evaluate_systems(lonely, make_split(lonely.tracks, folds=2), [LISTENER], say=heard.append)
    assert any("passed over" in line for line in heard)


def test_chance_is_not_the_same_answer_to_every_question(benchmark):
    score = RANDOM.fit(select_training_set(benchmark, benchmark.tracks["track_id"].tolist()))
    first = [score(benchmark.clips.take([x, x + 1, x + 2]))[0] for x in range(90)]
    assert np.mean([row[1] > row[2] for row in first]) == pytest.approx(0.5, abs=0.2)
    np.testing.assert_array_equal(first[0], score(benchmark.clips.take([0, 1, 2]))[0])
