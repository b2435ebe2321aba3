"""The writer thread: takes spans out of a queue, writes them to a sink, repeats what failed.

All calls of the sink happen on this thread, one at a time, except for spans written after
`Background.close`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import Empty
from typing import Final

from trace_core._clock import monotonic
from trace_core._delivery.inbox import Flush, Inbox, Message, StartRecords, Stop, Work
from trace_core._delivery.retry import BatchWriter, Outcome, Retry
from trace_core._delivery.stats import INVALID, LEFT_AT_EXIT, QUEUE_FULL, REJECTED, Ledger
from trace_core._errors import Rejected, RetryLater
from trace_core._failures import failure
from trace_core._log import counted, log_once, owner_key, report, text_of
from trace_core._model.span import Span
from trace_core._sinks.base import SinkBase, seconds_left
from trace_core._sinks.wrapper import flush_guarded
from trace_core._tracing.context import suppress
from trace_core._tracing.freeze import completed

_CLOSING_RETRY_SECONDS: Final = 0.25
_SMALL_BATCH: Final = 16
_TURN_SECONDS: Final = 0.004
"""Of computing before callers are told what has been written, where a sink wants small batches. Who
computes as well leaves the interpreter after 5 ms."""
_MORE_AT_RETRY: Final = 10
_STARTS_PUT_OFF: Final = 0.1
"""Seconds for which ended spans go before start records."""


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
        self._most = self._batch_size  # spans that the writer takes at once
        self._batches = BatchWriter(sink.write)
        self._log_key = owner_key("writer")
        self._set_aside: list[Span] = []  # failed while others were taken; to be offered again
        self._set_aside_until = 0.0
        self._starts_due = 0.0
        self._hurry = threading.Event()  # ends a wait between two attempts

    def hurry(self) -> None:
        """End the wait before a repetition, because somebody waits for a flush or the close."""
        self._hurry.set()

    def run(self, end: Callable[[Stop], None], ready: threading.Event) -> None:
        """Write until asked to stop.

        Args:
            end: Called with what asked for it.
            ready: Set once the sink is ready to write.
        """
        self._inbox.callers.writer.begin()
        with suppress():  # a processor that calls a model must not trace itself for ever
            self._get_ready()
            ready.set()
            while True:
                work, message = self._next_batch()
                if isinstance(message, Flush):
                    self._set_aside_until = 0.0
                if work or self._is_due():
                    self._write_taken(work)
                    self._inbox.report_overflow(self._sink)
                self._inbox.callers.wake()
                if self._sink.takes_starts and (message is not None or self._inbox.young.waiting):
                    self._write_starts(message)
                if isinstance(message, Stop):
                    self._give_up_set_aside()
                    end(message)
                    return
                if isinstance(message, Flush):
                    success = flush_guarded(self._sink, message.deadline)
                    message.finish(success=success and not self._set_aside)

    def _get_ready(self) -> None:
        if self._sink.takes_starts:
            try:
                self._sink.write_started(())
            except failure() as error:
                report("getting ready to write", error)

    # Taking spans

    def _next_batch(self) -> tuple[list[Work], Message | None]:
        """Wait for a span, then take what else is there, up to a message or a full batch.

        Returns:
            The spans and the message; neither when it is time to look for something else.
        """
        inbox = self._inbox
        while True:
            patience = inbox.young.patience() if self._sink.takes_starts else None
            if self._set_aside:
                due = seconds_left(self._set_aside_until)
                patience = due if patience is None else min(due, patience)
            try:
                found = inbox.take(self._most, patience)
            except Empty:
                if inbox.young.waiting or self._is_due():
                    return [], None
            else:
                inbox.young.awake()
                inbox.learn(found[0])
                return found

    def _completed(self, work: list[Work]) -> list[Span]:
        self._inbox.count_in(self.ledger, len(work))
        spans = [span for one in work if (span := completed(one)) is not None]
        if len(spans) < len(work):
            self.ledger.dropped(len(work) - len(spans), INVALID)
        return spans

    # Start records

    def _write_starts(self, message: Message | None) -> None:
        """Write start records, unless spans wait: each write may cost a turn at the interpreter.

        Among 8 threads that compute, such a turn comes every 40 ms.
        """
        records = list(message.spans) if isinstance(message, StartRecords) else []
        now, asked = monotonic(), isinstance(message, Flush)
        try:
            if asked or not self._inbox.pending or now >= self._starts_due:
                self._starts_due = now + _STARTS_PUT_OFF
                # whoever asks for a flush may be about to kill the process
                records += self._inbox.young.grown_up(all_of_them=asked)
            if records:
                self._sink.write_started(records)
        except failure() as error:
            report("writing start records", error)

    # Writing

    def _write_taken(self, work: list[Work]) -> None:
        """Write what was taken; the longer one takes, the fewer are taken next."""
        begun = time.thread_time()
        self._write(self._completed(work))
        if work and self._sink.small_batches:
            each = (time.thread_time() - begun) / len(work)
            fitting = int(_TURN_SECONDS / each) if each else self._batch_size
            self._most = min(max(1, fitting), self._batch_size)

    def _is_due(self) -> bool:
        return bool(self._set_aside) and monotonic() >= self._set_aside_until

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
                f"{self._log_key}:rejected",
                "tracing: %s refused by %s: %s",
                *(counted(len(outcome.refused), "span"), self._sink.name, outcome.refused[0][1]),
            )

    def _put_aside(self, spans: list[Span], error: BaseException) -> None:
        _report_failure(self._sink.name, error)
        self._set_aside += spans
        self._set_aside_until = monotonic() + self._retry.wait(0, error)
        too_many = max(0, len(self._set_aside) - 10 * self._batch_size)
        if too_many:
            del self._set_aside[:too_many]
            self.ledger.dropped(too_many, QUEUE_FULL)

    def _give_up_set_aside(self) -> None:
        self.ledger.dropped(len(self._set_aside), LEFT_AT_EXIT)
        self._set_aside = []

    def _some_more(self, waiting: int) -> list[Span]:
        """Take newer spans to offer along with those that failed, which tells what is to blame."""
        if waiting >= 2 * self._batch_size or not self._inbox.pending:
            return []
        try:
            work, message = self._inbox.take(_MORE_AT_RETRY)
        except Empty:
            return []
        if message is not None:  # not for us; it now comes later
            self._inbox.send(message)
        return self._completed(work)

    def _wait_to_retry(self, attempt: int, error: BaseException) -> bool:
        """Wait before a repetition; say whether there is to be one."""
        _report_failure(self._sink.name, error)
        wait = self._retry.wait(attempt, error)
        if self.deadline is not None:
            if isinstance(error, Rejected):  # and nothing else comes that the sink could take
                return False
            if not isinstance(error, RetryLater):
                wait = min(wait, _CLOSING_RETRY_SECONDS)
            if monotonic() + wait >= self.deadline:
                return False
        self._hurry.wait(wait)
        self._hurry.clear()
        return True


def _report_failure(name: str, error: BaseException) -> None:
    kind = type(error).__name__
    log_once(
        f"write:{name}:{kind}",
        "tracing: %s cannot write yet and will be tried again: %s: %s",
        *(name, kind, text_of(error)),
        error=error,
    )
