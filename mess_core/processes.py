"""Run per-track work in several processes, with one thread each and results in order."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from mess_core.environment import configured_workers

__all__ = ["in_processes"]

_POLL_S = 1.0

Item = TypeVar("Item")
Result = TypeVar("Result")
_watched: list[threading.Thread] = []


def in_processes(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    workers: int | None = None,
    prepare: Callable[[], Any] | None = None,
) -> Iterator[Result]:
    """Yield ``function(item)`` for each item, in order.

    Parameters
    ----------
    function : callable
        Of a module, so that another process can import it.
    items : sequence
    workers : int, optional
        Processes; default: ``MESS_WORKERS``, or the cores that this process may use. With one, or
        for one item, everything runs in this process. At most two items per process are under way;
        finished results wait until they are taken, so a result should be small.
    prepare : callable, optional
        Called in this process before others start, for instance to compile what they will load.

    Yields
    ------
    object
        The result does not depend on the number of processes.

    Notes
    -----
    A process ends within a second after the one that started it, however that ended.

    Examples
    --------
    >>> list(in_processes(abs, [-1, 2, -3], workers=1))
    [1, 2, 3]
    """
    count = min(workers or configured_workers(), len(items))
    if count <= 1:
        yield from map(function, items)
        return
    from joblib import Parallel, delayed, parallel_config

    if prepare is not None:
        prepare()
    with parallel_config(backend="loky", inner_max_num_threads=1):
        run = Parallel(n_jobs=count, return_as="generator", batch_size=1)
        yield from run(delayed(_with_parent)(os.getpid(), function, item) for item in items)


def _with_parent(parent: int, function: Callable[[Item], Result], item: Item) -> Result:
    """Call a function in a process that ends with its parent."""
    if not _watched and os.getpid() != parent:
        _watched.append(threading.Thread(target=_end_with, args=(parent,), daemon=True))
        _watched[0].start()
    return function(item)


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_POLL_S)
    os._exit(1)
