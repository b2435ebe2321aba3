"""Writes spans that come after a `Background` was closed."""

from __future__ import annotations

from queue import Empty

from trace_core._delivery.inbox import Inbox, Work
from trace_core._delivery.stats import CLOSED, INVALID, LEFT_AT_EXIT, REJECTED, Ledger
from trace_core._errors import Rejected
from trace_core._failures import failure
from trace_core._log import report
from trace_core._sinks.base import SinkBase
from trace_core._tracing.freeze import completed


class LateWriter:
    """Writes spans after the close, on whatever thread they come from.

    Args:
        sink: Where they go.
        inbox: What was queued and not written.
        ledger: Counts them.
    """

    def __init__(self, sink: SinkBase, inbox: Inbox, ledger: Ledger) -> None:
        self._sink = sink
        self._inbox = inbox
        self._ledger = ledger
        self.hung = False
        """Whether the sink does not return: then spans are dropped."""

    def drain(self) -> None:
        """Write what is still queued."""
        while True:
            try:
                work, _ = self._inbox.take(1)
            except Empty:
                return
            self._inbox.count_in(self._ledger, len(work))
            for one in work:
                self._write(one)

    def write(self, work: Work) -> None:
        """Write a span, once."""
        self._ledger.accept(1)
        self._write(work)

    def _write(self, work: Work) -> None:
        if self.hung:
            self._ledger.dropped(1, LEFT_AT_EXIT)
            return
        span = completed(work)
        if span is None:
            self._ledger.dropped(1, INVALID)
            return
        try:
            self._sink.write([span])
        except Rejected:
            self._ledger.dropped(1, REJECTED)
        except failure() as error:  # sys.exit() in a sink does not end the caller
            self._ledger.dropped(1, CLOSED)
            report("writing a span after close", error)
        else:
            self._ledger.delivered(1)
