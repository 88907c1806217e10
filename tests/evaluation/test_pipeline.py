"""The whole evaluation on a small library: results are cached, and recomputed after changes."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mess_core.datasets import scan_source, track_table
from mess_core.datasets.demo import write_demo_corpus
from mess_core.encoders.extraction import embed_tracks
from mess_core.errors import AudioError, DatasetError, StoreError, TooLittleError
from mess_core.evaluation import (
    data,
    head_training,
    leaderboard,
    leaks,
    listener_protocol,
    pipeline,
    preparation,
    protocol,
)
from mess_core.evaluation.fingerprints import library_fingerprint
from mess_core.evaluation.head_training import train_model
from mess_core.evaluation.pipeline import Evaluation, cached_scores
from mess_core.evaluation.systems import MODELS
from mess_core.judgements.sampling import sample_triplets
from mess_core.ranking import frames
from mess_core.search import served_heads
from mess_core.search.served_heads import list_heads
from mess_core.store import Layout
from mess_core.store.matrix import build_matrix
from mess_core.store.tables import read_table, write_table
from mess_core.targets.tracks import compute_track_targets


@pytest.fixture(scope="module")
def library(tmp_path_factory, encoder):
    root = tmp_path_factory.mktemp("evaluated")
    write_demo_corpus(root / "datasets" / "demo", works=4, players=3, bars=12)
    tracks = track_table({"demo": scan_source(root / "datasets" / "demo", "demo")})
    layout = Layout(root, "untrained-tiny")
    write_table(layout.tracks, tracks)
    for step in (embed_tracks(tracks, encoder, layout), compute_track_targets(tracks, layout)):
        for outcome in step:
            assert outcome.facts.get("status") != "failed", outcome
    build_matrix(layout, tracks)
    return layout


def quick_evaluation(layout, encoder=None):
    """Return an evaluation without the single layers, which are thirteen times the same."""
    systems = [one for one in Evaluation(layout).systems if not one.name[-1].isdigit()]
    return Evaluation(layout, encoder=encoder, systems=systems)


@pytest.fixture(scope="module")
def evaluated(library, encoder):
    patch = pytest.MonkeyPatch()
    patch.setattr(preparation, "MOST_SOURCES", 1)
    patch.setattr(protocol, "PERMUTATIONS", 1)
    quick = {name: vars(one) | {"epochs": 8} for name, one in MODELS.items()}
    for name, one in quick.items():
        patch.setitem(MODELS, name, type(MODELS[name])(**one))
    splits = preparation.store_splits(library, folds=2)
    passages = preparation.store_passages(library)
    preparation.store_single_factor_triplets(library, encoder=encoder)
    preparation.store_human_triplets(library, count=12)
    evaluation = quick_evaluation(library, encoder)
    heads = {name: one for model in MODELS for name, one in train_model(evaluation, model).items()}
    answers, reused = evaluation.retrieval()
    assert not reused
    yield splits, passages, heads, answers, evaluation.leaderboard()
    patch.undo()


def test_all_systems_are_evaluated_and_compared(library, evaluated):
    splits, passages, heads, answers, board = evaluated
    assert splits["work"]["tested"] == 12
    assert passages.groupby("passage_id").size().max() == 3
    assert set(list_heads(library.heads)) == set(heads)
    assert {"content", "expression", "single factor: pedal", "content (permuted)"} <= set(
        answers["criterion"]
    )
    assert answers["value"].between(0, 1).all()
    table = board["summary"]
    several = table[table["clusters"] > 1]  # a single work has no interval
    assert (several["low"] <= several["mean"] + 1e-9).all()
    assert (several["mean"] <= several["high"] + 1e-9).all()
    assert set(board["models"]["verdict"]) == {"too few works to tell"}
    assert "untrained: a control" in board["markdown"]
    assert board["png"].startswith(b"\x89PNG")
    # The descriptors measure this factor, so they must answer most of these triplets correctly.
    measured = table[
        (table["criterion"] == "single factor: articulation") & (table["metric"] == "triplets")
    ]
    assert measured.set_index("system").loc["midi, corrected", "mean"] >= 0.75


def test_scores_of_some_systems_are_not_taken_for_those_of_all(library, evaluated):
    some = quick_evaluation(library).systems[:1]
    cached = library.evaluation / "retrieval-work.parquet"
    before = cached.read_bytes()
    scores, reused = Evaluation(library, systems=some).retrieval()
    assert not reused
    assert set(scores["system"]) == {some[0].name}
    again, reused = quick_evaluation(library).retrieval()
    assert not reused
    assert set(again["system"]) == set(evaluated[3]["system"])
    assert cached.read_bytes() == before


def test_systems_that_use_the_ground_truth_are_not_evaluated_on_it(evaluated):
    answers = evaluated[3]
    scored = answers[answers["criterion"] == "expression"]["system"].unique()
    assert "audio descriptors" in scored
    assert not any(name.startswith("midi") for name in scored)


def test_content_queries_are_stored_passages(evaluated):
    _, passages, _, answers, _ = evaluated
    queries = answers[answers["criterion"] == "content"]["query"].unique()
    assert set(queries) <= set(passages["clip_id"])


def test_unchanged_results_are_reused(library, evaluated, monkeypatch):
    monkeypatch.setattr(
        pipeline, "evaluate_systems", lambda *_, **__: pytest.fail("evaluated again")
    )
    monkeypatch.setattr(head_training, "fit_head", lambda *_, **__: pytest.fail("trained again"))
    answers, reused = quick_evaluation(library).retrieval()
    assert reused
    pd.testing.assert_frame_equal(answers, evaluated[3])
    again = train_model(quick_evaluation(library), "diagonal")
    assert all(one["reused"] for one in again.values())


def test_changed_results_are_recomputed(library, evaluated, monkeypatch):
    monkeypatch.setattr("mess_core.evaluation.fingerprints.EVALUATION_VERSION", "next")
    monkeypatch.setattr(head_training, "fit_head", lambda *_, **__: pytest.fail("trained"))
    with pytest.raises(pytest.fail.Exception, match="trained"):
        train_model(quick_evaluation(library), "diagonal")


def test_checks_pass_and_report_problems(library, evaluated):
    for finding in (
        leaks.check_frozen_splits(library),
        preparation.check_passages(library),
        preparation.check_single_factor_triplets(library),
        served_heads.check_heads(library, list(evaluated[2])),
        leaderboard.check_leaderboard(library),
    ):
        assert finding.passed, finding
    assert not served_heads.check_heads(library, ["none"]).passed
    # In such a small library no three works match, so the kinds are not balanced.
    assert not preparation.check_human_triplets(library).passed


def test_systems_are_compared_with_listeners_answers(library, evaluated):
    triplets = read_table(library.human_triplets)
    split = Evaluation(library).split
    fold = read_table(library.passages)["track_id"].map(split.fold_of())
    elsewhere = read_table(library.passages)[
        (fold != split.fold_of()[triplets["x_track"].iloc[0]]).to_numpy()
    ].iloc[0]
    for field in ("track", "start_s", "end_s"):  # one triplet spans two folds
        triplets.loc[0, f"b_{field}"] = elsewhere["track_id" if field == "track" else field]
    judgements = pd.DataFrame(
        [
            {"listener": f"j{listener}", "triplet_id": one, "answer": "a", "repeat": False,
             "attention": False}
            for one in triplets["triplet_id"] for listener in range(3)
        ]
    )  # fmt: skip
    assert (listener_protocol.majority(judgements) == 1.0).all()
    assert listener_protocol.majority(judgements[judgements["listener"] != "j0"]).empty  # too few
    benchmark = data.load_benchmark_data(library)
    systems = quick_evaluation(library).systems[:5]
    found = listener_protocol.evaluate_on_listeners(benchmark, split, systems, triplets, judgements)
    assert set(found["query"]) <= set(triplets["triplet_id"])
    learns = {one.name for one in systems if one.learns}
    answered = found.groupby("system")["query"].nunique()
    assert answered["random"] == len(triplets)
    assert {answered[name] for name in learns} == {len(triplets) - 1}
    pooled = found[found["criterion"] == "listener triplets"]
    contested = triplets.loc[triplets["kind"] == "disagreement", "triplet_id"]
    assert not set(pooled["query"]) & set(contested)
    assert "listener triplets: disagreement" in set(found["criterion"])
    messages = []
    missing = listener_protocol.evaluate_on_listeners(
        benchmark, split, systems, triplets.assign(x_start_s=999.0), judgements, say=messages.append
    )
    assert missing.empty
    assert f"{len(triplets)} listener triplets" in messages[0]


def test_triplets_for_listeners_are_a_third_of_each_kind(evaluated):
    passages = pd.DataFrame(
        [
            {"clip_id": f"{w}{p}{k}", "passage_id": f"{w}#{k}", "work_id": w,
             "track_id": f"{w}{p}", "performer": p, "start_s": 10.0 * k, "end_s": 10.0 * k + 9}
            for w in "abcdef" for p in "xyz" for k in range(5)
        ]
    )  # fmt: skip
    rng = np.random.default_rng(0)
    first, second = (rng.random((len(passages), len(passages))) for _ in range(2))
    matching = rng.normal(0, 0.3, (len(passages), 2))
    table = sample_triplets(passages, matching, (first, second), count=60)
    assert table["kind"].value_counts().to_dict() == {
        "same_passage": 20, "across_works": 20, "disagreement": 20,
    }  # fmt: skip
    assert table["triplet_id"].is_unique
    across = table[table["kind"] == "across_works"]
    for row in across.itertuples():
        assert len({row.x_track[0], row.a_track[0], row.b_track[0]}) == 3
    row_of = {(r.track_id, r.start_s): i for i, r in enumerate(passages.itertuples())}
    for row in table[table["kind"] == "disagreement"].itertuples():
        x, a, b = (row_of[getattr(row, f"{s}_track"), getattr(row, f"{s}_start_s")] for s in "xab")
        assert (first[x, a] > first[x, b]) != (second[x, a] > second[x, b])
    again = sample_triplets(passages, matching, (first, second), count=60)
    pd.testing.assert_frame_equal(table, again)


def test_a_failed_track_is_left_out(library, tmp_path):
    shutil.copytree(library.root, tmp_path / "library")
    layout = Layout(tmp_path / "library", "untrained-tiny")
    tracks = read_table(layout.tracks)
    failed = str(tracks["track_id"].iloc[0])
    layout.segment_targets("demo", failed).unlink()
    table = preparation.store_passages(layout)
    assert failed not in set(table["track_id"])
    assert len(table)


def test_a_library_without_shared_works_raises(library, tmp_path):
    shutil.copytree(library.root, tmp_path / "library")
    layout = Layout(tmp_path / "library", "untrained-tiny")
    tracks = read_table(layout.tracks)
    write_table(layout.tracks, tracks.drop_duplicates("work_id"))
    with pytest.raises(DatasetError, match="nothing to compare"):
        preparation.store_passages(layout)


@pytest.fixture
def copied(library, evaluated, tmp_path):
    shutil.copytree(library.root, tmp_path / "library")
    return Layout(tmp_path / "library", "untrained-tiny")


def _copy_midi(layout, tmp_path):
    """Copy the MIDI of a copied library, too, so that it can be changed."""
    tracks = read_table(layout.tracks)
    folder = tmp_path / "midi"
    folder.mkdir()
    moved = [str(shutil.copy(path, folder)) for path in tracks["midi_path"]]
    write_table(layout.tracks, tracks.assign(midi_path=moved))
    return moved


def test_every_relevant_change_changes_the_fingerprint(copied, tmp_path):
    moved = _copy_midi(copied, tmp_path)
    before = library_fingerprint(copied, "work")
    assert before == library_fingerprint(copied, "work")
    passages = read_table(copied.passages)
    track = passages["track_id"].iloc[0]
    fingerprints = [before]
    content = Path(moved[0]).read_bytes()
    Path(moved[0]).write_bytes(content + b" ")
    fingerprints.append(library_fingerprint(copied, "work"))
    path = copied.segment_targets("demo", str(track))
    write_table(path, read_table(path) * 1.01)
    fingerprints.append(library_fingerprint(copied, "work"))
    write_table(copied.passages, passages.assign(performer="nobody"))
    fingerprints.append(library_fingerprint(copied, "work"))
    (copied.splits / "work.json").unlink()
    fingerprints.append(library_fingerprint(copied, "work"))
    assert len(set(fingerprints)) == 5


def test_scores_on_another_state_of_the_library_are_not_shown(copied):
    answers = quick_evaluation(copied).retrieval()[0].head(40).assign(criterion="PercePiano")
    now = library_fingerprint(copied, "work")
    cached_scores(copied, "ratings").save("x", answers, library=now)
    board = quick_evaluation(copied).leaderboard()
    assert board["notes"]["ratings"] == "included"
    assert "PercePiano" in set(board["summary"]["criterion"])
    cached_scores(copied, "ratings").save("x", answers, library="another")
    board = quick_evaluation(copied).leaderboard()
    assert "left out" in board["notes"]["ratings"]
    assert "PercePiano" not in set(board["summary"]["criterion"])
    write_table(copied.passages, read_table(copied.passages).assign(performer="nobody"))
    with pytest.raises(StoreError, match="another state of the library"):
        quick_evaluation(copied).leaderboard()


def test_a_broken_head_is_retrained_and_an_untrainable_one_is_withdrawn(copied, monkeypatch):
    weights = next((copied.heads / "content-diagonal").glob("*/weights.safetensors"))
    weights.write_bytes(b"")
    again = train_model(quick_evaluation(copied), "diagonal")
    assert not again["content-diagonal"]["reused"]
    assert again["expression-diagonal"]["reused"]
    assert "content-diagonal" in list_heads(copied.heads)
    write_table(copied.passages, read_table(copied.passages).assign(performer="nobody"))
    found = train_model(quick_evaluation(copied), "diagonal")
    assert "two performers" in found["content-diagonal"]["problem"]
    assert "content-diagonal" not in list_heads(copied.heads)


def test_scores_of_deleted_judgements_are_dropped(copied):
    answers, _ = quick_evaluation(copied).retrieval()
    now = library_fingerprint(copied, "work")
    cached_scores(copied, "listeners").save("x", answers.head(3), library=now)
    found, reused = quick_evaluation(copied).listeners()
    assert found.empty
    assert not reused
    assert "listeners" not in quick_evaluation(copied).leaderboard()["notes"]


def test_a_missing_split_by_work_raises(copied):
    (copied.splits / "work.json").unlink()
    with pytest.raises(TooLittleError, match="no split by work"):
        quick_evaluation(copied).retrieval()


def test_clips_are_compared_over_time_only_where_the_audio_is(library, evaluated, monkeypatch):
    whole = data.load_benchmark_data(library)
    assert len(whole.clips.frames) == len(whole.clips)
    assert {"expression: aligned pairs", "content: aligned pairs"} <= set(evaluated[3]["system"])

    def missing(*_, **__):
        raise StoreError("does not exist")

    def gone(path, **_):
        raise AudioError("does not exist", path=path)

    said = []
    monkeypatch.setattr(frames, "read_array", missing)
    monkeypatch.setattr(frames, "load_audio", gone)
    found = data.load_benchmark_data(library, say=said.append)
    assert found.clips.frames == ()
    assert any("not compared over time" in line for line in said)
