"""Track ids as file names: reversible, and nothing escapes its folder."""

import re
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mess_core.errors import StoreError
from mess_core.store.layout import Layout, escape_track_id, unescape_track_id


@given(st.text(min_size=1, max_size=60).filter(lambda text: text.isprintable()))
def test_escape_is_reversible_and_safe(track_id):
    try:
        key = escape_track_id(track_id)
    except StoreError:
        return  # too long once escaped
    assert unescape_track_id(key) == track_id
    assert re.fullmatch(r"[A-Za-z0-9_%][A-Za-z0-9_.%-]*", key)
    assert ".." not in key
    assert PurePosixPath("root", key).parent == PurePosixPath("root")


@given(st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20))
def test_different_ids_have_different_keys(a, b):
    try:
        keys = escape_track_id(a), escape_track_id(b)
    except StoreError:
        return
    assert (keys[0] == keys[1]) == (a == b)


@pytest.mark.parametrize(
    "track_id",
    ["MIDI-Unprocessed_R1_D2-13-20_mid--AUDIO-from_mp3_16_R1_2015_wav--4", "Chopin_Op028-04"],
)
def test_ids_of_known_data_sets_are_unchanged(track_id):
    assert escape_track_id(track_id) == track_id


@pytest.mark.parametrize("track_id", ["", "x" * 201, "\ud800"])
def test_unusable_ids_are_refused(track_id):
    with pytest.raises(StoreError):
        escape_track_id(track_id)


@pytest.mark.parametrize("key", ["", "..", "a/b", "%2e", "a...b", "%zz", "ä"])
def test_keys_that_were_not_escaped_are_refused(key):
    with pytest.raises(StoreError):
        unescape_track_id(key)


def test_every_path_stays_under_the_root(tmp_path):
    layout = Layout(tmp_path, "untrained-tiny")
    for path in (
        layout.embedding("segments", "../x", "../../etc/passwd"),
        layout.track_targets("d", "/etc/passwd"),
        layout.failure("embeddings", "..\\.."),
    ):
        assert tmp_path in path.parents
        assert ".." not in path.parts
