"""Follows a stream: times its chunks, combines them and ends the call's span exactly once."""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Sequence
from itertools import pairwise
from typing import Any, Final

from trace_core import semconv
from trace_core._failures import failure
from trace_core._model.values import Value
from trace_core._tracing.span import OpenSpan
from trace_core.streams._deltas import Deltas

_perf_ns: Final = time.perf_counter_ns
_SHORTEST_BOUND_NS: Final = 10_000_000


class Watch:
    """Follows one stream: times its chunks, combines them, ends its span once.

    Args:
        span: The call's span.
        deltas: Combines the chunks.
        end: Ends the span, given the error if there was one.
        on_error: Reports an exception in our own code; the stream goes on.
    """

    def __init__(
        self,
        span: OpenSpan,
        deltas: Deltas,
        end: Callable[[BaseException | None], None],
        on_error: Callable[[str, BaseException], None],
    ) -> None:
        self._span = span
        self._end = end
        self._on_error = on_error
        self._times: list[int] = []  # an array would be smaller, and takes five times as long
        self._first_ns = 0
        self._add: Callable[[Any], None] = deltas.add
        self.readers = 0
        """Proxies of the stream: it is abandoned when the last one is collected."""
        span.before_end = self._mark_ending

    def steps(self, step: Callable[[], Any]) -> Callable[[], Any]:
        """Return a function that returns the next chunk of a stream, and records it.

        Args:
            step: The stream's ``__next__``.
        """
        # The hot path, as in `async_steps`: one function, and nothing looked up twice.
        times = self._times

        def next_chunk() -> Any:
            try:
                chunk = step()
            except StopIteration:
                self.end("completed")
                raise
            except BaseException as error:
                self.raised(error)
                raise
            if not times:
                self._first_ns = self._span.elapsed_ns
            times.append(_perf_ns())
            try:
                self._add(chunk)
            except failure() as error:
                self._unreadable(chunk, error)
            return chunk

        return next_chunk

    def async_steps(self, step: Callable[[], Awaitable[Any]]) -> Callable[[], Awaitable[Any]]:
        """Return a function that returns the next chunk of an asynchronous stream, and records it.

        Args:
            step: The stream's ``__anext__``.
        """
        times = self._times

        async def next_chunk() -> Any:
            try:
                chunk = await step()
            except StopAsyncIteration:
                self.end("completed")
                raise
            except BaseException as error:
                self.raised(error)
                raise
            if not times:
                self._first_ns = self._span.elapsed_ns
            times.append(_perf_ns())
            try:
                self._add(chunk)
            except failure() as error:
                self._unreadable(chunk, error)
            return chunk

        return next_chunk

    def _unreadable(self, chunk: Any, error: BaseException) -> None:
        self._on_error(f"reading a {type(chunk).__name__}", error)
        self._add = _ignore

    def end(self, ending: str, error: BaseException | None = None) -> None:
        """End the span, the first time.

        Args:
            ending: completed, abandoned, closed, cancelled or failed.
            error: The exception that the caller gets, if any.
        """
        if self._span.ended:
            return
        self._span.attributes[semconv.STREAM_ENDING] = ending
        self._end(error)

    def raised(self, error: BaseException) -> None:
        """End the span for an exception that the caller gets."""
        if isinstance(error, (asyncio.CancelledError, GeneratorExit)):
            self.end("cancelled", error)
        else:
            self.end("failed", error)

    def _mark_ending(self) -> None:
        """Mark a stream that is still open when the program exits."""
        self._span.attributes.setdefault(semconv.STREAM_ENDING, "interrupted")

    def statistics(self) -> dict[str, Value]:
        """Compute counts and pauses, on the writer's thread.

        Returns:
            Attributes: chunk count, time to first chunk, and how long the pauses were.
        """
        times = self._times
        result: dict[str, Value] = {semconv.STREAM_CHUNKS: len(times)}
        if times:
            result[semconv.RESPONSE_TIME_TO_FIRST_CHUNK] = self._first_ns / 1e9
        gaps = sorted(b - a for a, b in pairwise(times))
        if gaps:
            result[semconv.STREAM_GAP_MAX] = gaps[-1] / 1e9
            result[semconv.STREAM_GAP_P95] = gaps[max(0, -(-len(gaps) * 95 // 100) - 1)] / 1e9
            result[semconv.STREAM_GAP_BUCKETS] = _distribution(gaps)
        return result

    def tokens_per_second(self, tokens: int | None) -> float | None:
        """Return the speed of an answer of this many tokens; ``None`` if it came at once."""
        if not tokens or len(self._times) < 2 or self._times[-1] == self._times[0]:  # noqa: PLR2004
            return None
        return tokens / ((self._times[-1] - self._times[0]) / 1e9)


def _distribution(gaps: Sequence[int]) -> dict[str, Value]:
    """Put pauses, sorted and in nanoseconds, into buckets: see `semconv.STREAM_GAP_BUCKETS`."""
    found: dict[str, Value] = {}
    bound, start = _SHORTEST_BOUND_NS, 0
    while start < len(gaps):
        end = bisect_right(gaps, bound, start)
        if end > start:
            found[f"{bound / 1e9:g}"] = (end - start, sum(gaps[start:end]) / 1e9)
        start, bound = end, bound * 2
    return found


class ChunkEvents:
    """Combines chunks, and records each of the first ones as an event of the span.

    Args:
        span: The call's span.
        deltas: Combines the chunks.
        limit: The number of events.
    """

    def __init__(self, span: OpenSpan, deltas: Deltas, limit: int) -> None:
        self._span, self._deltas = span, deltas
        self._limit = limit
        self._index = 0

    def add(self, chunk: Any) -> None:
        """Take a chunk."""
        if self._index < self._limit:
            about = {semconv.CHUNK_INDEX: self._index, semconv.CHUNK_VALUE: chunk}
            self._span.event(semconv.CHUNK_EVENT, about)
            self._index += 1
        self._deltas.add(chunk)

    def outputs(self) -> Value:
        """Return the answer so far."""
        return self._deltas.outputs()


def _ignore(_: Any) -> None:
    """Replaces reading chunks after one could not be read."""
