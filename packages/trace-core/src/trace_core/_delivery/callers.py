"""Callers that wait for the writer thread, a moment, so that what has returned is on disk."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Sequence, Sized
from typing import Final, NamedTuple

from trace_core._clock import monotonic
from trace_core._failures import failure
from trace_core._log import report
from trace_core._tracing.span import OpenSpan

_PATIENCE_IF_KEPT: Final = 0.04
"""Seconds for which a caller waits for the writer to get on. Where eight threads compute, it gets
the interpreter every 10 to 30 ms; alone, a span takes it one, and one of a megabyte a hundred."""
_LONGEST_IF_KEPT: Final = 0.25
"""Seconds for which a caller waits at most, while the writer gets on with the spans of others. That
costs a program that computes nothing: the writer computes in its place, which it must do anyway."""
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
_GETS_ON: Final = 0.05
"""Share of the time for which a writer computes that gets on. A slow disk leaves it less."""
_SOON: Final = 0.008
"""Seconds of a wait that nobody minds, whatever the writer does."""
_NEVER_BEHIND: Final = 1 << 62
_LATE_NS: Final = 8_000_000
"""A writer that comes later than this after a call is late: several threads compute, each of which
may get the interpreter in its place. Where one computes, it leaves the interpreter after 5 ms."""
_AFTER_LATE: Final = 32
"""So many spans are each waited for once the writer came late, and so many of a process's first,
while nobody knows whether it comes in time."""


class Progress:
    """Tells on any thread how far the writer's has come.

    Attributes:
        thread: The writer's.
        turns: How often it has written what was there.
    """

    def __init__(self) -> None:
        self.thread: int | None = None
        self.turns = 0
        self._clock: int | None = None

    def begin(self) -> None:
        """Tell of the current thread from now on."""
        self.thread = threading.get_ident()
        # As Linux numbers the processor clocks of threads. `time.pthread_getcpuclockid` would read
        # anywhere if gevent says what the thread is.
        self._clock = ~threading.get_native_id() << 3 | 6

    @property
    def made(self) -> float:
        """Seconds for which it has computed, or its turns where no clock tells that."""
        if sys.platform != "linux" or self._clock is None:
            return self.turns
        try:
            return time.clock_gettime(self._clock)
        except OSError:  # it has ended
            return 0


class _Caller(NamedTuple):
    """One that waits.

    Args:
        ticket: How many spans the writer has to write, from the first one on.
        written: Released then.
    """

    ticket: int
    written: threading.Lock


class Callers:
    """The callers that wait until the writer has written what is queued.

    Args:
        waiting: One for each span that waits for the writer.
        kept: Whether a span that has been written survives the process.
    """

    def __init__(self, waiting: Sized, *, kept: bool) -> None:
        self.writer = Progress()
        """Of the writer, which does not wait for itself."""
        self.behind = 0 if kept else _NEVER_BEHIND
        """With so many spans queued, one more has to wait."""
        self._kept = kept
        self._waited_for = _AFTER_LATE  # so many spans, each of them
        self._spans = waiting
        self._begun = 0  # spans that the writer has ever begun to write
        self._writing = False
        self._waiting: dict[int, _Caller] = {}  # by thread
        self._patience = _PATIENCE_IF_KEPT if kept else _PATIENCE
        self._longest = _LONGEST_IF_KEPT if kept else _PATIENCE
        self._pause = self._first_pause = self._patience / 8
        self._waits_again_at = 0.0

    def await_writer(self) -> None:
        """Wait until what is queued now has been written, for a moment at most.

        Whoever computes leaves the interpreter to the writer every 5 ms at best, and an event loop
        gets it back before another thread wakes up. What is queued then would wait for 100 ms and
        more, and be lost if the process is killed. A writer that is held up costs little: each
        wait in vain doubles the time until the next.
        """
        begin, me = monotonic(), threading.get_ident()
        if begin < self._waits_again_at or me == self.writer.thread or me in self._waiting:
            return  # a signal handler does not wait in a thread that waits
        written = threading.Lock()
        written.acquire()
        caller = _Caller(len(self._spans) + self._begun, written)  # in this order never too low
        self._waiting[me] = caller  # before looking: the writer does so the other way round
        try:
            if self._writing or self._spans:
                made = self.writer.made
                in_time = self._has_its_turn(caller, made, begin + self._longest)
                self._learn(begin, made, in_time=in_time)
        finally:
            self._waiting.pop(me, None)

    def _has_its_turn(self, caller: _Caller, made: float, deadline: float) -> bool:
        """Wait for as long as the writer gets on with the spans of others."""
        while monotonic() < deadline:
            if caller.written.acquire(timeout=self._patience):
                return True
            if not self._gets_on(made, self._patience):
                return False
            if caller.ticket <= self._begun:
                return True
            made = self.writer.made
        return False

    def _gets_on(self, made: float, seconds: float) -> bool:
        """Say whether the writer has computed for its share of some seconds."""
        return self.writer.made > made + _GETS_ON * seconds

    def _learn(self, begin: float, made: float, *, in_time: bool) -> None:
        """Wait again sooner or later, after a wait that began then."""
        now = monotonic()
        took = now - begin
        if in_time and (took < _SOON or self._gets_on(made, took)):
            self._pause = self._first_pause
        elif self._waits_again_at <= begin:  # it is the first of those who waited side by side
            slow = self._gets_on(made, took)
            longest = _LONGEST_PAUSE_IF_SLOW if slow else _LONGEST_PAUSE
            self._pause = min(2 * self._pause, longest)
            self._waits_again_at = now + self._pause

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

    def begin(self, spans: int) -> None:
        """Note that the writer begins to write so many spans; they still wait for it."""
        self._writing = True
        self._begun += spans

    def wake(self) -> None:
        """Wake those whose spans have been written."""
        self._writing = False
        self.writer.turns += 1
        for thread, caller in list(self._waiting.items()):
            served = caller.ticket <= self._begun or not self._spans
            if served and self._waiting.pop(thread, None) is not None:
                caller.written.release()


def _came_late_to(span: object) -> bool:
    try:
        return isinstance(span, OpenSpan) and span.since_end_ns > _LATE_NS
    except failure() as error:
        report("reading the clock", error)
        return False
