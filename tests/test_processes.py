"""Work in several processes: the same results, errors as they are, and no orphans."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from mess_core.environment import configured_workers
from mess_core.errors import AudioError, MessError
from mess_core.processes import in_processes


def square(number: int) -> int:
    if number == 13:
        raise AudioError("is unlucky", path="thirteen.wav", remedy="Take another")
    return number * number


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_results_are_in_order_whatever_the_number_of_processes(workers):
    assert list(in_processes(square, list(range(9)), workers=workers)) == [n * n for n in range(9)]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_mess_keeps_its_file_and_remedy(workers):
    with pytest.raises(AudioError, match="unlucky") as raised:
        list(in_processes(square, [1, 13], workers=workers))
    assert (raised.value.path, raised.value.remedy) == ("thirteen.wav", "Take another")


def test_one_item_needs_no_other_process():
    assert list(in_processes(lambda _: os.getpid(), [0], workers=4)) == [os.getpid()]


@pytest.mark.parametrize("text", ["0", "-1", "many", "1.5"])
def test_a_wrong_number_of_processes_is_one_clear_error(monkeypatch, text):
    monkeypatch.setenv("MESS_WORKERS", text)
    with pytest.raises(MessError, match="MESS_WORKERS"):
        configured_workers()


def test_no_process_outlives_the_one_that_started_it(tmp_path):
    script = tmp_path / "main.py"
    script.write_text(
        "import os, time\nfrom mess_core.processes import in_processes\n"
        "def slow(path):\n    open(path + str(os.getpid()), 'w').close()\n    time.sleep(600)\n"
        f"list(in_processes(slow, [{str(tmp_path)!r} + '/w'] * 4, workers=2))\n"
    )
    main = subprocess.Popen([sys.executable, str(script)])
    try:
        for _ in range(600):
            workers = [int(path.name[1:]) for path in tmp_path.glob("w*")]
            if len(workers) == 2:
                break
            time.sleep(0.1)
        assert len(workers) == 2
    finally:
        main.send_signal(signal.SIGKILL)
        main.wait(10)
    for _ in range(100):
        if not any(map(psutil.pid_exists, workers)):
            break
        time.sleep(0.1)
    assert not any(map(psutil.pid_exists, workers))
