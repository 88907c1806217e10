"""No two processes reserve one GPU, and a dead process releases its GPU."""

import itertools
import multiprocessing
import os
import signal
import time

import pytest

from mess_core.encoders.devices import reserve_device


def _reserve(folder, log, devices):
    """Reserve a simulated GPU, and record which and when."""
    with reserve_device("auto", count=lambda: devices, folder=folder) as device:
        began = time.monotonic()
        time.sleep(0.15)
        log.put((device, began, time.monotonic()))


def _held(tmp_path, processes, devices):
    context = multiprocessing.get_context("fork")
    log = context.Queue()
    workers = [
        context.Process(target=_reserve, args=(tmp_path, log, devices)) for _ in range(processes)
    ]
    for worker in workers:
        worker.start()
    held = [log.get(timeout=30) for _ in workers]
    for worker in workers:
        worker.join(30)
    return held


@pytest.mark.parametrize("devices", [1, 2])
def test_no_gpu_is_reserved_twice_at_once(tmp_path, devices):
    held = _held(tmp_path, 4, devices)
    assert {device for device, _, _ in held} == {f"cuda:{index}" for index in range(devices)}
    for device in {device for device, _, _ in held}:
        times = sorted((began, ended) for one, began, ended in held if one == device)
        for (_, ended), (began, _) in itertools.pairwise(times):
            assert ended <= began


def test_killed_process_releases_its_gpu(tmp_path):
    context = multiprocessing.get_context("fork")
    entered = context.Event()

    def hold():
        with reserve_device("cuda:0", folder=tmp_path):
            entered.set()
            time.sleep(60)

    holder = context.Process(target=hold)
    holder.start()
    assert entered.wait(10)
    with (
        pytest.raises(TimeoutError, match="cuda:0"),
        reserve_device("cuda:0", folder=tmp_path, patience_s=0.1),
    ):
        pass
    os.kill(holder.pid, signal.SIGKILL)
    holder.join(10)
    with reserve_device("cuda:0", folder=tmp_path, patience_s=10) as device:
        assert device == "cuda:0"


def test_locks_are_named_by_physical_device(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    with reserve_device("auto", count=lambda: 1, folder=tmp_path):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
        with reserve_device("auto", count=lambda: 2, folder=tmp_path) as second:
            assert second == "cuda:0"
        with (
            pytest.raises(TimeoutError),
            reserve_device("cuda:1", folder=tmp_path, patience_s=0.1),
        ):
            pass


@pytest.mark.parametrize("device", ["cpu", "mps"])
def test_other_devices_are_not_reserved(tmp_path, device):
    with (
        reserve_device(device, folder=tmp_path) as first,
        reserve_device(device, folder=tmp_path) as second,
    ):
        assert (first, second) == (device, device)
    assert not list(tmp_path.iterdir())


def test_auto_without_a_gpu_stays_auto(tmp_path):
    with reserve_device("auto", count=lambda: 0, folder=tmp_path) as device:
        assert device == "auto"
