"""Streams: a proxy that is the stream in every visible way, and follows it to its end.

The proxy counts, times and hands on chunks as they pass and ends the span exactly once, however
the stream ends.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import pairwise
from typing import Any, Final

from trace_core import OpenSpan, Value, semconv
from trace_litellm._streams.deltas import Deltas

_perf_ns: Final = time.perf_counter_ns


class Watch:
    """Follows one stream: times its chunks, adds them up, ends its span once.

    Args:
        span: The call's span.
        deltas: Adds up the chunks.
        end: Ends the span, given the error if there was one.
        on_error: Told of trouble of ours, which costs the stream nothing.
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
        span.before_end = self._mark_ending

    def steps(self, step: Callable[[], Any]) -> Callable[[], Any]:
        """Return what takes the next chunk of a stream, and takes notice of it on its way.

        Args:
            step: The stream's ``__next__``.
        """
        # Paid for by every chunk, as its twin below: one function, and nothing looked up twice.
        times = self._times

        def taken() -> Any:
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
            except Exception as error:
                self._unreadable(chunk, error)
            return chunk

        return taken

    def async_steps(self, step: Callable[[], Awaitable[Any]]) -> Callable[[], Awaitable[Any]]:
        """Return what takes the next chunk of an asynchronous stream, and takes notice of it.

        Args:
            step: The stream's ``__anext__``.
        """
        times = self._times

        async def taken() -> Any:
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
            except Exception as error:
                self._unreadable(chunk, error)
            return chunk

        return taken

    def _unreadable(self, chunk: Any, error: Exception) -> None:
        self._on_error(f"reading a {type(chunk).__name__}", error)
        self._add = _ignore

    def end(self, ending: str, error: BaseException | None = None) -> None:
        """End the span, the first time.

        Args:
            ending: completed, abandoned, closed, cancelled or failed.
            error: What was raised into the caller, if anything.
        """
        if self._span.ended:
            return
        self._span.attributes[semconv.STREAM_ENDING] = ending
        self._end(error)

    def raised(self, error: BaseException) -> None:
        """End the span for an exception on its way to the caller."""
        if isinstance(error, (asyncio.CancelledError, GeneratorExit)):
            self.end("cancelled", error)
        else:
            self.end("failed", error)

    def _mark_ending(self) -> None:
        """Say so where nobody ended the stream and the program exits."""
        self._span.attributes.setdefault(semconv.STREAM_ENDING, "interrupted")

    def statistics(self) -> dict[str, Value]:
        """Work out counts and pauses, on the sink's thread.

        Returns:
            Attributes: chunk count, time to first chunk, longest and 95th percentile pause.
        """
        times = self._times
        found: dict[str, Value] = {semconv.STREAM_CHUNKS: len(times)}
        if times:
            found[semconv.RESPONSE_TIME_TO_FIRST_CHUNK] = self._first_ns / 1e9
        gaps = sorted(b - a for a, b in pairwise(times))
        if gaps:
            found[semconv.STREAM_GAP_MAX] = gaps[-1] / 1e9
            found[semconv.STREAM_GAP_P95] = gaps[max(0, -(-len(gaps) * 95 // 100) - 1)] / 1e9
        return found

    def tokens_per_second(self, tokens: int | None) -> float | None:
        """Return how fast an answer of so many tokens came, or ``None`` if it came at once."""
        if not tokens or len(self._times) < 2 or self._times[-1] == self._times[0]:  # noqa: PLR2004
            return None
        return tokens / ((self._times[-1] - self._times[0]) / 1e9)


class ChunkEvents:
    """Adds up chunks, and keeps the first ones one by one, as events of the span.

    Args:
        span: The call's span.
        deltas: Adds up the chunks.
        most: How many events at the most.
    """

    def __init__(self, span: OpenSpan, deltas: Deltas, most: int) -> None:
        self._span, self._deltas = span, deltas
        self._most = most
        self._index = 0

    def add(self, chunk: Any) -> None:
        """Take a chunk."""
        if self._index < self._most:
            about = {semconv.CHUNK_INDEX: self._index, semconv.CHUNK_VALUE: chunk}
            self._span.event(semconv.CHUNK_EVENT, about)
            self._index += 1
        self._deltas.add(chunk)

    def outputs(self) -> Value:
        """Return the whole answer so far."""
        return self._deltas.outputs()


def _ignore(_: Any) -> None:
    """Stand in for reading chunks once one could not be read."""


_OWN: Final = ("_trace_inner", "_trace_watch", "_trace_resume", "_trace_next", "_trace_anext")


class StreamProxy:
    """Stands in for a stream: same class to ``isinstance``, same attributes, same items.

    Args:
        inner: The stream.
        watch: Follows it.
        resume: Makes a span current and returns what undoes it. For a stream that calls
            providers between its chunks, as the Router's do to fall back; around each step.
    """

    __slots__ = (*_OWN, "__weakref__")

    def __new__(cls, inner: Any, *_: Any) -> StreamProxy:  # noqa: PYI034  # of a class of its own
        """Make one that can be iterated over and entered in the ways the stream can."""
        return object.__new__(_class_for(type(inner)))

    def __init__(
        self, inner: Any, watch: Watch, resume: Callable[[], Callable[[], None]] | None = None
    ) -> None:
        put = object.__setattr__
        put(self, "_trace_inner", inner)
        put(self, "_trace_watch", watch)
        put(self, "_trace_resume", resume)
        _step_by(self, getattr(inner, "__next__", None) or partial(next, inner))
        _step_async_by(self, getattr(inner, "__anext__", None) or partial(anext, inner))

    @property  # type: ignore[misc]
    def __class__(self) -> type:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The stream's own class, which is what ``isinstance`` asks for."""
        return self._trace_inner.__class__  # type: ignore[no-any-return]

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._trace_inner, name)
        if name == "close":
            return _then(value, self._trace_watch)
        if name == "aclose":
            return _then_async(value, self._trace_watch)
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._trace_inner, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._trace_inner, name)

    def __dir__(self) -> list[str]:
        return dir(self._trace_inner)

    def __repr__(self) -> str:
        return repr(self._trace_inner)

    def __del__(self) -> None:
        watch = getattr(self, "_trace_watch", None)
        if watch is not None:
            watch.end("abandoned")


class _Ways(StreamProxy):
    """The ways to iterate over a stream and to enter it. Each proxy has those of its stream."""

    __slots__ = ()

    def __iter__(self) -> StreamProxy:
        iterator = iter(self._trace_inner)
        if iterator is not self._trace_inner:
            _step_by(self, iterator.__next__)
        return self

    def __next__(self) -> Any:
        return self._trace_next()

    def __aiter__(self) -> StreamProxy:
        iterator = aiter(self._trace_inner)
        if iterator is not self._trace_inner:
            _step_async_by(self, iterator.__anext__)
        return self

    def __anext__(self) -> Awaitable[Any]:
        return self._trace_anext()  # type: ignore[no-any-return]

    def __enter__(self) -> Any:
        entered = self._trace_inner.__enter__()
        return self if entered is self._trace_inner else entered

    def __exit__(self, *details: object) -> Any:
        try:
            return self._trace_inner.__exit__(*details)
        finally:
            self._trace_watch.end("closed")

    async def __aenter__(self) -> Any:
        entered = await self._trace_inner.__aenter__()
        return self if entered is self._trace_inner else entered

    async def __aexit__(self, *details: object) -> Any:
        try:
            return await self._trace_inner.__aexit__(*details)
        finally:
            self._trace_watch.end("closed")


_WAYS: Final = {name: way for name, way in vars(_Ways).items() if callable(way)}
_classes: Final[dict[tuple[str, ...], type[StreamProxy]]] = {}


def _class_for(stream: type) -> type[StreamProxy]:
    """Return a class of proxies that shows what a class of streams does, and no more.

    Programs ask with ``hasattr`` or ``isinstance`` whether they have got an asynchronous one.
    """
    names = tuple([name for name in _WAYS if hasattr(stream, name)])
    known = _classes.get(names)
    if known is None:
        methods = {name: _WAYS[name] for name in names}
        known = _classes[names] = type("StreamProxy", (StreamProxy,), {"__slots__": (), **methods})
    return known


def _step_by(proxy: StreamProxy, step: Callable[[], Any]) -> None:
    """Let a proxy take its chunks from here."""
    resume: Callable[[], Callable[[], None]] | None = proxy._trace_resume  # noqa: SLF001
    step = step if resume is None else _inside(resume, step)
    object.__setattr__(proxy, "_trace_next", proxy._trace_watch.steps(step))  # noqa: SLF001


def _step_async_by(proxy: StreamProxy, step: Callable[[], Awaitable[Any]]) -> None:
    resume: Callable[[], Callable[[], None]] | None = proxy._trace_resume  # noqa: SLF001
    step = step if resume is None else _inside_async(resume, step)
    object.__setattr__(proxy, "_trace_anext", proxy._trace_watch.async_steps(step))  # noqa: SLF001


def _inside(resume: Callable[[], Callable[[], None]], step: Callable[[], Any]) -> Callable[[], Any]:
    def inside() -> Any:
        leave = resume()
        try:
            return step()
        finally:
            leave()

    return inside


def _inside_async(
    resume: Callable[[], Callable[[], None]], step: Callable[[], Awaitable[Any]]
) -> Callable[[], Awaitable[Any]]:
    async def inside() -> Any:
        leave = resume()
        try:
            return await step()
        finally:
            leave()

    return inside


def _then(close: Callable[..., Any], watch: Watch) -> Callable[..., Any]:
    def closing(*args: Any, **kwargs: Any) -> Any:
        try:
            return close(*args, **kwargs)
        finally:
            watch.end("closed")

    return closing


def _then_async(
    aclose: Callable[..., Awaitable[Any]], watch: Watch
) -> Callable[..., Awaitable[Any]]:
    async def closing(*args: Any, **kwargs: Any) -> Any:
        try:
            return await aclose(*args, **kwargs)
        finally:
            watch.end("closed")

    return closing


_streams: Final[dict[type, bool]] = {}
_MAX_TYPES: Final = 1_024  # LiteLLM makes some stream classes anew for each call


def is_stream(result: object) -> bool:
    """Tell whether a call's result is something to iterate over, rather than an answer."""
    cls = type(result)
    known = _streams.get(cls)
    if known is None:
        known = hasattr(cls, "__next__") or hasattr(cls, "__anext__")
        if len(_streams) < _MAX_TYPES:
            _streams[cls] = known
    return known
