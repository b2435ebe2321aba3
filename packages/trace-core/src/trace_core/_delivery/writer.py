"""The writer thread: takes spans out of a queue, writes them to a sink, repeats what failed.

All calls of the sink happen on this thread, one at a time, except for spans written after
`Background.close`.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Final, TypeAlias

import attrs

from trace_core._delivery.retry import BatchWriter, Outcome, Retry
from trace_core._delivery.start_records import YoungSpans
from trace_core._delivery.stats import (
    INVALID,
    LEFT_AT_EXIT,
    QUEUE_FULL,
    REJECTED,
    Ledger,
    LockFreeSum,
)
from trace_core._errors import Rejected, RetryLater
from trace_core._log import log_once, report, text_of
from trace_core._model.span import Span
from trace_core._sinks.base import SinkBase, seconds_left
from trace_core._sinks.wrapper import flush_guarded
from trace_core._tracing import freeze
from trace_core._tracing.context import suppress
from trace_core._tracing.span import OpenSpan

_CLOSING_RETRY_SECONDS: Final = 0.25
_SMALL_BATCH: Final = 16
_MEASURED: Final = 16
_MORE_AT_RETRY: Final = 10
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


Message: TypeAlias = "Flush | StartRecords"


class Inbox:
    """The queue between the caller's thread and the writer.

    Its limit in bytes is kept by measuring some of the spans, at most one in 16 and none while
    fewer are queued: the caller's thread has no time for more.

    Args:
        capacity: Spans it takes at most.
        max_bytes: Their size in memory at most, roughly.
    """

    def __init__(self, capacity: int, max_bytes: int) -> None:
        self.queue: SimpleQueue[Work | Message] = SimpleQueue()
        self.young = YoungSpans(capacity)
        self.overflowed = LockFreeSum()
        self.room = capacity
        """How many spans there is room for, as far as their size is known."""
        self.limit = min(_MEASURED, capacity)
        """With so many queued, the next one is to be measured, or there is no room for it."""
        self._capacity = capacity
        self._max_bytes = max_bytes
        self._count = self._total = 0  # spans measured and their bytes
        self._messages: deque[None] = deque()  # one for each message in the queue

    def make_room(self, size: int, queued: int) -> int:
        """Return how many spans there is room for, after one more was measured.

        Args:
            size: Of the span, in bytes.
            queued: How many are queued.
        """
        if queued <= _MEASURED:  # what was measured before is gone
            self._count = self._total = 0
        self._count += 1
        self._total += size
        room = max(1, min(self._capacity, self._max_bytes * self._count // self._total))
        self.room, self.limit = room, min(room, queued + max(_MEASURED, queued // 4))
        return room

    def measure_anew(self) -> None:
        """Forget what was measured, once few spans are queued."""
        if self.queue.qsize() < _MEASURED:
            self.room = self._capacity
            self.limit = min(_MEASURED, self._capacity)

    def send(self, message: Message) -> None:
        """Queue a message to the writer."""
        self._messages.append(None)
        self.queue.put(message)

    @property
    def spans(self) -> int:
        """How many spans are queued."""
        return max(0, self.queue.qsize() - len(self._messages))

    def take(self, timeout: float | None) -> tuple[Work | None, Message | None]:
        """Take the next span or message out of the queue.

        Args:
            timeout: Seconds to wait for it; ``None``: for ever.

        Raises:
            Empty: There is none.
        """
        item = self.queue.get(timeout != 0, timeout)
        if isinstance(item, (Flush, StartRecords)):
            self._messages.popleft()
            return None, item
        return item, None


class Writer:
    """Writes what is in an inbox to a sink.

    Args:
        sink: The sink.
        inbox: Where spans come from.
        retry: When to repeat a failed write.
        batch_size: Spans in one write at most.
    """

    def __init__(self, sink: SinkBase, inbox: Inbox, retry: Retry, batch_size: int) -> None:
        self.ledger = Ledger()
        self.deadline: float | None = None
        """When the sink is to be closed, once somebody has asked for that."""
        self._sink = sink
        self._inbox = inbox
        self._retry = retry
        self._batch_size = min(batch_size, _SMALL_BATCH) if sink.small_batches else batch_size
        self._batches = BatchWriter(sink.write)
        self._set_aside: list[Span] = []  # failed while others were taken; to be offered again
        self._set_aside_until = 0.0
        self._hurry = threading.Event()  # ends a wait between two attempts
        self._overflow_reported = 0

    def hurry(self) -> None:
        """End the wait before a repetition, because somebody waits for a flush or the close."""
        self._hurry.set()

    def run(self, end: Callable[[Stop], None]) -> None:
        """Write until asked to stop.

        Args:
            end: Called with what asked for it.
        """
        with suppress():  # a processor that calls a model must not trace itself for ever
            while True:
                work, message = self._next_batch()
                if self._sink.takes_starts:
                    self._write_starts(message)
                if isinstance(message, Flush):
                    self._set_aside_until = 0.0
                if work or self._is_due():
                    self._write(self._completed(work))
                    self.report_overflow()
                if isinstance(message, Stop):
                    self._give_up_set_aside()
                    end(message)
                    return
                if isinstance(message, Flush):
                    success = flush_guarded(self._sink, message.deadline)
                    message.finish(success=success and not self._set_aside)

    # Taking spans

    def _next_batch(self) -> tuple[list[Work], Message | None]:
        """Wait for a span, then take what else is there, up to a message or a full batch.

        Returns:
            The spans and the message; neither when it is time to look for something else.
        """
        work: list[Work] = []
        message: Message | None = None
        try:
            first, message = self._await_first()
            if first is not None:
                work.append(first)
            while message is None and len(work) < self._batch_size:
                one, message = self._inbox.take(0.0)
                if one is not None:
                    work.append(one)
        except Empty:
            pass
        self._inbox.measure_anew()
        return work, message

    def _await_first(self) -> tuple[Work | None, Message | None]:
        """Wait for a span or message.

        Raises:
            Empty: It is time to look for started spans, or for those set aside.
        """
        while True:
            patience = self._inbox.young.patience() if self._sink.takes_starts else None
            if self._set_aside:
                due = seconds_left(self._set_aside_until)
                patience = due if patience is None else min(due, patience)
            try:
                found = self._inbox.take(patience)
            except Empty:
                if self._inbox.young.waiting or self._is_due():
                    raise
            else:
                self._inbox.young.awake()
                return found

    def _completed(self, work: list[Work]) -> list[Span]:
        self.ledger.accept(len(work))
        spans = [span for one in work if (span := completed(one)) is not None]
        self.ledger.dropped(len(work) - len(spans), INVALID)
        return spans

    # Start records

    def _write_starts(self, message: Message | None) -> None:
        records = list(message.spans) if isinstance(message, StartRecords) else []
        try:
            asked = isinstance(message, Flush)  # whoever asks may be about to kill the process
            records += self._inbox.young.grown_up(all_of_them=asked)
            if records:
                self._sink.write_started(records)
        except Exception as error:
            report("writing start records", error)

    # Writing

    def _is_due(self) -> bool:
        return bool(self._set_aside) and time.monotonic() >= self._set_aside_until

    def _write(self, spans: list[Span]) -> None:
        """Write spans, and those set aside if it is time for that, until the sink takes some."""
        if self._set_aside and (self._is_due() or self.deadline is not None):
            spans = [*self._set_aside, *spans]
            self._set_aside = []
        attempt = 0
        while spans:
            outcome = self._batches.write(spans, urgent=self.deadline is not None)
            self._count(outcome)
            spans = outcome.waiting
            if outcome.error is None:
                return
            if outcome.delivered:  # no outage: these must not hold up the others
                self._put_aside(spans, outcome.error)
                return
            if not self._wait_to_retry(attempt, outcome.error):
                self.ledger.dropped(len(spans), LEFT_AT_EXIT)
                return
            spans += self._some_more(len(spans))
            attempt += 1

    def _count(self, outcome: Outcome) -> None:
        self.ledger.delivered(len(outcome.delivered))
        if outcome.refused:
            self.ledger.dropped(len(outcome.refused), REJECTED)
            log_once(
                f"rejected:{id(self)}",
                "tracing: %d span(s) refused by %s: %s",
                *(len(outcome.refused), self._sink.name, outcome.refused[0][1]),
            )

    def _put_aside(self, spans: list[Span], error: BaseException) -> None:
        self._report_failure(error)
        self._set_aside += spans
        self._set_aside_until = time.monotonic() + self._retry.wait(0, error)
        too_many = max(0, len(self._set_aside) - 10 * self._batch_size)
        if too_many:
            del self._set_aside[:too_many]
            self.ledger.dropped(too_many, QUEUE_FULL)

    def _give_up_set_aside(self) -> None:
        self.ledger.dropped(len(self._set_aside), LEFT_AT_EXIT)
        self._set_aside = []

    def _some_more(self, waiting: int) -> list[Span]:
        """Take newer spans to offer along with those that failed, which tells what is to blame."""
        work: list[Work] = []
        if waiting < 2 * self._batch_size:
            try:
                while len(work) < _MORE_AT_RETRY and self._inbox.spans:
                    one, message = self._inbox.take(0.0)
                    if one is not None:
                        work.append(one)
                    elif message is not None:  # not for us; it now comes later
                        self._inbox.send(message)
                        break
            except Empty:
                pass
        return self._completed(work)

    def _wait_to_retry(self, attempt: int, error: BaseException) -> bool:
        """Wait before a repetition; say whether there is to be one."""
        self._report_failure(error)
        wait = self._retry.wait(attempt, error)
        if self.deadline is not None:
            if isinstance(error, Rejected):  # and nothing else comes that the sink could take
                return False
            if not isinstance(error, RetryLater):
                wait = min(wait, _CLOSING_RETRY_SECONDS)
            if time.monotonic() + wait >= self.deadline:
                return False
        self._hurry.wait(wait)
        self._hurry.clear()
        return True

    # Reporting

    def _report_failure(self, error: BaseException) -> None:
        name, kind = self._sink.name, type(error).__name__
        log_once(
            f"write:{name}:{kind}",
            "tracing: %s cannot write yet and will be tried again: %s: %s",
            *(name, kind, text_of(error)),
            error=error,
        )

    def report_overflow(self) -> None:
        """Log how many spans a full queue has cost, each minute while it costs more."""
        lost = self._inbox.overflowed.value
        if lost > self._overflow_reported and log_once(
            f"full:{id(self)}",
            "tracing: %s of %s: %d span(s) dropped so far",
            *(QUEUE_FULL, self._sink.name, lost),
            every=_OVERFLOW_REPORTED_EVERY,
        ):
            self._overflow_reported = lost


def completed(work: Work) -> Span | None:
    """Return the span itself; complete it if it has only just ended.

    ``None``, and a log message, if somebody has set a field to what no span can hold.
    """
    try:
        return work if isinstance(work, Span) else freeze.completed(work)
    except Exception as error:
        report("completing a span", error)
        return None
