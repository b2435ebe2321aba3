"""Streams: a proxy that is the stream in every visible way, and what its chunks add up to.

The proxy counts, times and aggregates chunks as they pass and ends the span exactly once, however
the stream ends. Deltas are taken from the models' own dictionaries: asking a pydantic model for
an extra field by name costs two microseconds, ten times what a whole chunk may cost us.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol

from trace_core import OpenSpan, Value, semconv, snapshot

_TEXTS: Final = frozenset({"content", "reasoning_content", "refusal"})
_perf_ns: Final = time.perf_counter_ns


class Deltas(Protocol):
    """Adds up the chunks of one family of streams."""

    def add(self, chunk: Any) -> None:
        """Take what is new in a chunk, keeping nothing of the chunk itself."""
        ...

    def outputs(self) -> Value:
        """Return the whole answer so far, in the shape of one that was not streamed."""
        ...


class ChatDeltas:
    """Adds up chat completion chunks, per choice."""

    def __init__(self) -> None:
        self._choices: dict[int, _Choice] = {}
        self._head: dict[str, Value] = {}
        self._usage: Value = None

    def add(self, chunk: Any) -> None:
        """Take a chunk's deltas."""
        fields = chunk.__dict__
        if not self._head:
            self._head = {name: fields.get(name) for name in ("id", "created", "model")}
        for choice in fields["choices"]:
            self._add_choice(choice)
        usage = fields.get("usage") or _extra(chunk).get("usage")
        if usage is not None:
            self._usage = snapshot(usage)

    def _add_choice(self, choice: Any) -> None:
        fields = choice.__pydantic_extra__  # where current releases keep everything
        if not fields or "delta" not in fields:
            fields = {**choice.__dict__, **(fields or {})}
        index = fields.get("index") or 0
        into = self._choices.get(index)
        if into is None:
            into = self._choices[index] = _Choice(index)
        if fields.get("finish_reason") is not None:
            into.finish_reason = fields["finish_reason"]
        delta = fields.get("delta")
        if delta is None:
            return
        for name, value in delta.__dict__.items():
            if value is not None:
                into.add(name, value)
        for name, value in _extra(delta).items():
            if value is not None:
                into.add(name, value)

    def outputs(self) -> Value:
        """Return a chat completion with what has arrived."""
        choices = tuple(self._choices[index].to_value() for index in sorted(self._choices))
        result: dict[str, Value] = {**self._head, "object": "chat.completion", "choices": choices}
        if self._usage is not None:
            result["usage"] = self._usage
        return result


def _extra(model: Any) -> Mapping[str, Any]:
    return model.__pydantic_extra__ or {}


class _Choice:
    """What has arrived for one choice."""

    __slots__ = ("_lists", "_rest", "_texts", "finish_reason", "index")

    def __init__(self, index: int) -> None:
        self.index = index
        self.finish_reason: Value = None
        self._texts: dict[str, list[str]] = {}
        self._lists: dict[str, dict[object, dict[str, Any]]] = {}
        self._rest: dict[str, Value] = {}

    def add(self, name: str, value: Any) -> None:
        """Take one field of a delta."""
        if name in _TEXTS and value.__class__ is str:
            texts = self._texts.get(name)
            if texts is None:
                self._texts[name] = [value]
            else:
                texts.append(value)
        elif name == "tool_calls" and isinstance(value, list):
            for part in value:
                self._merge(name, snapshot(part))
        elif name == "thinking_blocks" and isinstance(value, list):
            for part in value:
                self._merge_block(snapshot(part))
        elif name != "role" or name not in self._rest:
            self._rest[name] = snapshot(value)

    def _merge(self, name: str, part: Value) -> None:
        """Add a tool call's delta to the call of the same index."""
        if not isinstance(part, Mapping):
            return
        calls = self._lists.setdefault(name, {})
        call = calls.setdefault(part.get("index") or 0, {})
        for key, value in part.items():
            if key == "function" and isinstance(value, Mapping):
                _merge_function(call.setdefault("function", {}), value)
            elif value is not None:
                call[key] = value

    def _merge_block(self, part: Value) -> None:
        """Add a thinking delta to the last block; a signature ends a block."""
        if not isinstance(part, Mapping):
            return
        blocks = self._lists.setdefault("thinking_blocks", {})
        last = blocks.get(len(blocks) - 1)
        if last is None or "signature" in last or last.get("type") != part.get("type"):
            last = blocks[len(blocks)] = {"type": part.get("type")}
        for key in ("thinking", "data"):
            if part.get(key):
                last[key] = f"{last.get(key, '')}{part[key]}"
        if part.get("signature"):
            last["signature"] = part["signature"]

    def to_value(self) -> Value:
        message: dict[str, Value] = {"role": "assistant", "content": None, **self._rest}
        message |= {name: "".join(texts) for name, texts in self._texts.items()}
        message |= {name: tuple(parts.values()) for name, parts in self._lists.items()}
        return {"index": self.index, "finish_reason": self.finish_reason, "message": message}


def _merge_function(into: dict[str, Any], part: Mapping[str, Any]) -> None:
    if part.get("name"):
        into["name"] = part["name"]
    into["arguments"] = f"{into.get('arguments', '')}{part.get('arguments') or ''}"


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
        self._deltas = deltas
        self._end = end
        self._on_error = on_error
        self._count = 0
        self._first_ns = 0
        self._last_ns = 0
        self._gap_ns = 0
        self._take = deltas.add
        self._broken = False
        span.before_end = self._fill

    def chunk(self, chunk: Any) -> None:
        """Take notice of a chunk on its way to the caller."""
        now = _perf_ns()
        if self._count:
            gap = now - self._last_ns
            self._gap_ns = max(self._gap_ns, gap)
        else:
            self._first_ns = self._span.elapsed_ns
        self._last_ns = now
        self._count += 1
        try:
            self._take(chunk)
        except Exception as error:
            if not self._broken:
                self._broken = True
                self._on_error(f"reading a {type(chunk).__name__}", error)

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

    def _fill(self) -> None:
        """Write what is known on the span, right before it ends for whatever reason."""
        found = self._span.attributes
        found.setdefault(semconv.STREAM_ENDING, "interrupted")
        found[semconv.STREAM_CHUNKS] = self._count
        if self._count:
            found[semconv.RESPONSE_TIME_TO_FIRST_CHUNK] = self._first_ns / 1e9
            found[semconv.STREAM_GAP_MAX] = self._gap_ns / 1e9
        self._span.outputs = self._deltas.outputs()


_OWN: Final = ("_trace_inner", "_trace_watch", "_trace_next", "_trace_anext")


class StreamProxy:
    """Stands in for a stream: same class to ``isinstance``, same attributes, same items."""

    __slots__ = (*_OWN, "__weakref__")

    def __init__(self, inner: Any, watch: Watch) -> None:
        put = object.__setattr__
        put(self, "_trace_inner", inner)
        put(self, "_trace_watch", watch)
        put(self, "_trace_next", getattr(inner, "__next__", None))
        put(self, "_trace_anext", getattr(inner, "__anext__", None))

    @property  # type: ignore[misc]
    def __class__(self) -> type:  # isinstance() asks for it
        return self._trace_inner.__class__  # type: ignore[no-any-return]

    def __iter__(self) -> StreamProxy:
        iterator = iter(self._trace_inner)
        if iterator is not self._trace_inner:
            object.__setattr__(self, "_trace_next", iterator.__next__)
        return self

    def __next__(self) -> Any:
        try:
            chunk = self._trace_next()
        except StopIteration:
            self._trace_watch.end("completed")
            raise
        except BaseException as error:
            self._trace_watch.raised(error)
            raise
        self._trace_watch.chunk(chunk)
        return chunk

    def __aiter__(self) -> StreamProxy:
        iterator = aiter(self._trace_inner)
        if iterator is not self._trace_inner:
            object.__setattr__(self, "_trace_anext", iterator.__anext__)
        return self

    async def __anext__(self) -> Any:
        try:
            chunk = await self._trace_anext()
        except StopAsyncIteration:
            self._trace_watch.end("completed")
            raise
        except BaseException as error:
            self._trace_watch.raised(error)
            raise
        self._trace_watch.chunk(chunk)
        return chunk

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

    def __del__(self) -> None:
        watch = getattr(self, "_trace_watch", None)
        if watch is not None:
            watch.end("abandoned")


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


def is_stream(result: object) -> bool:
    """Tell whether a call's result is something to iterate over, rather than an answer."""
    cls = type(result)
    return hasattr(cls, "__next__") or hasattr(cls, "__anext__")
