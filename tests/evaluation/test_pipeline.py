"""The whole ladder on a small library: made once, reused, made again when something changes."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mess_core.datasets.base import scan_source, track_table
from mess_core.datasets.demo import write_demo_corpus
from mess_core.encoders.extraction import embed_tracks
from mess_core.errors import DatasetError, StoreError, TooLittleError
from mess_core.evaluation import (
    data,
    leaderboard,
    leaks,
    listener_protocol,
    pipeline,
    preparation,
    protocol,
)
from mess_core.evaluation.fingerprints import library_fingerprint
from mess_core.evaluation.pipeline import Evaluation, cached_scores
from mess_core.evaluation.systems import MODELS
from mess_core.judgements.sampling import sample_triplets
from mess_core.search import served_heads
from mess_core.search.served_heads import list_heads
from mess_core.store import Layout
from mess_core.store.matrix import build_matrix
from mess_core.store.tables import read_table, write_table
from mess_core.targets.tracks import compute_track_targets


@pytest.fixture(scope="module")
def library(tmp_path_factory, encoder):
    root = tmp_path_factory.mktemp("evaluated")
    write_demo_corpus(root / "datasets" / "demo", works=4, players=3, bars=8)
    tracks = track_table({"demo": scan_source(root / "datasets" / "demo", "demo")})
    layout = Layout(root)
    write_table(layout.tracks, tracks)
    for step in (embed_tracks(tracks, encoder, layout), compute_track_targets(tracks, layout)):
        for outcome in step:
            assert outcome.facts.get("status") != "failed", outcome
    build_matrix(layout, tracks)
    return layout


def quick_evaluation(layout, encoder=None):
    """Without the single layers, which are thirteen times the same."""
    systems = [one for one in Evaluation(layout).systems if not one.name[-1].isdigit()]
    return Evaluation(layout, encoder=encoder, systems=systems)


@pytest.fixture(scope="module")
def examined(library, encoder):
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
    heads = {name: one for model in MODELS for name, one in evaluation.train_model(model).items()}
    answers, reused = evaluation.retrieval()
    assert not reused
    yield splits, passages, heads, answers, evaluation.leaderboard()
    patch.undo()


def test_everything_is_examined_and_compared(library, examined):
    splits, passages, heads, answers, board = examined
    assert splits["work"]["tested"] == 12
    assert passages.groupby("passage_id").size().max() == 3
    assert set(list_heads(library.heads)) == set(heads)
    assert {"content", "expression", "single factor: pedal", "content (permuted)"} <= set(
        answers["criterion"]
    )
    assert answers["value"].between(0, 1).all()
    table = board["summary"]
    several = table[table["clusters"] > 1]  # of one work there is no interval
    assert (several["low"] <= several["mean"] + 1e-9).all()
    assert (several["mean"] <= several["high"] + 1e-9).all()
    assert set(board["models"]["verdict"]) == {"too few works to tell"}
    assert "untrained: a control" in board["markdown"]
    assert board["png"].startswith(b"\x89PNG")
    # Exact answers, which what measures the factor knows (a median may not move as far).
    easy = table[
        (table["criterion"] == "single factor: articulation") & (table["metric"] == "triplets")
    ]
    assert easy.set_index("system").loc["midi, corrected", "mean"] >= 0.75


def test_systems_that_read_the_truth_are_not_scored_on_it(examined):
    answers = examined[3]
    asked = answers[answers["criterion"] == "expression"]["system"].unique()
    assert "audio descriptors" in asked
    assert not any(name.startswith("midi") for name in asked)


def test_a_query_never_meets_its_own_track(examined):
    _, passages, _, answers, _ = examined
    queries = answers[answers["criterion"] == "content"]["query"].unique()
    assert set(queries) <= set(passages["clip_id"])


def test_what_is_unchanged_is_not_made_again(library, examined, monkeypatch):
    monkeypatch.setattr(
        pipeline, "evaluate_systems", lambda *_, **__: pytest.fail("examined again")
    )
    monkeypatch.setattr(pipeline, "fit_head", lambda *_, **__: pytest.fail("trained again"))
    answers, reused = quick_evaluation(library).retrieval()
    assert reused
    pd.testing.assert_frame_equal(answers, examined[3])
    again = quick_evaluation(library).train_model("diagonal")
    assert all(one["reused"] for one in again.values())


def test_what_has_changed_is(library, examined, monkeypatch):
    monkeypatch.setattr("mess_core.evaluation.fingerprints.EVALUATION_VERSION", "next")
    monkeypatch.setattr(pipeline, "fit_head", lambda *_, **__: pytest.fail("trained"))
    with pytest.raises(pytest.fail.Exception, match="trained"):
        quick_evaluation(library).train_model("diagonal")


def test_checks_pass_and_notice(library, examined):
    for finding in (
        leaks.check_frozen_splits(library),
        preparation.check_passages(library),
        preparation.check_single_factor_triplets(library),
        served_heads.check_heads(library, list(examined[2])),
        leaderboard.check_leaderboard(library),
    ):
        assert finding.passed, finding
    assert not served_heads.check_heads(library, ["none"]).passed
    # In so small a library no three works match: it is not balanced, and said.
    assert not preparation.check_human_triplets(library).passed


def test_judges_answers_are_compared_with_systems(library, examined):
    triplets = read_table(library.human_triplets)
    split = Evaluation(library).split
    fold = read_table(library.passages)["track_id"].map(split.fold_of())
    elsewhere = read_table(library.passages)[
        (fold != split.fold_of()[triplets["x_track"].iloc[0]]).to_numpy()
    ].iloc[0]
    for field in ("track", "start_s", "end_s"):  # one triplet across works, in two folds
        triplets.loc[0, f"b_{field}"] = elsewhere["track_id" if field == "track" else field]
    said = pd.DataFrame(
        [
            {"listener": f"j{listener}", "triplet_id": one, "answer": "a", "repeat": False,
             "attention": False}
            for one in triplets["triplet_id"] for listener in range(3)
        ]
    )  # fmt: skip
    assert (listener_protocol.majority(said) == 1.0).all()
    assert listener_protocol.majority(said[said["listener"] != "j0"]).empty  # two are no majority
    benchmark = data.load_benchmark_data(library)
    systems = quick_evaluation(library).systems[:5]
    found = listener_protocol.evaluate_on_listeners(benchmark, split, systems, triplets, said)
    assert set(found["query"]) <= set(triplets["triplet_id"])
    learns = {one.name for one in systems if one.learns}
    answered = found.groupby("system")["query"].nunique()
    assert answered["random"] == len(triplets)
    assert {answered[name] for name in learns} == {len(triplets) - 1}
    pooled = found[found["criterion"] == "judged triplets"]
    contested = triplets.loc[triplets["kind"] == "disagreement", "triplet_id"]
    assert not set(pooled["query"]) & set(contested)
    assert "judged triplets: disagreement" in set(found["criterion"])
    heard = []
    gone = listener_protocol.evaluate_on_listeners(
        benchmark, split, systems, triplets.assign(x_start_s=999.0), said, say=heard.append
    )
    assert gone.empty
    assert f"{len(triplets)} judged triplets" in heard[0]


def test_triplets_for_judges_are_a_third_of_each_kind(examined):
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
    place = {(r.track_id, r.start_s): i for i, r in enumerate(passages.itertuples())}
    for row in table[table["kind"] == "disagreement"].itertuples():
        x, a, b = (place[getattr(row, f"{s}_track"), getattr(row, f"{s}_start_s")] for s in "xab")
        assert (first[x, a] > first[x, b]) != (second[x, a] > second[x, b])
    again = sample_triplets(passages, matching, (first, second), count=60)
    pd.testing.assert_frame_equal(table, again)


def test_a_track_that_failed_is_left_out_and_the_others_go_on(library, tmp_path):
    shutil.copytree(library.root, tmp_path / "library")
    layout = Layout(tmp_path / "library")
    tracks = read_table(layout.tracks)
    failed = str(tracks["track_id"].iloc[0])
    layout.segment_targets("demo", failed).unlink()
    table = preparation.store_passages(layout)
    assert failed not in set(table["track_id"])
    assert len(table)


def test_a_library_without_shared_works_says_so(library, tmp_path):
    shutil.copytree(library.root, tmp_path / "library")
    layout = Layout(tmp_path / "library")
    tracks = read_table(layout.tracks)
    write_table(layout.tracks, tracks.drop_duplicates("work_id"))
    with pytest.raises(DatasetError, match="nothing to compare"):
        preparation.store_passages(layout)


@pytest.fixture
def copied(library, examined, tmp_path):
    shutil.copytree(library.root, tmp_path / "library")
    return Layout(tmp_path / "library")


def _tracks_here(layout, tmp_path):
    """The MIDI of a copied library, copied too, so that it can be changed."""
    tracks = read_table(layout.tracks)
    folder = tmp_path / "midi"
    folder.mkdir()
    moved = [str(shutil.copy(path, folder)) for path in tracks["midi_path"]]
    write_table(layout.tracks, tracks.assign(midi_path=moved))
    return moved


def test_every_change_that_matters_changes_the_fingerprint(copied, tmp_path):
    moved = _tracks_here(copied, tmp_path)
    before = library_fingerprint(copied, "work")
    assert before == library_fingerprint(copied, "work")
    passages = read_table(copied.passages)
    track = passages["track_id"].iloc[0]
    changed = [before]
    content = Path(moved[0]).read_bytes()
    Path(moved[0]).write_bytes(content + b" ")
    changed.append(library_fingerprint(copied, "work"))
    place = copied.segment_targets("demo", str(track))
    write_table(place, read_table(place) * 1.01)
    changed.append(library_fingerprint(copied, "work"))
    write_table(copied.passages, passages.assign(performer="nobody"))
    changed.append(library_fingerprint(copied, "work"))
    (copied.splits / "work.json").unlink()
    changed.append(library_fingerprint(copied, "work"))
    assert len(set(changed)) == 5


def test_answers_about_another_state_of_the_library_are_not_shown(copied):
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


def test_a_head_that_cannot_be_served_is_trained_again_and_one_that_cannot_be_trained_is_not_served(
    copied, monkeypatch
):
    weights = next((copied.heads / "content-diagonal").glob("*/weights.safetensors"))
    weights.write_bytes(b"")
    again = quick_evaluation(copied).train_model("diagonal")
    assert not again["content-diagonal"]["reused"]
    assert again["expression-diagonal"]["reused"]
    assert "content-diagonal" in list_heads(copied.heads)
    write_table(copied.passages, read_table(copied.passages).assign(performer="nobody"))
    told = quick_evaluation(copied).train_model("diagonal")
    assert "two performers" in told["content-diagonal"]["problem"]
    assert "content-diagonal" not in list_heads(copied.heads)


def test_judgements_that_are_gone_take_their_answers_along(copied):
    answers, _ = quick_evaluation(copied).retrieval()
    now = library_fingerprint(copied, "work")
    cached_scores(copied, "listeners").save("x", answers.head(3), library=now)
    found, reused = quick_evaluation(copied).listeners()
    assert found.empty
    assert not reused
    assert "listeners" not in quick_evaluation(copied).leaderboard()["notes"]


def test_without_a_split_by_work_it_is_said(copied):
    (copied.splits / "work.json").unlink()
    with pytest.raises(TooLittleError, match="no split by work"):
        quick_evaluation(copied).retrieval()
