"""The hand-off from the caller's thread to a writer thread of our own.

The caller does one ``SimpleQueue.put``: no lock, no system call of ours, safe in finalisers and
signal handlers. The writer takes what has come in, writes it to the sink in batches and retries
what the sink could not write.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Final, Literal, TypeAlias

import attrs

from trace_core._errors import ConfigurationError, Rejected, RetryLater, log_once, report
from trace_core._model import Span
from trace_core._process import after_fork, at_exit
from trace_core._sinks import Sink, SinkLike, as_sink
from trace_core._stats import Ledger, Stats

Complete: TypeAlias = Callable[[Span], Span]
Overflow: TypeAlias = Literal["drop_newest", "drop_oldest", "block"]
_OVERFLOWS: Final = ("drop_newest", "drop_oldest", "block")
_BLOCK_POLL_SECONDS: Final = 0.005


@attrs.frozen
class Retry:
    """How long to wait before a failed write is tried again.

    Args:
        first: Seconds before the first repetition.
        factor: How much longer each next wait is.
        longest: Seconds no wait exceeds.
        jitter: Share of each wait that is random, so that many processes do not knock at once.
    """

    first: float = 0.5
    factor: float = 2.0
    longest: float = 30.0
    jitter: float = 0.25

    def wait(self, attempt: int, error: Exception) -> float:
        """Return the seconds to wait after a failed attempt.

        Args:
            attempt: 0 for the first.
            error: What went wrong; a `RetryLater` may say how long to wait.
        """
        if isinstance(error, RetryLater) and error.after is not None:
            return error.after
        wait = min(self.longest, self.first * self.factor ** min(attempt, 32))
        return wait * (1 + self.jitter * (2 * random.random() - 1))  # noqa: S311  # not a secret


class _Marker:
    """Asks the writer to flush the sink once it has written all that came before."""

    def __init__(self, timeout: float) -> None:
        self.deadline = time.monotonic() + timeout
        self.done = threading.Event()
        self.flushed = False


class _Stop:
    """Asks the writer to end."""


_Item: TypeAlias = "tuple[Span, Complete | None] | _Marker | _Stop"


class Background:
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
        self.sink: Sink = as_sink(sink)
        self.bridges = tuple(getattr(self.sink, "bridges", ()))
        self._capacity = capacity
        self._overflow: Overflow = overflow
        self._block_timeout = block_timeout
        self._batch_size = batch_size
        self._linger = linger
        self._retry = retry or Retry()
        self.exit_timeout: float = (
            exit_timeout if exit_timeout is not None else getattr(self.sink, "exit_timeout", 5.0)
        )
        self._reset()
        after_fork(self._reset)
        at_exit(self._exit)

    def _reset(self) -> None:
        """Set up everything that does not survive a fork."""
        self._queue: SimpleQueue[_Item] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._hurry = threading.Event()
        self._closed = False
        self._ledger = Ledger()

    @property
    def stats(self) -> Stats:
        """What became of the spans handed over so far, in this process."""
        return self._ledger.stats()

    def write(self, spans: Sequence[Span], /) -> None:
        """Queue the spans. Never raises and, but for ``overflow="block"``, never waits."""
        for span in spans:
            self._put((span, None))

    def write_later(self, span: Span, complete: Complete) -> None:
        """Queue a span together with work on it, which the writer thread does.

        Args:
            span: A finished span.
            complete: Takes it and returns what to write.
        """
        self._put((span, complete))

    def _put(self, item: tuple[Span, Complete | None]) -> None:
        self._ledger.accepted.increment()
        if self._closed:
            self._write_batch([item])
            return
        if self._queue.qsize() >= self._capacity and not self._make_room():
            self._ledger.overflow()
            return
        self._queue.put(item)
        if self._thread is None:
            self._start()

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
        if isinstance(oldest, tuple):
            self._ledger.overflow()
        else:
            self._queue.put(oldest)  # a marker: not ours to drop, but it may now come later
        return True

    def _start(self) -> None:
        # Without waiting: a signal handler may interrupt the very thread that starts the writer.
        if not self._starting.acquire(blocking=False):
            return
        try:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="trace-writer", daemon=True)
                thread.start()
                self._thread = thread
        except RuntimeError as error:  # the interpreter is shutting down
            report("starting the writer thread", error)
            self._closed = True
            self._drain_here()
        finally:
            self._starting.release()

    def _drain_here(self) -> None:
        while True:
            try:
                item = self._queue.get_nowait()
            except Empty:
                return
            if isinstance(item, tuple):
                self._write_batch([item])

    def _run(self) -> None:
        while True:
            batch, other = self._next_batch()
            self._write_batch(batch)
            if isinstance(other, _Marker):
                self._flush_sink(other)
            elif isinstance(other, _Stop):
                return

    def _next_batch(self) -> tuple[list[tuple[Span, Complete | None]], _Marker | _Stop | None]:
        """Wait for a span, then take what else is there, up to a marker or a full batch."""
        batch: list[tuple[Span, Complete | None]] = []
        item = self._queue.get()
        deadline = time.monotonic() + self._linger
        while True:
            if not isinstance(item, tuple):
                return batch, item
            batch.append(item)
            if len(batch) >= self._batch_size:
                return batch, None
            try:
                item = self._queue.get(timeout=max(0.0, deadline - time.monotonic()))
            except Empty:
                return batch, None

    def _write_batch(self, items: list[tuple[Span, Complete | None]]) -> None:
        spans = [completed(span, complete) for span, complete in items]
        attempt = 0
        while spans:
            try:
                self.sink.write(spans)
            except Rejected as refusal:
                spans = self._set_aside(spans, refusal)
                attempt = 0
            except Exception as error:
                if not self._wait_to_retry(attempt, error):
                    self._ledger.dropped(len(spans), "not delivered at exit")
                    return
                attempt += 1
            else:
                self._ledger.delivered(len(spans))
                return

    def _set_aside(self, spans: list[Span], refusal: Rejected) -> list[Span]:
        """Drop what the sink refused for good; return what is left to write."""
        if refusal.spans is None:
            refused, left = spans, []
        else:
            bad = {span.context for span in refusal.spans}
            refused = [span for span in spans if span.context in bad]
            left = [span for span in spans if span.context not in bad] if refused else []
            refused = refused or spans
        self._ledger.dropped(len(refused), "rejected by the sink")
        log_once(f"rejected:{id(self)}", "tracing: %d span(s) refused: %s", len(refused), refusal)
        return left

    def _wait_to_retry(self, attempt: int, error: Exception) -> bool:
        """Wait before a repetition; say whether there is to be one."""
        name = type(self.sink).__name__
        log_once(
            f"write:{name}:{type(error).__name__}",
            "tracing: %s cannot write yet and will be tried again: %s: %s",
            *(name, type(error).__name__, error),
            error=error,
        )
        if self._closed:
            return False
        return not self._hurry.wait(self._retry.wait(attempt, error))

    def _flush_sink(self, marker: _Marker) -> None:
        try:
            marker.flushed = self.sink.flush(max(0.0, marker.deadline - time.monotonic()))
        except Exception as error:
            report("flushing a sink", error)
        marker.done.set()

    def flush(self, timeout: float = 5.0, /) -> bool:
        """Wait until what was queued so far is written and the sink has flushed it.

        Args:
            timeout: Seconds to wait at the most.

        Returns:
            Whether it was done in time.
        """
        if self._thread is None and self._queue.empty():
            return self.sink.flush(timeout)
        marker = _Marker(timeout)
        self._queue.put(marker)
        if self._thread is None:
            self._start()
        marker.done.wait(timeout)
        return marker.flushed

    def close(self, timeout: float = 5.0, /) -> None:
        """Write what is queued, as far as time allows, and close the sink.

        What cannot be written in time is counted as dropped, and said once in the log.

        Args:
            timeout: Seconds to take at the most.
        """
        if self._closed:
            return
        deadline = time.monotonic() + timeout
        thread = self._thread
        if thread is not None:
            self._queue.put(_Stop())
            thread.join(timeout)
        self._closed = True
        self._hurry.set()  # ends a wait between two attempts
        self._count_what_is_left(thread)
        self.sink.close(max(0.0, deadline - time.monotonic()))

    def _count_what_is_left(self, thread: threading.Thread | None) -> None:
        if thread is not None and thread.is_alive():
            thread.join(0.05)  # let it count the batch it was waiting with
        left = 0
        while not self._queue.empty():
            try:
                left += isinstance(self._queue.get_nowait(), tuple)
            except Empty:
                break
        self._ledger.dropped(left, "not delivered at exit")
        lost = self.stats.dropped_by_reason.get("not delivered at exit", 0) + self.stats.pending
        if lost:
            name = type(self.sink).__name__
            log_once(
                f"lost:{id(self)}",
                "tracing: %d span(s) were not delivered to %s before the exit",
                *(lost, name),
            )

    def _exit(self) -> None:
        self.close(self.exit_timeout)


def completed(span: Span, complete: Complete | None) -> Span:
    """Apply deferred work to a span; if that fails, the span goes on without it.

    Args:
        span: The finished span.
        complete: The work, if any.

    Returns:
        What the work made of it, or the span as it was.
    """
    if complete is None:
        return span
    try:
        return complete(span)
    except Exception as error:
        report("completing a span", error)
        return span
