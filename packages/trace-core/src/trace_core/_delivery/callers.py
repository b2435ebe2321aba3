"""Callers that wait for the writer thread, a moment, so that what has returned is on disk."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

_PATIENCE_IF_KEPT: Final = 0.02
"""Seconds for which a caller waits for the writer at most. Where eight threads compute, the writer
gets the interpreter every 10 to 20 ms; alone, a span takes it less than one."""
_PATIENCE: Final = 0.001
"""The same for a sink that keeps nothing, whose write may take as long as a server likes."""
_LONGEST_PAUSE: Final = 1.0
"""Seconds between two such waits, if the writer is not done within them."""


class Callers:
    """The callers that wait until the writer has written what is queued.

    Args:
        queued: Returns how many spans are queued.
        kept: Whether a span that has been written survives the process.
    """

    def __init__(self, queued: Callable[[], int], *, kept: bool) -> None:
        self.writer: int | None = None
        """The writer's thread, which does not wait for itself."""
        self._queued = queued
        self._writing = False
        self._waiting: dict[int, threading.Lock] = {}  # by thread
        self._served: list[int] = []  # those who wait for what is being written
        self._patience = _PATIENCE_IF_KEPT if kept else _PATIENCE
        self._pause = self._first_pause = self._patience / 4
        self._waits_again_at = 0.0

    def await_writer(self) -> None:
        """Wait until what is queued has been written, for a moment at most.

        Whoever computes leaves the interpreter to the writer every 5 ms at best, and an event loop
        gets it back before another thread wakes up. What is queued then would wait for 100 ms and
        more, and be lost if the process is killed. A writer that is held up costs little: each
        wait in vain doubles the time until the next.
        """
        begin, me = time.monotonic(), threading.get_ident()
        if begin < self._waits_again_at or me == self.writer or me in self._waiting:
            return  # a signal handler does not wait in a thread that waits
        written = threading.Lock()
        written.acquire()
        self._waiting[me] = written  # before looking: the writer does so the other way round
        try:
            if self._writing or self._queued():
                self._learn(begin, in_time=written.acquire(timeout=self._patience))
        finally:
            self._waiting.pop(me, None)

    def _learn(self, begin: float, *, in_time: bool) -> None:
        """Wait again sooner or later, after a wait that began then."""
        if in_time:
            self._pause = self._first_pause
        elif self._waits_again_at <= begin:  # it is the first of those who waited side by side
            self._waits_again_at = time.monotonic() + self._pause
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)

    def begin(self) -> None:
        """Note that the writer has taken something to write."""
        self._writing, self._served = True, list(self._waiting)

    def wake(self) -> None:
        """Wake those who wait for what was taken, once it has been written."""
        served = self._served if self._queued() else list(self._waiting)
        self._writing, self._served = False, []
        for thread in served:
            if (written := self._waiting.pop(thread, None)) is not None:
                written.release()
