"""Failures are counted, retried a limited number of times, and shown with their remedies."""

import pandas as pd
import pytest

from mess_core.errors import AudioError, EncoderError
from mess_core.store import Layout
from mess_core.store.failures import (
    MAX_ATTEMPTS,
    clear_failure,
    failures_table,
    record_failure,
    settled_cause,
)
from mess_core.store.failures_page import write_failures


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path, "untrained-tiny")


CAUSE = {"audio": "ab", "encoder": "x"}


def _fail(layout, error, cause=CAUSE, track="a"):
    return record_failure(layout, "embeddings", "takes", track, error, cause=cause)


def test_transient_failures_are_retried_up_to_the_limit(layout):
    attempts = [_fail(layout, MemoryError()) for _ in range(MAX_ATTEMPTS)]
    assert [one["attempts"] for one in attempts] == [1, 2, 3]
    assert [settled_cause(one) for one in attempts] == [{}, {}, CAUSE]
    changed = _fail(layout, MemoryError(), {**CAUSE, "audio": "cd"})
    assert (changed["attempts"], settled_cause(changed)) == (1, {})


def test_permanent_failures_are_tried_once(layout):
    assert settled_cause(_fail(layout, AudioError("is silent", path="x.flac"))) == CAUSE


def test_success_resets_the_attempts(layout):
    _fail(layout, MemoryError())
    clear_failure(layout, "embeddings", "a")
    assert _fail(layout, MemoryError())["attempts"] == 1


def test_page_and_table_show_the_reasons_and_escape_html(layout):
    _fail(layout, AudioError("<script>alert(1)</script>", path="x.flac", remedy="Convert it"))
    _fail(layout, EncoderError("no room", transient=True), track="b")
    table = write_failures(layout)
    stored = pd.read_parquet(str(layout.failures / "failures.parquet"))
    pd.testing.assert_frame_equal(stored, table)
    assert stored["transient"].tolist() == [False, True]
    page = (layout.failures / "failures.html").read_text()
    assert "2 failed tracks" in page
    assert "Convert it" in page
    assert "<script>" not in page
    # The table is next to the records, and is not read as one of them.
    assert len(failures_table(layout)) == 2


def test_page_without_failures(layout):
    assert write_failures(layout).empty
    assert "No failed tracks" in (layout.failures / "failures.html").read_text()
