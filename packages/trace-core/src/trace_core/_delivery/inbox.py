"""The queue between the caller's thread and the writer thread, and what goes through it."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from queue import Empty, SimpleQueue
from typing import Final, TypeAlias

import attrs

from trace_core._delivery.size import size_of_span
from trace_core._delivery.start_records import YoungSpans
from trace_core._delivery.stats import QUEUE_FULL, LockFreeSum
from trace_core._log import counted, log_once, owner_key
from trace_core._model.span import Span
from trace_core._sinks.base import SinkBase, seconds_left
from trace_core._tracing.span import OpenSpan

_MEASURED: Final = 16
_OVERFLOW_REPORTED_EVERY: Final = 60.0
_PATIENCE_IF_KEPT: Final = 0.02
"""Seconds for which a caller waits for the writer at most. Where eight threads compute, the writer
gets the interpreter every 10 to 20 ms; alone, a span takes it less than one."""
_PATIENCE: Final = 0.001
"""The same for a sink that keeps nothing, whose write may take as long as a server likes."""
_LONGEST_PAUSE: Final = 1.0
"""Seconds between two such waits, if the writer is not done within them."""

Work: TypeAlias = Span | OpenSpan


class Flush:
    """Asks the writer to flush the sink once it has written all that came before.

    Args:
        deadline: When to give up, on the monotonic clock.
    """

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self._done = threading.Event()
        self._success = False

    @property
    def left(self) -> float:
        """Seconds left."""
        return seconds_left(self.deadline)

    def finish(self, *, success: bool) -> None:
        """Wake whoever waits."""
        self._success = success
        self._done.set()

    def wait(self, more: float = 0.0) -> bool:
        """Wait until it is done, until the deadline and some more seconds.

        Returns:
            Whether it succeeded.
        """
        self._done.wait(self.left + more)
        return self._success


class Stop(Flush):
    """Asks the writer to close the sink and end."""


@attrs.frozen
class StartRecords:
    """Start records to write; without any, it only wakes the writer."""

    spans: Sequence[Span] = ()


WAKE: Final = StartRecords()


Message: TypeAlias = "Flush | StartRecords"
_MESSAGES: Final = (Flush, StartRecords)


class Inbox:
    """The queue between the caller's thread and the writer.

    Its limit in bytes is kept by measuring some of the spans, at most one in 16 and none while
    fewer are queued: the caller's thread has no time for more.

    Args:
        capacity: Spans it takes at most.
        max_bytes: Their size in memory at most, roughly.
        kept: Whether a span that has been written survives the process.
    """

    def __init__(self, capacity: int, max_bytes: int, *, kept: bool = False) -> None:
        self.queue: SimpleQueue[Work | Message] = SimpleQueue()
        self.young = YoungSpans(capacity)
        self.overflowed = LockFreeSum()
        self.room = capacity
        """How many spans there is room for, as far as their size is known."""
        self._alone = 1 if kept else _MEASURED
        self._look_from(min(_MEASURED, capacity))
        self._capacity = capacity
        self._max_bytes = max_bytes
        self._count = self._total = 0  # spans measured and their bytes
        self._measured = False  # since `measure_anew`
        self._writing = False
        self._served = 0  # of the callers that wait, those whose spans are being written
        self.writer: int | None = None
        """The writer's thread, which does not wait for itself."""
        self._waiting: deque[threading.Lock] = deque()  # one for each caller that waits
        self._patience = _PATIENCE_IF_KEPT if kept else _PATIENCE
        self._pause = self._first_pause = self._patience / 4
        self._waits_again_at = 0.0
        self._messages: deque[None] = deque()  # one for each message in the queue
        self._overflow_reported = 0
        self.log_key = owner_key("queue")
        """Begins the keys of what is logged of the queue."""

    def refuses(self, work: Work) -> bool:
        """Say whether there is no room for a span, which is lost then.

        Called if `limit` spans are queued; it measures one of many.
        """
        queued = self.queue.qsize()
        if queued < self._measured_from or (
            queued < self.room and queued < self._make_room(size_of_span(work), queued)
        ):
            return False
        self.overflowed.add(1)
        if not isinstance(work, Span):
            work.forget()
        return True

    def _make_room(self, size: int, queued: int) -> int:
        """Return how many spans there is room for, after one more was measured.

        Args:
            size: Of the span, in bytes.
            queued: How many are queued.
        """
        if queued <= _MEASURED:  # what was measured before is gone
            self._count = self._total = 0
        self._count += 1
        self._total += size
        self._measured = True
        room = max(1, min(self._capacity, self._max_bytes * self._count // self._total))
        self.room = room
        self._look_from(min(room, queued + max(_MEASURED, queued // 4)))
        return room

    def _look_from(self, queued: int) -> None:
        """Set with how many spans queued the next one is measured, or there is no room for it."""
        self._measured_from = queued
        self.limit = min(self._alone, queued)
        """With so many queued, a caller has to look: see `refuses` and `await_writer`."""

    def await_writer(self) -> None:
        """Wait until what is queued has been written, for a moment at most.

        Whoever computes leaves the interpreter to the writer every 5 ms at best, and an event loop
        gets it back before another thread wakes up. What is queued then would wait for 100 ms and
        more, and be lost if the process is killed. A writer that is held up costs little: each
        wait in vain doubles the time until the next.
        """
        begin = time.monotonic()
        if begin < self._waits_again_at or threading.get_ident() == self.writer:
            return
        written = threading.Lock()
        written.acquire()
        self._waiting.append(written)  # before looking: the writer does so the other way round
        if not self._writing and not self.queue.qsize():
            return
        if written.acquire(timeout=self._patience):
            self._pause = self._first_pause
        elif self._waits_again_at <= begin:  # one of those who have waited side by side
            self._waits_again_at = time.monotonic() + self._pause
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)

    def wake_callers(self) -> None:
        """Wake those who wait for what was taken, once it has been written."""
        served = self._served if self.queue.qsize() else len(self._waiting)
        self._writing, self._served = False, 0
        for _ in range(served):
            self._waiting.popleft().release()

    def measure_anew(self) -> None:
        """Measure the next span, or forget what was measured once few spans are queued."""
        queued = self.queue.qsize()
        if queued >= _MEASURED:
            self._look_from(min(self._measured_from, queued))
        elif self._measured:
            self._measured = False
            self.room = self._capacity
            self._look_from(min(_MEASURED, self._capacity))

    def send(self, message: Message) -> None:
        """Queue a message to the writer."""
        self._messages.append(None)
        self.queue.put(message)

    @property
    def spans(self) -> int:
        """How many spans are queued."""
        return max(0, self.queue.qsize() - len(self._messages))

    def take(self, most: int, timeout: float | None = 0) -> tuple[list[Work], Message | None]:
        """Take what is queued, up to a message or so many spans.

        Args:
            most: Spans at the most, at least 1.
            timeout: Seconds to wait for the first; ``None``: for ever.

        Returns:
            The spans, and the message behind them.

        Raises:
            Empty: There is nothing.
        """
        queue, work = self.queue, []
        item = queue.get(timeout != 0, timeout)
        self._writing, self._served = True, len(self._waiting)
        try:
            while not isinstance(item, _MESSAGES):
                work.append(item)
                if len(work) == most or not queue.qsize():
                    return work, None
                item = queue.get(False)
        except Empty:  # at the end, somebody else takes from it as well
            return work, None
        self._messages.popleft()
        return work, item

    def report_overflow(self, sink: SinkBase) -> None:
        """Log how many spans a full queue has cost, each minute while it costs more.

        Args:
            sink: Where they would have gone.
        """
        lost = self.overflowed.value
        if lost > self._overflow_reported and log_once(
            f"{self.log_key}:full",
            "tracing: %s of %s: %s dropped so far",
            *(QUEUE_FULL, sink.name, counted(lost, "span")),
            every=_OVERFLOW_REPORTED_EVERY,
        ):
            self._overflow_reported = lost
