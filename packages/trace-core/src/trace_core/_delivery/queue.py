"""The hand-off from the caller's thread to a writer thread of our own.

The caller does one ``SimpleQueue.put``: no lock, no system call of ours, safe in finalisers and
signal handlers. The writer takes what has come in, writes it to the sink in batches and retries
what the sink could not write. All calls of the sink happen on the writer thread, one at a time,
but for spans written after `Background.close`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Final, Literal, TypeAlias

import attrs

from trace_core._delivery.handover import EndedSpan, StartedReference
from trace_core._delivery.retry import Retry
from trace_core._delivery.start_records import YoungSpans
from trace_core._delivery.stats import CLOSED, LEFT_AT_EXIT, QUEUE_FULL, REJECTED, Ledger, Stats
from trace_core._errors import ConfigurationError, Rejected, RetryLater
from trace_core._lifecycle import after_fork
from trace_core._log import log_once, report, text_of
from trace_core._model.span import Span
from trace_core._sinks.base import SinkLike, as_sink, deadline_after, seconds_left
from trace_core._sinks.wrapper import WrapperSink, close_guarded, flush_guarded
from trace_core._tracing.context import suppress

Overflow: TypeAlias = Literal["drop_newest", "drop_oldest", "block"]
_OVERFLOWS: Final = ("drop_newest", "drop_oldest", "block")
_BLOCK_POLL_SECONDS: Final = 0.005
_CLOSING_RETRY_SECONDS: Final = 0.25
_SINKS_SHARE: Final = 0.9
"""Of the time to close. Whoever waits may end the interpreter next, and a thread that is cut off
while it imports or logs leaves locks behind that hang the exit for ever."""
_KEEPING_SECONDS: Final = 5.0
"""For a sink that keeps spans on disk to take what is queued, beyond the time to deliver."""
_QUICK_WAITS: Final = 2
_QUICK_SECONDS: Final = 0.0008
_LOOKS: Final = 10
_NAP_SECONDS: Final = 0.00002  # and what a nap takes at least, some 0.00006 on Linux


class _Marker:
    """Asks the writer to flush the sink once it has written all that came before."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self._done = threading.Event()
        self._success = False

    @property
    def left(self) -> float:
        """Seconds left."""
        return seconds_left(self.deadline)

    def finish(self, *, success: bool) -> None:
        """Tell whoever waits."""
        self._success = success
        self._done.set()

    def wait(self, more: float = 0.0) -> bool:
        """Wait until it is done, at most until the deadline and some more seconds.

        Returns:
            Whether it went well.
        """
        self._done.wait(self.left + more)
        return self._success


class _Stop(_Marker):
    """Asks the writer to close the sink and end."""


@attrs.frozen
class _Records:
    """Start records that somebody else has made, such as a `tee`; or none, to wake the writer."""

    spans: Sequence[Span] = ()


_WAKE: Final = _Records()


_Work: TypeAlias = "Span | EndedSpan"
_Item: TypeAlias = "_Work | _Records | _Marker"


@attrs.define
class _Batch:
    """What the writer takes out of the queue at once."""

    work: list[_Work] = attrs.field(factory=list)
    started: list[Span] = attrs.field(factory=list)
    marker: _Marker | None = None

    def add(self, item: _Item) -> None:
        if isinstance(item, _Marker):
            self.marker = item
        elif isinstance(item, _Records):
            self.started += item.spans
        else:
            self.work.append(item)

    def full(self, size: int) -> bool:
        return self.marker is not None or len(self.work) >= size or len(self.started) >= size


class Background(WrapperSink):
    """Hands spans to a sink on a thread of its own. A sink itself.

    The thread starts with the first span. A forked child starts with an empty queue and a
    thread of its own; what was queued belongs to the parent. At exit the queue is drained within
    ``exit_timeout``; spans written after that go to the sink at once, on the caller's thread.

    Args:
        sink: Where spans go.
        capacity: Spans queued at the most.
        overflow: What to do when the queue is full: ``drop_newest``, ``drop_oldest``, or
            ``block`` the caller for up to ``block_timeout`` and then drop the new span.
        block_timeout: Seconds.
        batch_size: Spans in one write at the most.
        linger: Seconds to wait for a batch to fill once it has its first span.
        retry: When to repeat a failed write.
        exit_timeout: Seconds the drain at exit may take; what the sink asks for by default
            (its ``exit_timeout``), else 5.

    Raises:
        ConfigurationError: ``sink`` is not a sink, or a number makes no sense.
    """

    immediate = True

    def __init__(
        self,
        sink: SinkLike,
        *,
        capacity: int = 10_000,
        overflow: Overflow = "drop_newest",
        block_timeout: float = 1.0,
        batch_size: int = 100,
        linger: float = 0.0,
        retry: Retry | None = None,
        exit_timeout: float | None = None,
    ) -> None:
        if capacity < 1 or batch_size < 1:
            raise ConfigurationError("capacity and batch_size must be at least 1")
        if overflow not in _OVERFLOWS:
            raise ConfigurationError(
                f"overflow={overflow!r}; choose one of {', '.join(_OVERFLOWS)}"
            )
        self.sink = as_sink(sink)
        super().__init__((self.sink,), exit_timeout)
        self._capacity = capacity
        self._overflow: Overflow = overflow
        self._block_timeout = block_timeout
        self._batch_size = batch_size
        self._linger = linger
        self._retry = retry or Retry()
        self._closed = False
        self._reset()
        after_fork(self._reset)

    def _reset(self) -> None:
        """Set up everything that does not survive a fork."""
        self._queue: SimpleQueue[_Item] = SimpleQueue()
        self._young = YoungSpans(self._capacity)
        self._thread: threading.Thread | None = None
        self._writer: int | None = None  # set by the writer itself: `_thread` is set too late
        self._starting = threading.Lock()
        self._wake = threading.Event()  # ends a wait between two attempts
        self._deadline: float | None = None  # of closing
        self._hung = False
        self._ledger = Ledger()
        self._accept = self._ledger.accepted.increment
        self._quick_waits = 0  # of the writer, one after the other

    @property
    def stats(self) -> Stats:
        """What became of the spans handed over so far, in this process."""
        return self._ledger.stats()

    def write(self, spans: Sequence[Span], /) -> None:
        """Queue the spans. Never raises and, but for ``overflow="block"``, never waits."""
        for span in spans:
            self.write_later(span)

    def write_later(self, span: Span | EndedSpan) -> None:
        """Queue a span, or what makes one on the writer thread.

        Args:
            span: A finished span, or what makes one.
        """
        # Everything here is paid for by every call of the user's; what is seldom is elsewhere.
        self._accept()
        queue = self._queue
        if self._closed or queue.qsize() >= self._capacity:
            self._put_if_possible(span)
            return
        queue.put(span)
        if self._thread is None or self._closed:
            self._see_to_it()

    def start_later(self, opened: StartedReference) -> None:
        """Take note that a span has started, for a sink that keeps such records.

        Args:
            opened: A weak reference to the open span. Only one that stays open is recorded.
        """
        if self._closed:
            return
        if self._young.add(opened):
            self._queue.put(_WAKE)
        if self._thread is None:
            self._start()

    def write_started(self, spans: Sequence[Span], /) -> None:
        """Queue start records."""
        if not self._closed and self._queue.qsize() < self._capacity:
            self._queue.put(_Records(spans))
            if self._thread is None:
                self._start()

    def _put_if_possible(self, item: _Work) -> None:
        """Do with a span what can be done after the close, or with a full queue."""
        if self._closed:
            self._write_late([item])
        elif self._make_room():
            self._queue.put(item)
            self._see_to_it()
        else:
            self._lose(item)

    def _see_to_it(self) -> None:
        """See to it that what was queued is taken out of the queue."""
        if self._thread is None:
            self._start()
        if self._closed:  # meanwhile: the writer may have gone without seeing it
            self._drain_here()

    def _make_room(self) -> bool:
        """Apply the overflow policy; say whether the new span may be queued."""
        if self._overflow == "drop_oldest":
            return self._drop_oldest()
        if self._overflow == "drop_newest":
            return False
        deadline = time.monotonic() + self._block_timeout
        while self._queue.qsize() >= self._capacity:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_BLOCK_POLL_SECONDS)
        return True

    def _drop_oldest(self) -> bool:
        try:
            oldest = self._queue.get_nowait()
        except Empty:
            return True
        if isinstance(oldest, _Marker):
            self._queue.put(oldest)  # not ours to drop, but it may now come later
        elif not isinstance(oldest, _Records):
            self._lose(oldest)
        return True

    def _lose(self, item: _Work) -> None:
        self._ledger.overflow()
        if not isinstance(item, Span):
            item.forget()

    def _start(self) -> None:
        # Without waiting: a signal handler may interrupt the very thread that starts the writer.
        if not self._starting.acquire(blocking=False):
            return
        try:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="trace-writer", daemon=True)
                thread.start()
                self._thread = thread
        except RuntimeError as error:
            # No thread to be had, or the interpreter is shutting down: what is queued stays
            # queued for the next try, and `close` writes it without a thread if it must.
            report("starting the writer thread", error)
        finally:
            self._starting.release()

    def _run(self) -> None:
        self._writer = threading.get_ident()
        with suppress():  # a processor that calls a model must not trace itself for ever
            while True:
                batch = self._next_batch()
                marker = batch.marker
                if batch.started:
                    self._note_starts(batch.started)
                if self.takes_starts:
                    self._note_open_spans(all_of_them=marker is not None)
                if batch.work:
                    self._write_batch(batch.work)
                    self._tell_of_overflow()
                if isinstance(marker, _Stop):
                    self._end(marker)
                    return
                if marker is not None:
                    self._flush_sink(marker)

    def _next_batch(self) -> _Batch:
        """Wait for a span, then take what else is there, up to a marker or a full batch.

        Empty when it is time to look after the spans that are open.
        """
        batch = _Batch()
        try:
            batch.add(self._next_item())
            if self._linger or not self._queue.empty():  # mostly there is no more: no need to try
                self._fill(batch)
        except Empty:
            pass  # that was all
        return batch

    def _fill(self, batch: _Batch) -> None:
        deadline = time.monotonic() + self._linger
        while not batch.full(self._batch_size):
            batch.add(self._queue.get(timeout=max(0.0, deadline - time.monotonic())))

    def _next_item(self) -> _Item:
        """Wait for a span, by looking now and then as long as they come in fast.

        To wake a thread that waits for the queue takes several times as long as all else that a
        hand-over does, and whoever hands over pays for it.

        Raises:
            Empty: None came in time.
        """
        begun = time.monotonic()
        if self._quick_waits >= _QUICK_WAITS:
            for _ in range(_LOOKS):
                if not self._queue.empty():
                    return self._queue.get()
                time.sleep(_NAP_SECONDS)
        item = self._await_item()
        self._young.awake()
        quick = time.monotonic() - begun < _QUICK_SECONDS
        self._quick_waits = self._quick_waits + 1 if quick else 0
        return item

    def _await_item(self) -> _Item:
        if not self.takes_starts:
            return self._queue.get()
        young = self._young
        while True:
            try:
                return self._queue.get(timeout=young.patience())
            except Empty:
                if young.waiting:
                    raise

    def _note_open_spans(self, *, all_of_them: bool) -> None:
        try:
            records = self._young.grown_up(all_of_them=all_of_them)
        except Exception as error:  # a clock
            report("looking at open spans", error)
            return
        if records:
            self._note_starts(records)

    def _note_starts(self, records: Sequence[Span]) -> None:
        try:
            self.sink.write_started(records)
        except Exception as error:
            report("noting that a span started", error)

    def _write_batch(self, work: list[_Work]) -> None:
        spans = [_finished(span) for span in work]
        attempt = 0
        while spans:
            error = self._attempt(spans)
            if error is None:
                self._ledger.delivered(len(spans))
                return
            if isinstance(error, Rejected):
                self._set_aside(spans, error)
                return
            if not self._wait_to_retry(attempt, error):
                self._ledger.dropped(len(spans), LEFT_AT_EXIT)
                return
            attempt += 1

    def _attempt(self, spans: list[Span]) -> BaseException | None:
        try:
            self.sink.write(spans)
        except Exception as error:
            return error
        except BaseException as error:
            if threading.get_ident() != self._writer:
                raise  # Ctrl-C, on the user's own thread
            return error  # nothing a sink raises may end the writer
        return None

    def _set_aside(self, spans: list[Span], refusal: Rejected) -> None:
        """Count what the sink refused for good as dropped, and the rest as delivered."""
        bad = {span.context for span in (spans if refusal.spans is None else refusal.spans)}
        refused = sum(span.context in bad for span in spans)
        self._ledger.dropped(refused, REJECTED)
        self._ledger.delivered(len(spans) - refused)
        log_once(f"rejected:{id(self)}", "tracing: %d span(s) refused: %s", refused, refusal)

    def _wait_to_retry(self, attempt: int, error: BaseException) -> bool:
        """Wait before a repetition; say whether there is to be one."""
        self._tell_of_failure(error)
        if self._closed:
            return False
        wait = self._retry.wait(attempt, error)
        deadline = self._deadline
        if deadline is not None:
            if not isinstance(error, RetryLater):
                wait = min(wait, _CLOSING_RETRY_SECONDS)
            if time.monotonic() + wait >= deadline:
                return False
        self._wake.wait(wait)
        self._wake.clear()
        return True

    def _tell_of_failure(self, error: BaseException) -> None:
        name, kind = self.sink.name, type(error).__name__
        log_once(
            f"write:{name}:{kind}",
            "tracing: %s cannot write yet and will be tried again: %s: %s",
            *(name, kind, text_of(error)),
            error=error,
        )

    def _tell_of_overflow(self) -> None:
        lost = self._ledger.overflowed
        if lost:  # said here, not on the caller's thread
            log_once(f"full:{id(self)}", "tracing: %s: %d span(s) dropped so far", QUEUE_FULL, lost)

    def _flush_sink(self, marker: _Marker) -> None:
        marker.finish(success=flush_guarded(self.sink, marker.deadline))

    def begin_flush(self, deadline: float, /) -> Callable[[], bool]:
        """Ask the writer for a flush; the result waits for it."""
        if self._closed:
            return lambda: self.stats.pending == 0
        if self._thread is None and self._queue.empty():
            return lambda: flush_guarded(self.sink, deadline)
        marker = _Marker(deadline)
        self._queue.put(marker)
        if self._thread is None:
            self._start()
        self._wake.set()
        return marker.wait

    def begin_close(self, deadline: float, /) -> Callable[[], None]:
        """Ask the writer to write what is queued and close the sink; the result waits for it.

        What cannot be written in time is counted as dropped and logged.
        """
        if self._closed or self._deadline is not None:
            return _nothing
        self._forget_handlers()
        stop = _Stop(deadline)
        self._deadline = deadline
        self._wake.set()
        if self._thread is None and not self._queue.empty():
            self._start()
        if self._thread is not None:
            self._queue.put(stop)
            return lambda: self._await_close(stop)
        return lambda: self._close_unstarted(stop)

    def _close_unstarted(self, stop: _Stop) -> None:
        """Close a sink whose writer never started, or cannot."""
        if self._thread is None:
            self._end(stop)
        else:  # it has been started meanwhile
            self._queue.put(stop)
        self._await_close(stop)

    def _await_close(self, stop: _Stop) -> None:
        if not stop.wait(_KEEPING_SECONDS if self.takes_starts else 0.0):
            self._give_up()
        self._tell_of_loss()

    def _end(self, stop: _Stop) -> None:
        """Write what is left, close the sink."""
        self._closed = True
        self._drain_here()
        close_guarded(self.sink, deadline_after(_SINKS_SHARE * stop.left))
        stop.finish(success=True)

    def _give_up(self) -> None:
        """Leave a sink that does not return to itself, and count what it will not get."""
        self._hung = True
        self._closed = True
        self._drain_here()

    def _drain_here(self) -> None:
        while True:
            try:
                item = self._queue.get_nowait()
            except Empty:
                return
            if not isinstance(item, (_Marker, _Records)):
                self._write_late([item])

    def _write_late(self, work: list[_Work]) -> None:
        """Write after close, on whatever thread: to the sink, unless it hangs."""
        if self._hung:
            self._ledger.dropped(len(work), LEFT_AT_EXIT)
            return
        spans = [_finished(span) for span in work]
        error = self._attempt(spans)
        if error is None:
            self._ledger.delivered(len(spans))
        elif isinstance(error, Rejected):
            self._set_aside(spans, error)
        else:
            self._ledger.dropped(len(spans), CLOSED)
            report("writing a span after close", error)

    def _tell_of_loss(self) -> None:
        stats = self.stats
        lost = stats.dropped_by_reason.get(LEFT_AT_EXIT, 0) + stats.pending
        if lost:
            log_once(
                f"lost:{id(self)}",
                "tracing: %d span(s) were not delivered to %s before the exit",
                *(lost, self.sink.name),
            )


def _nothing() -> None:
    """Nothing to wait for."""


def _finished(ended: _Work) -> Span:
    return ended if isinstance(ended, Span) else ended.finished()
