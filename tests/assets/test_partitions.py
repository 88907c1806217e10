"""Partition keys are safe for any file name; batches cover all requested keys."""

import sys
from pathlib import Path

import click
import dagster as dg
import pytest
from click.testing import CliRunner
from hypothesis import example, given
from hypothesis import strategies as st

from mess_assets.partitions import backfill_policy, batches, tracks_per_run
from mess_core.errors import StoreError
from mess_core.store import escape_track_id, unescape_track_id

ROOT = Path(__file__).resolve().parents[2]


@given(st.text(max_size=80))
@example("..")
@example("a...b")
@example("../../etc/passwd")
@example("C:\\x")
@example("key\nwith\x00controls")
@example("-rf")
@example("\u202egnp")
@example("~root")
def test_every_file_name_gives_a_safe_key(name):
    try:
        key = escape_track_id(name)
    except StoreError:
        return  # empty, too long or not Unicode: rejected with the name
    assert unescape_track_id(key) == name
    assert key.isascii()
    assert key.isprintable()
    assert not set(key) & set("/\\ ~:*?\"'<>|$&;`(){}[]#!")
    assert ".." not in key
    assert not key.startswith((".", "-"))
    assert 0 < len(key) <= 200


@given(st.text(max_size=60))
def test_invalid_keys_are_rejected(text):
    try:
        assert escape_track_id(unescape_track_id(text)) == text
    except StoreError:
        pass
    except UnicodeDecodeError:
        pytest.fail("a key that is not UTF-8 must be a StoreError")


@given(
    st.integers(1, 300).flatmap(
        lambda size: st.tuples(st.just(size), st.sets(st.integers(0, size - 1)))
    ),
    st.integers(1, 50),
)
def test_batches_are_ranges_that_cover_each_key_once(drawn, size):
    count, wanted = drawn
    order = [f"k{index:03d}" for index in range(count)]
    keys = [order[index] for index in wanted]
    spans = batches(keys, order, size)
    covered = [key for span in spans for key in span]
    assert set(keys) <= set(covered)
    assert len(covered) == len(set(covered))
    for span in spans:
        first = order.index(span[0])
        assert span == order[first : first + len(span)]
        assert len(set(span) & set(keys)) <= size


def test_tracks_per_run_is_configured(monkeypatch):
    monkeypatch.setenv("MESS_TRACKS_PER_RUN", "7")
    assert tracks_per_run() == 7
    assert backfill_policy() == dg.BackfillPolicy.multi_run(7)
    monkeypatch.setenv("MESS_TRACKS_PER_RUN", "all")
    with pytest.raises(ValueError, match="MESS_TRACKS_PER_RUN"):
        tracks_per_run()


def test_the_command_materialises_a_partition_and_a_range(built, tmp_path, monkeypatch):
    """The command as run in the project root; `test_definitions` tests how it finds the project."""
    from dagster._cli.asset import asset_materialize_command

    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setenv("MESS_DATA_ROOT", str(built.root))
    monkeypatch.setenv("DAGSTER_CLI_ASSET_MATERIALIZE_MODULE_NAME", "mess_assets.definitions")
    keys = list(built.instance.get_dynamic_partitions("tracks"))
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        instance.add_dynamic_partitions("tracks", keys)
        # Reload the modules, since the backfill policy depends on the command.
        for name in [name for name in sys.modules if name.startswith("mess_assets")]:
            monkeypatch.delitem(sys.modules, name)
        command = dagster_group(asset_materialize_command)
        for selected in (["--partition", keys[1]], ["--partition-range", f"{keys[3]}...{keys[5]}"]):
            done = CliRunner().invoke(
                command,
                ["asset", "materialize", "--select", "embeddings", *selected],
                auto_envvar_prefix="DAGSTER_CLI",
                prog_name="dagster",
            )
            assert done.exit_code == 0, done.output[-3000:]
        found = instance.get_materialized_partitions(dg.AssetKey("embeddings"))
    assert found == {keys[1], *keys[3:6]}


def dagster_group(command):
    """Return `dagster asset materialize` as a command group without the other commands."""
    asset = click.Group("asset", commands={"materialize": command})
    return click.Group("dagster", commands={"asset": asset})
