"""The tests that every adapter must pass."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, TypeAlias

from trace_core import semconv
from trace_core._model.json import to_json
from trace_core._model.parts import StatusCode
from trace_core._model.span import Span
from trace_core._sinks.memory import MemorySink
from trace_core._tracing.context import suppress
from trace_core._tracing.tracer import Tracer
from trace_core.streams import is_stream
from trace_core.testing._doubles import check

MakeCall: TypeAlias = Callable[[], Any]


class AdapterContract:
    """The tests that every adapter must pass, to inherit for an adapter of your own.

    Subclass it in a test module, give it `adapter`, `calls` and `failures`, and pytest runs the
    tests::

        class TestMyAdapter(AdapterContract):
            secret = "the API key that the calls use"

            def adapter(self, tracer):
                return instrument(tracer)

            def calls(self):
                return {"ask": lambda: client.ask("hi"), "stream": lambda: client.stream("hi")}

            def failures(self):
                return {"refused": lambda: client.ask("what is refused")}
    """

    secret = ""
    """What the calls use and no span may hold, such as an API key."""

    def adapter(self, tracer: Tracer) -> AbstractContextManager[object]:
        """Return the adapter, off; entering it turns it on, leaving it turns it off."""
        raise NotImplementedError("return an adapter that makes its spans by this tracer")

    def calls(self) -> Mapping[str, MakeCall]:
        """Return functions that make a call each, by name; made again, it has the same answer.

        They return what the library returns: an answer, a stream or, if the function is a
        coroutine function, what it is to be awaited for.
        """
        raise NotImplementedError("return calls that succeed, by name")

    def comparable(self, value: Any) -> Any:
        """Return what of an answer, or of an item of a stream, is the same when asked again.

        All of it by default. Without the ids, say, that a server makes up.

        Args:
            value: What the library returned.
        """
        return value

    def failures(self) -> Mapping[str, MakeCall]:
        """Return functions that make a call each that raises, by name."""
        raise NotImplementedError("return calls that raise, by name")

    def test_a_call_has_one_span(self) -> None:
        """Each call has one span, whole when its answer or its stream is."""
        for name, call in self.calls().items():
            spans = self._traced(call)
            check(len(spans) == 1, f"{name}: {len(spans)} spans: {[s.name for s in spans]}")
            (span,) = spans
            check(span.status.code is StatusCode.OK, f"{name}: the status is {span.status}")
            check(span.inputs, f"{name}: the span has no inputs")
            check(span.outputs, f"{name}: the span has no outputs")
            check(semconv.OPERATION_NAME in span.attributes, f"{name}: no gen_ai.operation.name")

    def test_the_caller_gets_the_same(self) -> None:
        """Answers, streams and their items are what they are without tracing."""
        for name, call in self.calls().items():
            plain = _made(call)
            with self.adapter(Tracer(MemorySink())):
                traced = _made(call)
            wanted, got = type(plain.result), type(traced.result)
            check(isinstance(traced.result, wanted), f"{name}: a {got} instead of a {wanted}")
            before, now = self._values(plain), self._values(traced)
            check(now == before, f"{name}: {now}, and without tracing {before}")

    def test_errors_pass_unchanged(self) -> None:
        """What is raised is the library's own; its span says what, and has failed."""
        for name, call in self.failures().items():
            plain, sink = _raised(call), MemorySink()
            with self.adapter(Tracer(sink)):
                error = _raised(call)
            check(type(error) is type(plain), f"{name}: {error!r} instead of {plain!r}")
            check(str(error) == str(plain), f"{name}: {error} instead of {plain}")
            failed = [span for span in sink.spans if span.status.code is StatusCode.ERROR]
            check(len(sink.spans) == len(failed) == 1, f"{name}: the spans are {sink.spans}")
            check(semconv.ERROR_TYPE in failed[0].attributes, f"{name}: no error.type")

    def test_our_trouble_costs_the_caller_nothing(self) -> None:
        """With a sink and an id generator that raise, each call gives what it gives."""
        for name, call in self.calls().items():
            for broken in (Tracer(_raise), Tracer(MemorySink(), ids=_NoIds())):
                broken.on_error = _ignore
                plain = self._values(_made(call))
                with self.adapter(broken):
                    check(self._values(_made(call)) == plain, f"{name}: not as without tracing")

    def test_streams_that_are_not_read_to_their_end(self) -> None:
        """A stream that is dropped after its first item ends its span and says how."""
        for name, call in self.calls().items():
            sink = MemorySink()
            with self.adapter(Tracer(sink)):
                streamed = asyncio.run(_drop(call))
            gc.collect()
            if streamed:
                endings = [span.attributes.get(semconv.STREAM_ENDING) for span in sink.spans]
                check(len(endings) == 1 and endings[0], f"{name}: the streams ended as {endings}")

    def test_calls_nest(self) -> None:
        """The span of a call is a child of the span around it."""
        for name, call in self.calls().items():
            sink = MemorySink()
            tracer = Tracer(sink)
            with self.adapter(tracer), tracer.span("around") as around:
                _made(call)
            inner = [span for span in sink.spans if span.span_id != around.span_id]
            parents = {span.parent_id for span in inner}
            check(parents == {around.span_id}, f"{name}: the parents are {parents}")

    def test_it_can_be_turned_off(self) -> None:
        """There is no span after the adapter is off, and none where tracing is suppressed."""
        for name, call in self.calls().items():
            sink = MemorySink()
            with self.adapter(Tracer(sink)), suppress():
                _made(call)
            check(not sink.spans, f"{name}: spans although tracing is suppressed")
            _made(call)
            check(not sink.spans, f"{name}: spans although the adapter is off")

    def test_secrets_are_not_recorded(self) -> None:
        """No span holds the secret, even without redaction."""
        for name, call in {**self.calls(), **self.failures()}.items():
            sink = MemorySink()
            with self.adapter(Tracer(sink, redacted=False)):
                _settled(call)
            texts = [to_json(span) for span in sink.spans]
            found = self.secret and any(self.secret in text for text in texts)
            check(not found, f"{name}: the secret is in the span")

    def _values(self, made: _Made) -> list[Any]:
        return [self.comparable(value) for value in made.values]

    def _traced(self, call: MakeCall) -> list[Span]:
        sink = MemorySink()
        with self.adapter(Tracer(sink)):
            _made(call)
        return list(sink.spans)


class _NoIds:
    """An id generator that is out of order."""

    def trace_id(self) -> str:
        raise RuntimeError("no trace id")

    def span_id(self) -> str:
        raise RuntimeError("no span id")


def _raise(_: object) -> None:
    raise RuntimeError("this sink takes nothing")


def _ignore(_where: str, _error: BaseException) -> None:
    """Take an error that the test has provoked."""


class _Made(NamedTuple):
    """What a call has returned, and the answer: the items, if it is a stream."""

    result: Any
    values: list[Any]


def _made(call: MakeCall) -> _Made:
    """Make a call, and read the stream that it may return to its end."""
    return asyncio.run(_make(call))


async def _make(call: MakeCall) -> _Made:
    result = call()
    if hasattr(result, "__await__"):
        result = await result
    if hasattr(type(result), "__anext__"):
        return _Made(result, [item async for item in result])
    return _Made(result, list(result) if is_stream(result) else [result])


def _raised(call: MakeCall) -> BaseException | None:
    """Make a call that raises, perhaps when its stream is read, and return the exception."""
    try:
        _made(call)
    except Exception as error:
        return error
    return None


def _settled(call: MakeCall) -> None:
    _raised(call)


async def _drop(call: MakeCall) -> bool:
    """Make a call, read one item of a stream and drop it; return whether it was a stream."""
    result = call()
    if hasattr(result, "__await__"):
        result = await result
    if hasattr(type(result), "__anext__"):
        await anext(result)
    elif is_stream(result):
        next(result)
    return is_stream(result)
