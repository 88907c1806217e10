"""Run per-track stages beside each other: one on a GPU, the other on the cores of the CPU."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import dagster as dg

__all__ = ["end_if_asked", "side_by_side"]

_stop = threading.Event()


def side_by_side(first: Callable[[], None], *others: Callable[[], None]) -> None:
    """Call functions at the same time, the first in this thread, and return when all have ended.

    Parameters
    ----------
    first : callable
    *others : callable
        Each in a thread of its own. If the first raises an exception, for instance because of
        an interrupt, runs in these end after the track that they work on.

    Raises
    ------
    BaseException
        What the first raised, or else one of the others.
    """
    _stop.clear()
    with ThreadPoolExecutor(max(1, len(others))) as pool:
        running = [pool.submit(one) for one in others]
        try:
            first()
        except BaseException:
            _stop.set()
            raise
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
