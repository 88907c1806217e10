"""Failures are counted, given up in time, and shown with their remedies."""

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
    return Layout(tmp_path)


CAUSE = {"audio": "ab", "encoder": "x"}


def _fail(layout, error, cause=CAUSE, track="a"):
    return record_failure(layout, "embeddings", "takes", track, error, cause=cause)


def test_what_may_pass_is_tried_a_few_times_and_then_waits_for_a_change(layout):
    tries = [_fail(layout, MemoryError()) for _ in range(MAX_ATTEMPTS)]
    assert [one["attempts"] for one in tries] == [1, 2, 3]
    assert [settled_cause(one) for one in tries] == [{}, {}, CAUSE]
    changed = _fail(layout, MemoryError(), {**CAUSE, "audio": "cd"})
    assert (changed["attempts"], settled_cause(changed)) == (1, {})


def test_what_cannot_pass_is_tried_once(layout):
    assert settled_cause(_fail(layout, AudioError("is silent", path="x.flac"))) == CAUSE


def test_a_success_forgets_the_tries(layout):
    _fail(layout, MemoryError())
    clear_failure(layout, "embeddings", "a")
    assert _fail(layout, MemoryError())["attempts"] == 1


def test_page_and_table_tell_the_reasons_and_run_nothing(layout):
    _fail(layout, AudioError("<script>alert(1)</script>", path="x.flac", remedy="Convert it"))
    _fail(layout, EncoderError("no room", transient=True), track="b")
    table = write_failures(layout)
    stored = pd.read_parquet(str(layout.failures / "failures.parquet"))
    pd.testing.assert_frame_equal(stored, table)
    assert stored["transient"].tolist() == [False, True]
    page = (layout.failures / "failures.html").read_text()
    assert "2 tracks fail" in page
    assert "Convert it" in page
    assert "<script>" not in page
    # The table lies beside the records and is none of them.
    assert len(failures_table(layout)) == 2


def test_no_failure_is_a_page_too(layout):
    assert write_failures(layout).empty
    assert "No track fails" in (layout.failures / "failures.html").read_text()
