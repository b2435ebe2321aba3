"""`Background`: the queue between the caller's thread and the thread that writes to a sink.

The caller does one ``SimpleQueue.put``: no lock, no system call of ours, safe in finalisers and
signal handlers. If the writer is behind, it waits for it for a moment. What happens on the other
thread is in `trace_core._delivery.writer`.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from trace_core import _arguments as arguments
from trace_core._delivery.inbox import WAKE, Flush, Inbox, StartRecords, Stop, Work
from trace_core._delivery.late import LateWriter
from trace_core._delivery.retry import Retry
from trace_core._delivery.stats import LEFT_AT_EXIT, Stats
from trace_core._delivery.writer import Writer
from trace_core._lifecycle import after_fork, new_thread
from trace_core._log import counted, log_once, report
from trace_core._model.span import Span
from trace_core._sinks.base import SinkBase, SinkLike, as_sink, deadline_after
from trace_core._sinks.wrapper import WrapperSink, close_guarded, flush_guarded
from trace_core._tracing.span import OpenSpan

_MIB: Final = 1024 * 1024
_SINKS_SHARE: Final = 0.9
"""Of the time to close. Whoever waits may end the interpreter next, and a thread that is cut off
while it imports or logs leaves locks behind that hang the exit for ever."""
_READY_SECONDS: Final = 0.01
"""For a writer that has just started to make its files, which takes 1 ms. Among the threads of a
busy program it would take 50 ms, and a kill would lose all that ends meanwhile."""
_KEEPING_SECONDS: Final = 5.0
"""For a sink that keeps spans on disk to take what is queued, beyond the time to deliver."""


class Background(WrapperSink):
    """Hands spans to a sink on a thread of its own. A sink itself.

    The thread starts with the first span. A forked child starts with an empty queue and a thread
    of its own; what was queued is the parent's. At exit it is drained within ``exit_timeout``;
    spans written later go to the sink at once, on the caller's thread. A full queue drops spans.

    Args:
        sink: Where spans go.
        capacity: Spans queued at most.
        max_bytes: Their size in memory at most, roughly.
        batch_size: Spans in one write at most.
        retry: When to repeat a failed write.
        exit_timeout: Seconds the drain at exit may take; what the sink asks for by default
            (its ``exit_timeout``).

    Raises:
        ConfigurationError: ``sink`` is not a sink, or a number makes no sense.
    """

    immediate = True

    def __init__(
        self,
        sink: SinkLike,
        *,
        capacity: int = 10_000,
        max_bytes: int = 64 * _MIB,
        batch_size: int = 100,
        retry: Retry | None = None,
        exit_timeout: float | None = None,
    ) -> None:
        self.sink = as_sink(sink)
        super().__init__((self.sink,), exit_timeout)
        self._capacity = arguments.count(capacity, "capacity")
        self._max_bytes = arguments.count(max_bytes, "max_bytes")
        self._batch_size = arguments.count(batch_size, "batch_size")
        self._retry = arguments.instance(retry or Retry(), Retry, "retry")
        self._closed = False
        self._renew()
        after_fork(self._renew)

    def _renew(self) -> None:
        """Set up everything that does not survive a fork."""
        inbox = self._inbox = Inbox(self._capacity, self._max_bytes, kept=self.takes_starts)
        self._queue, self._pending = inbox.queue, inbox.pending
        self._writer = Writer(self.sink, inbox, self._retry, self._batch_size)
        self._ledger = self._writer.ledger
        self._late = LateWriter(self.sink, inbox, self._ledger)
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def wrap_sink(self, wrap: Callable[[SinkBase], SinkBase]) -> bool:
        """Put something between the queue and its sink, unless spans have come already.

        Args:
            wrap: Takes the sink and returns the one to write to in its place.
        """
        if self._thread is not None or self._closed or not self._queue.empty():
            return False
        self.sink = wrap(self.sink)
        self._stand_before((self.sink,))
        self._renew()
        return True

    @property
    def stats(self) -> Stats:
        """What became of the spans handed over so far, in this process."""
        return self._ledger.stats(len(self._pending), self._inbox.overflowed.value)

    # On the caller's thread

    def write(self, spans: Sequence[Span], /) -> None:
        """Queue the spans. Never raises; waits a moment for the writer if that is behind."""
        if self._thread is None:
            self._start()  # before anyone waits for it
        for span in spans:
            self.write_later(span)

    def write_later(self, ended: Work, /) -> None:
        """Queue a span, or what makes one on the writer thread.

        Args:
            ended: A finished span, or what makes one.
        """
        # Every call of the user's pays for this; what is seldom is elsewhere.
        queue = self._queue
        if self._closed:
            self._late.write(ended)
        elif queue.qsize() >= self._inbox.limit:
            self._inbox.put_if_room(ended)
        else:
            self._pending.append(None)
            queue.put(ended)
        if self._thread is None or self._closed:
            self._ensure_written()

    def start_later(self, started: weakref.ref[OpenSpan], /) -> None:
        """Note that a span has started, for a sink that takes start records.

        Args:
            started: A weak reference to the span. Only one that stays open is recorded.
        """
        if self._closed:
            return
        if self._inbox.young.add(started):
            self._inbox.send(WAKE)
        if self._thread is None:
            self._start()

    def write_started(self, spans: Sequence[Span], /) -> None:
        """Queue start records."""
        if not self._closed and self._queue.qsize() < self._capacity:
            self._inbox.send(StartRecords(spans))
            if self._thread is None:
                self._start()

    def _ensure_written(self) -> None:
        """Ensure that somebody takes what was queued out of the queue."""
        if self._thread is None:
            self._start()
        if self._closed:  # meanwhile: the writer may have ended without seeing it
            self._late.drain()

    def _start(self) -> None:
        """Start the writer, and leave the interpreter to it until it can write, for a moment."""
        if not self._starting.acquire(blocking=False):
            return  # this very thread may be starting it, and run a signal handler
        try:
            if self._thread is None:
                ready = threading.Event()
                work = partial(self._writer.run, self._end, ready)
                thread = new_thread(work, "trace-writer")
                thread.start()
                ready.wait(_READY_SECONDS)
                self._thread = thread
        except RuntimeError as error:
            # No thread to be had, or the interpreter is shutting down: what is queued stays
            # queued for the next try, and `close` writes it without a thread if it must.
            report("starting the writer thread", error)
        finally:
            self._starting.release()

    # Flush and close

    def begin_flush(self, deadline: float, /) -> Callable[[], bool]:
        """Ask the writer for a flush; the result waits for it."""
        if self._closed:
            return lambda: self.stats.pending == 0
        if self._thread is None and self._queue.empty():
            return lambda: flush_guarded(self.sink, deadline)
        flush = Flush(deadline)
        self._inbox.send(flush)
        if self._thread is None:
            self._start()
        self._writer.hurry()
        return flush.wait

    def begin_close(self, deadline: float, /) -> Callable[[], None]:
        """Ask the writer to write what is queued and close the sink; the result waits for it.

        What cannot be written in time is counted as dropped and logged.
        """
        if self._closed or self._writer.deadline is not None:
            return _nothing
        self._forget_handlers()
        stop = Stop(deadline)
        self._writer.deadline = deadline
        self._writer.hurry()
        if self._thread is None and not self._queue.empty():
            self._start()
        if self._thread is not None:
            self._inbox.send(stop)
            return lambda: self._await_close(stop)
        return lambda: self._close_unstarted(stop)

    def _close_unstarted(self, stop: Stop) -> None:
        """Close a sink whose writer never started, or cannot."""
        if self._thread is None:
            self._end(stop)
        else:  # it has been started meanwhile
            self._inbox.send(stop)
        self._await_close(stop)

    def _await_close(self, stop: Stop) -> None:
        if not stop.wait(_KEEPING_SECONDS if self.takes_starts else 0.0):
            self._late.hung = True
            self._closed = True
            self._late.drain()
        self._inbox.report_overflow(self.sink)
        _report_loss(self.stats, self.sink, self._inbox.log_key)

    def _end(self, stop: Stop) -> None:
        """Write what is left and close the sink: on the writer thread, if there is one."""
        self._closed = True
        self._late.drain()
        close_guarded(self.sink, deadline_after(_SINKS_SHARE * stop.left))
        stop.finish(success=True)


def _report_loss(stats: Stats, sink: SinkBase, log_key: str) -> None:
    lost = stats.dropped_by_reason.get(LEFT_AT_EXIT, 0) + stats.pending
    if lost:
        log_once(
            f"{log_key}:lost",
            "tracing: %s not delivered to %s before the exit",
            *(counted(lost, "span"), sink.name),
        )


def _nothing() -> None:
    """Nothing to wait for."""
