"""Splits keep works, performers and recordings on one side, and detect changed files."""

import json

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mess_core.errors import DatasetError, StoreError
from mess_core.evaluation.leaks import split_leaks
from mess_core.evaluation.splits import load_split, make_split, save_split
from mess_core.paths import locate


def table(works, performers, audio=None):
    count = len(works)
    return pd.DataFrame(
        {
            "track_id": [f"t{one}" for one in range(count)],
            "work_id": works,
            "composer": "Nobody",
            "title": works,
            "performer": performers,
            "audio_sha256": audio or [f"{one:064x}" for one in range(count)],
        }
    )


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 4), st.integers(0, 30)), min_size=8),
    st.sampled_from(["work", "performer", "both", "recording"]),
    st.integers(0, 3),
)
def test_sides_never_share_what_the_split_keeps_apart(rows, by, seed):
    works, performers, audio = (list(part) for part in zip(*rows, strict=True))
    tracks = table(
        [f"w{one}" for one in works],
        [f"p{one}" for one in performers],
        [f"{one:064x}" for one in audio],
    )
    try:
        split = make_split(tracks, by, folds=3, seed=seed)
    except DatasetError:
        return  # too few groups
    known = tracks.set_index("track_id")
    columns = {"work": ["work_id"], "performer": ["performer"], "recording": []}
    for fold in split.folds:
        assert fold.test
        for column in [*columns.get(by, ["work_id", "performer"]), "audio_sha256"]:
            if by == "both" and column == "audio_sha256":
                continue  # works that share a recording are grouped
            shared = set(known.loc[list(fold.train), column]) & set(
                known.loc[list(fold.test), column]
            )
            assert not shared, (by, column)
    tested = [track for fold in split.folds for track in fold.test]
    assert sorted(tested) == sorted(set(tracks["track_id"]) - set(split.left_out))


def test_a_frozen_split_is_read_back_and_a_changed_one_raises(tmp_path):
    split = make_split(table(list("aabbcc"), list("xyxyxy")), folds=3, seed=1)
    path = locate(tmp_path / "work.json")
    save_split(split, path)
    assert load_split(path) == split
    record = json.loads(path.read_text())
    record["folds"][0]["train"].append(record["folds"][0]["test"][0])
    path.write_text(json.dumps(record))
    with pytest.raises(StoreError, match="changed after it was frozen"):
        load_split(path)


def test_the_same_table_and_seed_make_the_same_split():
    tracks = table(list("aabbccdd"), list("xyxyxyxy"))
    assert make_split(tracks, seed=3).sha256 == make_split(tracks, seed=3).sha256
    assert make_split(tracks, seed=3).sha256 != make_split(tracks, seed=4).sha256


def test_unknown_performers_are_left_out_with_the_reason():
    tracks = table(list("aabbcc"), ["x", "y", None, "z", "x", None])
    split = make_split(tracks, "performer", folds=3)
    assert split.left_out == {"t2": "performer unknown", "t5": "performer unknown"}
    with pytest.raises(DatasetError, match="at least two groups"):
        make_split(table(list("ab"), [None, None]), "performer")
    with pytest.raises(DatasetError, match="cannot split by 'year'"):
        make_split(tracks, "year")


def test_works_with_one_title_stay_together_whatever_their_ids():
    tracks = pd.DataFrame(
        {
            "track_id": list("abcdef"),
            "work_id": ["mine:1", "mine:2", "x:op1", "x:op2", "x:op3", "x:op4"],
            "composer": ["Bach", "Bach", "X", "X", "X", "X"],
            "title": ["Prelude in C", "Prelude in C", "Op. 1", "Op. 2", "Op. 3", "Op. 4"],
            "performer": list("uvwxyz"),
            "audio_sha256": list("012345"),
        }
    )
    split = make_split(tracks, "work", folds=5)
    assert split_leaks(tracks, split) == []
    fold = split.fold_of()
    assert fold["a"] == fold["b"]
