"""Between decoder and model: prefetched windows, batches, and a buffer of result rows."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

__all__ = ["Prefetcher", "RowBuffer", "Window", "batches"]

Window = tuple[int, NDArray[np.float32]]
"""Index of the first sample of a window, and its samples."""


class Prefetcher(Iterator[Window]):
    """An iterator that runs another one in a thread, at most `depth` items ahead.

    The thread starts at once. Errors of the iterator are raised to the consumer at the position
    where they occurred. Close or exhaust it: a thread that waits for space keeps its file open.
    """

    def __init__(self, windows: Iterator[Window], depth: int = 32) -> None:
        self._ready: queue.Queue[Window | BaseException | None] = queue.Queue(maxsize=depth)
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._work, args=(windows,), name="mess-decode", daemon=True
        )
        self._thread.start()

    def __next__(self) -> Window:
        got = None if self._stop.is_set() else self._ready.get()
        if got is None:
            self.close()
            raise StopIteration
        if isinstance(got, BaseException):
            self.close()
            raise got
        return got

    def close(self) -> None:
        """Stop the thread, and drop what it has decoded."""
        self._stop.set()
        self._thread.join()

    def _work(self, windows: Iterator[Window]) -> None:
        try:
            for window in windows:
                if not self._put(window):
                    return
            self._put(None)
        except BaseException as error:  # raised again in the consumer
            self._put(error)

    def _put(self, what: Window | BaseException | None) -> bool:
        while not self._stop.is_set():
            try:
                self._ready.put(what, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False


def batches(windows: Iterable[Window], size: Callable[[], int]) -> Iterator[list[Window]]:
    """Group windows into batches; `size` is called each time, since it may shrink."""
    batch: list[Window] = []
    for window in windows:
        batch.append(window)
        if len(batch) >= size():
            yield batch
            batch = []
    if batch:
        yield batch


class RowBuffer:
    """A buffer that collects rows in a few large blocks.

    A list of small arrays would be allocated in between the model's large temporary arrays and
    prevent the reuse of freed memory: a 45-minute track then took 600 MB more.
    """

    def __init__(self, rows_per_block: int = 512) -> None:
        self._size = rows_per_block
        self._blocks: list[NDArray[np.float32]] = []
        self._filled = rows_per_block

    def add(self, rows: NDArray[np.float32]) -> None:
        """Append rows."""
        for row in rows:
            if self._filled == self._size:
                self._blocks.append(np.empty((self._size, *row.shape), dtype=np.float32))
                self._filled = 0
            self._blocks[-1][self._filled] = row
            self._filled += 1

    def array(self) -> NDArray[np.float32]:
        """Return all rows as one array."""
        whole = [*self._blocks[:-1], self._blocks[-1][: self._filled]]
        return np.concatenate(whole)
