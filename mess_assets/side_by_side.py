"""Run per-track stages beside each other: one on a GPU, the other on the cores of the CPU."""

import threading
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

import dagster as dg

__all__ = ["end_if_asked", "side_by_side"]

_stop = threading.Event()


def side_by_side(first: Callable[[], None], *others: Callable[[], None]) -> None:
    """Call functions at the same time, the first in this thread, and return when all have ended.

    Parameters
    ----------
    first : callable
    *others : callable
        Each in a thread of its own. If this thread is interrupted, also while it only waits for
        them, or if one function raises an exception, runs in threads end after the track that
        they work on.

    Raises
    ------
    BaseException
        What the first raised, or an interrupt, or else what one of the others raised.
    """
    _stop.clear()
    pool = ThreadPoolExecutor(max(1, len(others)))
    running = [pool.submit(one) for one in others]
    try:
        first()
        wait(running, return_when=FIRST_EXCEPTION)
    finally:
        _stop.set()  # no effect on those that have ended
        pool.shutdown()
        _stop.clear()
    for one in running:
        one.result()


def end_if_asked() -> None:
    """End a run in a thread if the one that started it has been interrupted.

    Raises
    ------
    DagsterExecutionInterruptedError
        As Dagster raises it for a signal, which only the main thread receives.
    """
    if _stop.is_set() and threading.current_thread() is not threading.main_thread():
        raise dg.DagsterExecutionInterruptedError
