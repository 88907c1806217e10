"""Commands that write to one data root take turns, and the second says for whom it waits."""

import multiprocessing
import time

import pytest

from mess_core.errors import StoreError
from mess_core.store.layout import Layout
from mess_core.store.lock import writing


def _hold(root, begun, seconds):
    with writing(Layout(root)):
        begun.set()
        time.sleep(seconds)


@pytest.mark.parametrize("killed", [False, True])
def test_the_second_command_waits_for_the_first_and_names_it(tmp_path, killed):
    context = multiprocessing.get_context("spawn")
    begun = context.Event()
    other = context.Process(target=_hold, args=(str(tmp_path), begun, 60 if killed else 1))
    other.start()
    begun.wait(30)
    said = []

    def say(line):
        said.append(line)
        if killed:
            other.kill()

    with writing(Layout(tmp_path), say):
        other.join(10)
        assert not other.is_alive()
    assert len(said) == 1
    assert f"process {other.pid}" in said[0]


def test_nothing_is_said_when_alone_and_nothing_is_left(tmp_path):
    for _ in range(2):
        with writing(Layout(tmp_path), pytest.fail):
            pass
    assert not list(tmp_path.glob("*.json"))


def test_a_folder_is_the_same_however_it_is_written(tmp_path):
    with writing(Layout(f"file://{tmp_path}")):
        assert (tmp_path / ".writing.lock").exists()


def test_the_signature_of_a_killed_command_is_no_obstacle(tmp_path):
    (tmp_path / ".writing.json").mkdir()  # cannot be written to, as another user's file
    with writing(Layout(tmp_path), pytest.fail):
        pass


def test_an_object_store_is_not_locked():
    with writing(Layout("memory://a-root")), writing(Layout("memory://a-root"), pytest.fail):
        pass


def test_a_root_that_cannot_be_written_is_named_before_the_work(tmp_path, monkeypatch):
    def refused(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("mess_core.store.lock.FileLock.acquire", refused)  # root may write anywhere
    with pytest.raises(StoreError, match="Permission denied") as raised, writing(Layout(tmp_path)):
        pytest.fail("the work has begun")
    assert str(tmp_path) in str(raised.value)


def test_a_root_that_is_a_file_is_named_before_the_work(tmp_path):
    (tmp_path / "root").touch()
    with pytest.raises(StoreError, match="cannot be written"), writing(Layout(tmp_path / "root")):
        pass
