"""Callers that wait for the writer thread, a moment, so that what has returned is on disk."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from trace_core._failures import failure
from trace_core._log import report
from trace_core._tracing.span import OpenSpan

_PATIENCE_IF_KEPT: Final = 0.04
"""Seconds for which a caller waits for the writer at most. Where eight threads compute, the writer
gets the interpreter every 10 to 30 ms; alone, a span takes it one."""
_PATIENCE: Final = 0.001
"""The same for a sink that keeps nothing, whose write may take as long as a server likes."""
_LONGEST_PAUSE: Final = 1.0
"""Seconds between two such waits, if the writer stands still."""
_LONGEST_PAUSE_IF_SLOW: Final = 0.06
"""The same if it gets on, but is not done in time: other programs may leave it no processor."""
_BEHIND: Final = 2
"""With so many spans queued, a caller waits for a writer whose sink keeps what it is given. With
one a kill costs half as much, but a busy proxy answers 5% fewer requests: each write has its price.
"""
_NEVER_BEHIND: Final = 1 << 62
_LATE_NS: Final = 8_000_000
"""A writer that comes later than this after a call is late: several threads compute, each of which
may get the interpreter in its place. Where one computes, it leaves the interpreter after 5 ms."""
_AFTER_LATE: Final = 32
"""So many spans are each waited for once the writer came late, and so many of a process's first,
while nobody knows whether it comes in time."""


class Callers:
    """The callers that wait until the writer has written what is queued.

    Args:
        queued: Returns how many spans are queued.
        kept: Whether a span that has been written survives the process.
    """

    def __init__(self, queued: Callable[[], int], *, kept: bool) -> None:
        self.writer: int | None = None
        """The writer's thread, which does not wait for itself."""
        self.behind = 0 if kept else _NEVER_BEHIND
        """With so many spans queued, one more has to wait."""
        self._kept = kept
        self._waited_for = _AFTER_LATE  # so many spans, each of them
        self._queued = queued
        self._writing = False
        self._waiting: dict[int, threading.Lock] = {}  # by thread
        self._served: list[int] = []  # those who wait for what is being written
        self._patience = _PATIENCE_IF_KEPT if kept else _PATIENCE
        self._pause = self._first_pause = self._patience / 8
        self._turns = self._turns_seen = 0  # of the writer, now and at the last wait in vain
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
            longest = _LONGEST_PAUSE if self._turns == self._turns_seen else _LONGEST_PAUSE_IF_SLOW
            self._turns_seen = self._turns
            self._pause = min(2 * self._pause, longest)
            self._waits_again_at = time.monotonic() + self._pause

    def learn_delay(self, work: Sequence[object]) -> None:
        """Wait for each span of the next few if the writer came late to these.

        Args:
            work: Spans that have just been taken. Those that had ended before they were handed
                over say nothing.
        """
        if not self._kept or not work:
            return
        if _came_late_to(work[0]):
            self._waited_for = _AFTER_LATE
        else:
            self._waited_for = max(0, self._waited_for - len(work))
        self.behind = 0 if self._waited_for else _BEHIND

    def begin(self) -> None:
        """Note that the writer has taken something to write."""
        self._writing, self._served = True, list(self._waiting)

    def wake(self) -> None:
        """Wake those who wait for what was taken, once it has been written."""
        served = self._served if self._queued() else list(self._waiting)
        self._writing, self._served = False, []
        self._turns += 1
        for thread in served:
            if (written := self._waiting.pop(thread, None)) is not None:
                written.release()


def _came_late_to(span: object) -> bool:
    try:
        return isinstance(span, OpenSpan) and span.since_end_ns > _LATE_NS
    except failure() as error:
        report("reading the clock", error)
        return False
