"""Atomic writes: a reader sees the old file, the new one or none."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from upath import UPath

from mess_core.errors import StoreError
from mess_core.store.arrays import read_array, remove_stale_parts, write_array, write_bytes
from mess_core.store.tables import read_json, read_table, write_json


def test_round_trip_is_memory_mapped(tmp_path):
    path = UPath(tmp_path / "deep" / "a.npy")
    array = np.arange(12, dtype=np.float16).reshape(3, 4)
    write_array(path, array)
    back = read_array(path)
    assert isinstance(back, np.memmap)
    np.testing.assert_array_equal(back, array)
    assert [file.name for file in path.parent.iterdir()] == ["a.npy"]


def test_object_store_round_trip():
    path = UPath("memory://mess-test/a.npy")
    write_array(path, np.ones(3))
    np.testing.assert_array_equal(read_array(path), np.ones(3))


def test_full_disk_leaves_the_old_file_and_no_part(tmp_path, monkeypatch):
    path = UPath(tmp_path / "a.bin")
    write_bytes(path, b"old")

    def full(_descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space left") as raised:
        write_bytes(path, b"new")
    assert str(path) in str(raised.value)
    assert path.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_pickled_arrays_are_refused(tmp_path):
    path = tmp_path / "evil.npy"
    np.save(path, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(StoreError, match="not a readable array"):
        read_array(UPath(path))


def test_missing_and_damaged_files_raise_errors(tmp_path):
    for read, name in ((read_array, "a.npy"), (read_table, "a.parquet"), (read_json, "a.json")):
        with pytest.raises(StoreError, match="does not exist"):
            read(UPath(tmp_path / name))
        (tmp_path / name).write_bytes(b"damaged")
        with pytest.raises(StoreError, match=r"is not"):
            read(UPath(tmp_path / name))


def test_nan_becomes_null(tmp_path):
    path = UPath(tmp_path / "a.json")
    write_json(path, {"x": float("nan"), "y": [np.float32(1.5), np.int64(2)]})
    assert read_json(path) == {"x": None, "y": [1.5, 2]}


def test_killed_writer_never_leaves_a_partial_file(tmp_path):
    """Kill a writer that rewrites one file repeatedly, at random moments."""
    script = (
        "import sys, numpy as np; from upath import UPath;"
        "from mess_core.store.arrays import write_array\n"
        "i = 0\n"
        "while True:\n"
        "    write_array(UPath(sys.argv[1]), np.full(400_000, i % 7)); i += 1\n"
        "    print(i, flush=True)\n"
    )
    path = tmp_path / "a.npy"
    rng = np.random.default_rng(0)
    for _ in range(4):
        writer = subprocess.Popen(
            [sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, cwd=Path.cwd()
        )
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(float(rng.uniform(0, 0.05)))
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        array = read_array(UPath(path))
        assert array.shape == (400_000,)
        assert len(np.unique(array)) == 1
    remove_stale_parts(UPath(tmp_path), older_than_s=-1)
    assert [file.name for file in tmp_path.iterdir()] == ["a.npy"]


def test_data_root_that_is_a_file_raises_an_error(tmp_path):
    (tmp_path / "data").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        write_bytes(UPath(tmp_path / "data" / "metadata" / "tracks.parquet"), b"x")
