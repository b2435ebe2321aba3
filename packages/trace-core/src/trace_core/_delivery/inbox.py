"""The queue between the caller's thread and the writer thread, and what goes through it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from queue import Empty, SimpleQueue
from typing import Final, TypeAlias

import attrs

from trace_core._delivery.callers import Callers
from trace_core._delivery.size import size_of_span
from trace_core._delivery.start_records import YoungSpans
from trace_core._delivery.stats import QUEUE_FULL, Ledger, LockFreeSum
from trace_core._log import counted, log_once, owner_key
from trace_core._model.span import Span
from trace_core._sinks.base import SinkBase, seconds_left
from trace_core._tracing.span import OpenSpan

_MEASURED: Final = 16
_OVERFLOW_REPORTED_EVERY: Final = 60.0

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

    def __init__(self, capacity: int, max_bytes: int, *, kept: bool) -> None:
        self.queue: SimpleQueue[Work | Message] = SimpleQueue()
        self.pending: deque[None] = deque()
        """One for each span, from before it is queued until it is counted in the ledger."""
        self.young = YoungSpans(capacity)
        self.overflowed = LockFreeSum()
        self.room = capacity
        """How many spans there is room for, as far as their size is known."""
        self.callers = Callers(self.pending, kept=kept)
        self._look_from(min(_MEASURED, capacity))
        self._capacity = capacity
        self._max_bytes = max_bytes
        self._count = self._total = 0  # spans measured and their bytes
        self._measured = False  # since `learn` forgot it
        self._overflow_reported = 0
        self.log_key = owner_key("queue")
        """Begins the keys of what is logged of the queue."""

    def put_if_room(self, work: Work) -> None:
        """Queue a span behind others and wait a moment for the writer, or count it as lost.

        Called if `limit` spans are queued; it measures one of many.
        """
        if self._has_room(work):
            self.pending.append(None)
            self.queue.put(work)
            self.callers.await_writer()
            return
        self.overflowed.add(1)
        if not isinstance(work, Span):
            work.forget()

    def _has_room(self, work: Work) -> bool:
        queued = self.queue.qsize()
        if queued < self._measured_from:
            return True
        return queued < self.room and queued < self._make_room(size_of_span(work), queued)

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
        self.limit = min(self.callers.behind, queued)
        """With so many queued, a caller has to look: see `put_if_room`."""

    def learn(self, work: Sequence[Work]) -> None:
        """Decide anew which callers have to look, after the writer has taken some spans.

        Args:
            work: The spans.
        """
        self.callers.learn_delay(work)
        queued, look_from = self.queue.qsize(), self._measured_from
        if queued >= _MEASURED:  # measure the next span
            look_from = min(look_from, queued)
        elif self._measured:  # few are queued: forget what was measured
            self._measured = False
            self.room = self._capacity
            look_from = min(_MEASURED, self._capacity)
        self._look_from(look_from)

    def send(self, message: Message) -> None:
        """Queue a message to the writer."""
        self.queue.put(message)

    def count_in(self, ledger: Ledger, spans: int) -> None:
        """Count spans that were taken in a ledger, and no longer here."""
        self.callers.begin(spans)
        ledger.accept(spans)
        for _ in range(spans):
            self.pending.popleft()

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
        try:
            while not isinstance(item, _MESSAGES):
                work.append(item)
                if len(work) == most or not queue.qsize():
                    return work, None
                item = queue.get(False)
        except Empty:  # at the end, somebody else takes from it as well
            return work, None
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
