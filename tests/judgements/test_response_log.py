"""Listening plans are reproducible and balanced; responses are stored exactly once."""

import json
import os
import threading

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from mess_core.cli.judgements import judgements
from mess_core.errors import JudgementError, StoreError
from mess_core.judgements.plan import (
    TRIPLET_COLUMNS,
    check_listener,
    listening_plan,
    parse_triplets,
)
from mess_core.judgements.response_log import (
    append_response,
    export_judgements,
    read_judgements,
    read_triplets,
    responses_by_position,
)
from mess_core.judgements.responses import Response
from mess_core.store import Layout, read_table, write_table

LISTENER = "abcdefgh0123"


def triplets_table(count, checks=0):
    rows = []
    for number in range(count + checks):
        clips = {
            f"{side}_{name}": value
            for offset, side in enumerate("xab")
            for name, value in (
                ("track", f"t{number + offset}"),
                ("start_s", 1.5 * number),
                ("end_s", 1.5 * number + 10),
            )
        }
        kind = ("same_passage", "across_works", "disagreement")[number % 3]
        rows.append({"triplet_id": f"n{number:03d}", "kind": kind, **clips, "expected": ""})
        if number >= count:
            own = {f"b_{name}": clips[f"x_{name}"] for name in ("track", "start_s", "end_s")}
            rows[-1] |= {"kind": "attention", "expected": "b", **own}
    return pd.DataFrame(rows)


def response(step, shown="left", seconds=3.5):
    return Response(step.position, step.ticket, shown, seconds, (1, 2, 3), (9.0, 8.0, 7.0))


@pytest.fixture
def layout(tmp_path):
    found = Layout(tmp_path, "untrained-tiny")
    write_table(found.human_triplets, triplets_table(30))
    return found


@pytest.mark.parametrize("count", [1, 4, 12, 20, 100, 300])
def test_plans_contain_all_triplets_with_repeats_and_spread_checks(count):
    for listener in (LISTENER, "zzzzzzzzzzzz", "000000000000"):
        plan = listening_plan(listener, parse_triplets(triplets_table(count)))
        assert [step.position for step in plan] == list(range(len(plan)))
        first = {step.triplet.triplet_id: step for step in plan if not step.repeat}
        sampled = [one for one in first.values() if not one.triplet.attention]
        assert {one.triplet.triplet_id for one in sampled} == {
            f"n{row:03d}" for row in range(count)
        }
        repeats = [step for step in plan if step.repeat]
        assert len(repeats) == round(count / 10)
        for step in repeats:
            before = first[step.triplet.triplet_id]
            assert step.swapped != before.swapped
            assert step.position - before.position >= (10 if count >= 20 else 1)
        checks = [step.position for step in plan if step.triplet.attention]
        assert abs(len(checks) - len(plan) / 15) < 1
        if len(checks) > 2:
            assert np.diff(checks).min() >= 7
            assert np.diff([0, *checks, len(plan)]).max() <= 24
        assert len({step.ticket for step in plan}) == len(plan)


def test_plans_depend_only_on_the_listener_and_the_triplets():
    table = triplets_table(100)
    plan = listening_plan(LISTENER, parse_triplets(table))
    shuffled = table.sample(frac=1, random_state=3).assign(more=1)
    assert listening_plan(LISTENER, parse_triplets(shuffled)) == plan
    other = listening_plan("abcdefgh0124", parse_triplets(table))
    order = [[step.triplet.triplet_id for step in one] for one in (plan, other)]
    assert order[0] != order[1]
    table.loc[5, "a_end_s"] += 1
    changed = listening_plan(LISTENER, parse_triplets(table))
    assert not {step.ticket for step in plan} & {step.ticket for step in changed}


def test_sides_and_positions_are_balanced_over_listeners():
    triplets = parse_triplets(triplets_table(20))
    plans = [listening_plan(f"{number:012d}", triplets) for number in range(200)]
    swapped = np.mean([step.swapped for plan in plans for step in plan])
    assert swapped == pytest.approx(0.5, abs=0.03)
    positions = [
        step.position for plan in plans for step in plan if step.triplet.triplet_id == "n000"
    ]
    assert np.mean(positions) == pytest.approx(11, abs=1.5)


def test_attention_checks_of_the_table_are_used():
    plan = listening_plan(LISTENER, parse_triplets(triplets_table(28, checks=2)))
    checks = [step for step in plan if step.triplet.attention]
    assert {step.triplet.triplet_id for step in checks} == {"n028", "n029"}
    for step in checks:
        assert step.shown("right" if not step.swapped else "left") == step.shown("x")
    generated = [
        step
        for step in listening_plan(LISTENER, parse_triplets(triplets_table(28)))
        if step.triplet.attention
    ]
    for step in generated:
        assert step.triplet.expected == "a"
        assert step.triplet.a == step.triplet.x != step.triplet.b


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.drop(columns=["kind", "b_end_s"]), "lacks the columns kind, b_end_s"),
        (lambda table: table.head(0), "holds no triplets"),
        (lambda table: pd.concat([table, table.head(1)]), "two triplets 'n000'"),
        (lambda table: table.assign(kind="other"), "is not one of"),
        (lambda table: table.assign(x_end_s=0.0), "x runs from"),
        (lambda table: table.assign(a_start_s=np.nan), "a runs from"),
        (lambda table: table.assign(b_track=None), "b has no track"),
        (lambda table: table.assign(expected="a"), "attention"),
        (lambda table: table.assign(kind="attention"), "attention"),
        (lambda table: table.assign(kind="attention", expected="left"), "not 'a' or 'b'"),
    ],
)
def test_invalid_triplet_tables_are_refused(layout, change, message):
    write_table(layout.human_triplets, change(triplets_table(3)))
    with pytest.raises(StoreError, match=message) as caught:
        read_triplets(layout)
    assert "human_triplets.parquet" in str(caught.value)
    assert "Materialise" in str(caught.value)


def test_missing_expected_answers_are_read_as_empty(layout):
    for missing in (None, np.nan, ""):
        write_table(layout.human_triplets, triplets_table(3).assign(expected=missing))
        assert {one.expected for one in read_triplets(layout).rows} == {""}
    assert list(triplets_table(1).columns) == list(TRIPLET_COLUMNS)


@pytest.mark.parametrize(
    "listener",
    ["", "abc", "ABCDEFGH0123", "../../etc/pa", "abcdefgh012\n", "abcdefgh0123\n", None, 7],
)
def test_invalid_listener_ids_are_refused(layout, listener):
    with pytest.raises(JudgementError, match="not the id of a listener"):
        check_listener(listener)
    with pytest.raises(JudgementError):
        responses_by_position(layout, listener, read_triplets(layout))


def test_stored_answers_refer_to_the_sides_of_the_table(layout):
    triplets = read_triplets(layout)
    plan = listening_plan(LISTENER, triplets)
    for step in plan:
        assert append_response(layout, LISTENER, triplets, response(step))
    table = export_judgements(layout)
    pd.testing.assert_frame_equal(read_table(layout.judgements_table), table, check_like=True)
    assert len(table) == len(plan)
    assert (table["answer"] == np.where(table["swapped"], "b", "a")).all()
    assert (table["plays_a"] == np.where(table["swapped"], 3, 2)).all()
    assert (table["plays_x"] == 1).all()
    assert (table["listened_b"] == np.where(table["swapped"], 8.0, 7.0)).all()
    assert table["repeat"].sum() == 3
    assert table["attention"].sum() == 2
    assert set(table["triplets"]) == {triplets.digest}
    assert pd.to_datetime(table["at"]).dt.tz is not None
    assert len(responses_by_position(layout, LISTENER, triplets)) == len(plan)


def test_a_response_is_stored_once_and_not_changed(layout):
    triplets = read_triplets(layout)
    step = listening_plan(LISTENER, triplets)[4]
    assert append_response(layout, LISTENER, triplets, response(step))
    assert not append_response(layout, LISTENER, triplets, response(step, seconds=9))
    with pytest.raises(JudgementError, match="question 5 already has a different answer"):
        append_response(layout, LISTENER, triplets, response(step, "right"))
    assert len(read_judgements(layout)) == 1


def test_responses_outside_the_plan_are_refused(layout):
    triplets = read_triplets(layout)
    plan = listening_plan(LISTENER, triplets)
    for position, ticket in ((-1, plan[-1].ticket), (len(plan), plan[0].ticket), (0, "x")):
        with pytest.raises(JudgementError):
            append_response(
                layout,
                LISTENER,
                triplets,
                Response(position, ticket, "left", 1.0, (1, 1, 1), (9.0, 9.0, 9.0)),
            )
    write_table(layout.human_triplets, triplets_table(31))
    with pytest.raises(JudgementError, match="reload"):
        append_response(layout, LISTENER, read_triplets(layout), response(plan[0]))
    assert not layout.judgements.exists()


@pytest.mark.parametrize("end", [0, 1, 40, -2, -1])
def test_an_incomplete_last_line_is_skipped(layout, end):
    triplets = read_triplets(layout)
    plan = listening_plan(LISTENER, triplets)
    for step in plan[:3]:
        append_response(layout, LISTENER, triplets, response(step))
    path = layout.judgements / f"{LISTENER}.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2]) + lines[2][:end])
    # A line that lacks only its line feed is complete.
    stored = {0, 1, 2} if end == -1 else {0, 1}
    assert set(responses_by_position(layout, LISTENER, triplets)) == stored
    for step in plan[2:6]:
        append_response(layout, LISTENER, triplets, response(step))
    assert set(responses_by_position(layout, LISTENER, triplets)) == set(range(6))
    assert read_judgements(layout).attrs["bad_lines"] == (end not in (0, -1))
    assert path.read_bytes().endswith(b"\n")


def test_a_full_disk_is_reported_and_leaves_the_file_usable(layout, monkeypatch):
    triplets = read_triplets(layout)
    plan = listening_plan(LISTENER, triplets)
    append_response(layout, LISTENER, triplets, response(plan[0]))
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda file, line: write(file, line[:30]))
        with pytest.raises(StoreError, match="the disk is full"):
            append_response(layout, LISTENER, triplets, response(plan[1]))
    assert set(responses_by_position(layout, LISTENER, triplets)) == {0}
    append_response(layout, LISTENER, triplets, response(plan[1], "right"))
    assert responses_by_position(layout, LISTENER, triplets)[1]["shown"] == "right"


def test_invalid_lines_are_counted(layout):
    triplets = read_triplets(layout)
    append_response(layout, LISTENER, triplets, response(listening_plan(LISTENER, triplets)[0]))
    path = layout.judgements / f"{LISTENER}.jsonl"
    valid = json.loads(path.read_text())
    invalid = [{**valid, "listener": "a"}, {**valid, "seconds": "3"}, {**valid, "schema": 1}, [], 3]
    out_of_range = {
        "position": 10**30, "plays_x": 10**30, "plays_a": 0, "seconds": float("nan"),
        "triplet_id": "\ud800", "shown": "up", "swapped": not valid["swapped"],
    }  # fmt: skip
    invalid += [{**valid, name: value} for name, value in out_of_range.items()]
    invalid.append({**valid, "position": -1})
    with path.open("ab") as file:
        file.write(b"\xff\xfe\n" + b"[" * 5000 + b"\n\n")
        file.write("".join(json.dumps(one) + "\n" for one in invalid).encode())
    table = read_judgements(layout)
    assert (len(table), table.attrs["bad_lines"]) == (1, 15)


def test_concurrent_writes_neither_lose_nor_mix_lines(layout):
    triplets = read_triplets(layout)
    listeners = [LISTENER, "zzzzzzzzzzzz"]
    plans = {listener: listening_plan(listener, triplets) for listener in listeners}

    def answer(listener, start):
        for step in plans[listener][start:] + plans[listener][:start]:
            append_response(layout, listener, triplets, response(step))

    threads = [
        threading.Thread(target=answer, args=(listener, start))
        for listener in listeners
        for start in (0, 9)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    table = read_judgements(layout)
    assert table.attrs["bad_lines"] == 0
    for listener in listeners:
        own = table[table["listener"] == listener]
        assert sorted(own["position"]) == list(range(len(plans[listener])))
        assert len((layout.judgements / f"{listener}.jsonl").read_bytes().splitlines()) == len(own)


def test_object_stores_are_refused():
    with pytest.raises(StoreError, match="needs a local data root"):
        read_judgements(Layout("memory://library"))


def test_the_command_exports_the_answers_and_reports_agreement(layout):
    empty = CliRunner().invoke(judgements, ["--data", str(layout.root)])
    assert isinstance(empty.exception, StoreError)
    assert "no judgements yet" in str(empty.exception)
    triplets = read_triplets(layout)
    for listener in (LISTENER, "zzzzzzzzzzzz"):
        for step in listening_plan(listener, triplets):
            side = "a" if step.triplet.attention or step.triplet.triplet_id < "n015" else "b"
            shown = "left" if step.side("left") == side else "right"
            append_response(layout, listener, triplets, response(step, shown))
    result = CliRunner().invoke(judgements, ["--data", str(layout.root), "--json"])
    found = json.loads(result.stdout)
    alpha = found["all"]["alpha"]
    assert alpha["value"] == pytest.approx(1.0)
    assert (alpha["listeners"], alpha["triplets"], alpha["answers"]) == (2, 30, 60)
    assert alpha["low"] is None  # two listeners are too few for an interval
    assert found["all"]["split_half"]["value"] == 1.0
    assert found["consistency"]["n"] == 6
    assert [one["attentive"] for one in found["listeners"]] == [1.0, 1.0]
    printed = CliRunner().invoke(judgements, ["--data", str(layout.root)])
    summary = "(2 listeners, 30 triplets with two or more answers):\n  Krippendorff's alpha 1.000"
    assert summary in printed.output
    write_table(layout.human_triplets, triplets_table(31))
    again = CliRunner().invoke(judgements, ["--data", str(layout.root)])
    assert again.exit_code == 0, again.exception
    assert "70 answers to earlier triplets are left out" in again.output
