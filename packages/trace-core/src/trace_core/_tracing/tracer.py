"""The tracer: opens spans, knows which one is current, and hands finished ones to a sink."""

from __future__ import annotations

import functools
import os
import platform
import random
import time
import traceback
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextvars import Token
from functools import partial
from operator import attrgetter
from types import FrameType, TracebackType
from typing import Final, Protocol, TypeVar, overload

from trace_core import semconv
from trace_core._delivery.size import rough_size
from trace_core._lifecycle import after_fork, at_exit, forget_handlers
from trace_core._log import report, text_of
from trace_core._model.span import (
    Cost,
    Event,
    Scope,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TokenUsage,
)
from trace_core._model.values import Value, class_name, snapshot
from trace_core._sinks.base import SinkLike, as_sink
from trace_core._tracing.context import (
    Current,
    current,
    inherited,
    suppressed,
)

F = TypeVar("F", bound=Callable[..., object])
OK: Final = Status(StatusCode.OK)
_IDS_AT_ONCE: Final = 64


class Clock(Protocol):
    """Where time comes from."""

    def time_ns(self) -> int:
        """Nanoseconds since the epoch; read once, at a span's start."""
        ...

    def perf_ns(self) -> int:
        """Monotonic nanoseconds; durations are differences of these."""
        ...


class SystemClock:
    """The system's wall clock and its performance counter."""

    time_ns = staticmethod(time.time_ns)
    perf_ns = staticmethod(time.perf_counter_ns)


class IdGenerator(Protocol):
    """Where ids come from."""

    def trace_id(self) -> str:
        """Return 32 lower-case hexadecimal digits, not all zero."""
        ...

    def span_id(self) -> str:
        """Return 16 lower-case hexadecimal digits, not all zero."""
        ...


class RandomIds:
    """Random ids from a generator of our own, so that ``random.seed`` changes nothing.

    Made many at a time: taking one from a list costs a fraction of making it. A forked child begins
    anew: parent and child would give out the same ids otherwise.
    """

    def __init__(self) -> None:
        self._random = random.Random()  # noqa: S311  # ids need to differ, not to be secret
        self._trace_ids: list[str] = []
        self._span_ids: list[str] = []
        after_fork(self._random_again)

    def _random_again(self) -> None:
        self._random.seed()
        self._trace_ids.clear()
        self._span_ids.clear()

    def trace_id(self) -> str:
        """Return 32 lower-case hexadecimal digits."""
        try:
            return self._trace_ids.pop()
        except IndexError:
            return self._refill(self._trace_ids, 16)

    def span_id(self) -> str:
        """Return 16 lower-case hexadecimal digits."""
        try:
            return self._span_ids.pop()
        except IndexError:
            return self._refill(self._span_ids, 8)

    def _refill(self, ids: list[str], size: int) -> str:
        made = self._random.randbytes(size * _IDS_AT_ONCE).hex(" ", size).split(" ")
        zero = "00" * size
        first, *rest = [one for one in made if one != zero] if zero in made else made
        ids += rest
        return first


class Bridge(Protocol):
    """Connects another tracing system, so that spans of both nest in each other.

    All methods run on the caller's thread, must be quick and may raise: what they raise is
    reported and costs the nesting, never the call or the span.
    """

    def parent(self) -> SpanContext | None:
        """Return the other system's current span."""
        ...

    def attributes(self) -> Mapping[str, Value]:
        """Return what only this moment knows: experiment, run, session. Travels on the span."""
        ...

    def enter(self, span: OpenSpan) -> Callable[[], None]:
        """Make our span the other system's current one; the result undoes it."""
        ...

    def ended(self, span: Span) -> None:
        """Take notice of a finished span of ours."""
        ...


class OpenSpan:
    """A span that has not ended yet. Not for two threads at once, but `end` may race.

    One that is dropped without an end is ended as abandoned when it is collected.
    """

    __slots__ = (
        "__weakref__",
        "_events",
        "_once",
        "_start_perf",
        "_tracer",
        "attributes",
        "before_end",
        "complete",
        "cost",
        "end_ns",
        "inputs",
        "kind",
        "name",
        "outputs",
        "parent_id",
        "span_id",
        "start_ns",
        "status",
        "trace_id",
        "usage",
    )

    def __init__(
        self,
        tracer: Tracer,
        trace_id: str,
        span_id: str,
        parent_id: str | None,
        name: str,
        kind: SpanKind,
        inputs: Value,
        attributes: dict[str, Value],
    ) -> None:
        clock = tracer.clock
        self.start_ns = clock.time_ns()
        self._start_perf = clock.perf_ns()
        self.end_ns = 0
        self._tracer = tracer
        self._events: list[Event] | None = None  # most spans have none
        self.trace_id = trace_id
        self.span_id = span_id
        self.parent_id = parent_id
        self.name = name
        self.kind = kind
        self.inputs = inputs
        self.outputs: Value = None
        self.usage: TokenUsage | None = None
        self.cost: Cost | None = None
        self.status: Status | None = None
        self.attributes = attributes
        self.before_end: Callable[[], None] | None = None
        """Called once, right before the span ends for whatever reason, to set what is known."""
        self.complete: Callable[[OpenSpan], None] | None = None
        """Work on the ended span that the caller need not wait for; see `end`."""
        # Popped by whoever ends it first: atomic, unlike a flag. Last, so that a span whose
        # making failed half way has nothing to end.
        self._once = [True]

    @property
    def context(self) -> SpanContext:
        """Its identity."""
        return SpanContext(self.trace_id, self.span_id)

    @property
    def ended(self) -> bool:
        """Whether `end` was called."""
        return not self._once

    @property
    def elapsed_ns(self) -> int:
        """Nanoseconds since its start."""
        return self._tracer.clock.perf_ns() - self._start_perf

    def start_with(self, other: OpenSpan) -> None:
        """Let the span begin when another did: for work that is noticed only once it is over.

        Args:
            other: The span whose start is taken.
        """
        self.start_ns, self._start_perf = other.start_ns, other._start_perf

    def set(self, attributes: Mapping[str, object] | None = None, /, **fields: object) -> OpenSpan:
        """Set attributes by full name, and fields by keyword.

        Args:
            attributes: Attributes to add.
            **fields: ``name``, ``kind``, ``inputs``, ``outputs``, ``usage``, ``cost``,
                ``status``; inputs and outputs are normalised.

        Returns:
            The span itself.

        Raises:
            AttributeError: There is no such field.
        """
        for name, value in (attributes or {}).items():
            self.attributes[name] = snapshot(value)
        for name, value in fields.items():
            if name not in _SETTABLE:
                raise AttributeError(
                    f"a span has no field {name!r}; settable are {', '.join(sorted(_SETTABLE))}; "
                    "give attributes in a mapping"
                )
            setattr(self, name, snapshot(value) if name in ("inputs", "outputs") else value)
        return self

    def event(self, name: str, attributes: Mapping[str, object] | None = None) -> None:
        """Record that something happened now.

        Args:
            name: What.
            attributes: More about it.
        """
        copied = {key: snapshot(value) for key, value in (attributes or {}).items()}
        self.add_event(Event(name, self.start_ns + self.elapsed_ns, copied))

    def add_event(self, event: Event) -> None:
        """Record what has happened already.

        Args:
            event: What, and when.
        """
        if self._events is None:
            self._events = []
        self._events.append(event)

    def fail(self, error: BaseException) -> None:
        """Mark the span as failed and record the exception, without ending it.

        Args:
            error: The exception. Its type, text and stack are kept, never the locals.
        """
        kind = qualified_name(type(error))
        text = text_of(error)
        self.attributes.setdefault(semconv.ERROR_TYPE, kind)
        if self.status is None:
            self.status = Status(StatusCode.ERROR, text or kind)
        self.event(
            semconv.EXCEPTION_EVENT,
            {
                semconv.EXCEPTION_TYPE: kind,
                semconv.EXCEPTION_MESSAGE: text,
                semconv.EXCEPTION_STACKTRACE: _stack_of(error, kind, text),
            },
        )

    def end(
        self,
        error: BaseException | None = None,
        *,
        complete: Callable[[OpenSpan], None] | None = None,
    ) -> None:
        """End the span and hand it to the sink; a second call does nothing. Never raises.

        Args:
            error: Why it failed, if it did.
            complete: Work on the ended span that the caller need not wait for, such as pricing
                it: sets its fields. Runs on the sink's thread when the sink has one, else here.
                Set it as `complete` beforehand to have it done too when nobody calls `end`.
        """
        try:
            self._once.pop()
        except IndexError:
            return
        if complete is not None:
            self.complete = complete
        self._tracer._finish(self, error)  # noqa: SLF001  # same module

    def rough_size(self) -> int:
        """Estimate how many bytes of memory the span takes, without looking into any text."""
        return rough_size(self.inputs, self.outputs, self.attributes)

    def forget(self) -> None:
        """End the span without recording it."""
        self._once.clear()
        self.before_end = self.complete = None

    def start_record(self) -> Span | None:
        """Return the span as it is now, without content and end; ``None`` if it has ended.

        What a sink writes down so that a call cut off by a crash is known to have begun.
        """
        if self.ended:
            return None
        return Span(
            self.context,
            self.parent_id,
            self.name,
            self.kind,
            self.start_ns,
            0,
            attributes=dict(self.attributes),
            scope=self._tracer.scope,
            resource=self._tracer.resource,
        )

    def finished(self) -> Span:
        """Return the ended span as sinks get it. Made where there is time: on the sink's thread.

        What the deferred work has done of it is kept when it fails.
        """
        complete, self.complete = self.complete, None  # it may hold the caller's stream
        if complete is not None:
            try:
                complete(self)
            except Exception as error:
                report("completing a span", error)
        return self.as_it_is()

    def as_it_is(self) -> Span:
        """Return the span as it is now: of an ended one, what there is without deferred work."""
        return Span(
            self.context,
            self.parent_id,
            self.name,
            self.kind,
            self.start_ns,
            self.end_ns,
            self.status or OK,
            self.inputs,
            self.outputs,
            self.usage,
            self.cost,
            self.attributes,
            tuple(sorted(self._events, key=attrgetter("time_ns"))) if self._events else (),
            self._tracer.scope,
            self._tracer.resource,
        )

    def __del__(self) -> None:
        if getattr(self, "_once", None):
            self.attributes.setdefault(semconv.ENDING, "abandoned")
            self.end()


_SETTABLE: Final = frozenset(
    {"name", "kind", "inputs", "outputs", "usage", "cost", "status"},
)


class SpanScope:
    """A span that is current inside a ``with`` or ``async with`` block.

    Args:
        tracer: Opens it.
        name: Its name.
        kind: What it stands for.
        inputs: What goes in.
        attributes: More about it, by full name.
    """

    __slots__ = ("_arguments", "_deactivate", "_open", "_tracer")

    def __init__(
        self,
        tracer: Tracer,
        name: str,
        kind: SpanKind,
        inputs: object,
        attributes: Mapping[str, object] | None,
    ) -> None:
        self._tracer = tracer
        self._arguments = (name, kind, inputs, attributes)

    def __enter__(self) -> OpenSpan:
        name, kind, inputs, attributes = self._arguments
        self._open = self._tracer.start(name, kind=kind, inputs=inputs, attributes=attributes)
        self._deactivate = self._tracer.activate(self._open)
        return self._open

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._deactivate()
        # A generator that is closed early ends its block by GeneratorExit: nothing went wrong.
        self._open.end(None if isinstance(error, GeneratorExit) else error)

    async def __aenter__(self) -> OpenSpan:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, trace)


class Tracer:
    """Opens spans and hands finished ones to a sink. Safe to share between threads.

    Args:
        sink: Where finished spans go: a sink, or a function of a batch of spans.
        clock: Where time comes from.
        ids: Where ids come from.
        bridges: Other tracing systems to nest with; those the sink brings by default.
        scope: What the spans are produced by.
        service: The ``service.name`` of the resource; ``OTEL_SERVICE_NAME`` by default.
        on_error: Told of trouble inside tracing: where, and the exception. Logs once by
            default; tests pass a function that raises or collects.

    Raises:
        ConfigurationError: ``sink`` is neither a sink nor a function.
    """

    def __init__(
        self,
        sink: SinkLike,
        *,
        clock: Clock | None = None,
        ids: IdGenerator | None = None,
        bridges: Sequence[Bridge] | None = None,
        scope: Scope | None = None,
        service: str | None = None,
        on_error: Callable[[str, BaseException], None] = report,
    ) -> None:
        self.sink = as_sink(sink)
        self.clock: Clock = clock or SystemClock()
        self._ids: IdGenerator = ids or RandomIds()
        found = self.sink.bridges if bridges is None else bridges
        self._bridges: tuple[Bridge, ...] = tuple(found)
        self.scope = scope or Scope("trace_core")
        """What the spans are produced by."""
        self.resource: Mapping[str, Value] = _resource(service)
        """Where the spans are produced: service, process, runtime."""
        self.on_error = on_error
        self._open: dict[str, weakref.ref[OpenSpan]] = {}
        self._write_later = self.sink.write_later
        self._note_start = self.sink.start_later if self.sink.takes_starts else None
        self._register()

    def _register(self) -> None:
        after_fork(self._forget_parents_spans)
        at_exit(self.end_open_spans)

    def _forget_parents_spans(self) -> None:
        """In a forked child: open spans are the parent's to end, and this is another process."""
        for span in self.open_spans:
            span.forget()
        self._open.clear()
        self.resource = {**self.resource, "process.pid": os.getpid()}

    def with_scope(self, scope: Scope) -> Tracer:
        """Return a tracer for another instrumentation that shares everything with this one.

        Args:
            scope: What the other tracer's spans are produced by.
        """
        twin = object.__new__(Tracer)
        twin.__dict__.update(self.__dict__)
        twin.scope = scope
        twin._register()
        return twin

    @property
    def open_spans(self) -> tuple[OpenSpan, ...]:
        """The spans started and not ended yet."""
        return tuple(s for s in (ref() for ref in list(self._open.values())) if s is not None)

    def start(
        self,
        name: str,
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        inputs: object = None,
        attributes: Mapping[str, object] | None = None,
    ) -> OpenSpan:
        """Open a span under the current one, without making it current.

        Args:
            name: What to call it.
            kind: What it stands for.
            inputs: What goes in; a snapshot is taken.
            attributes: More about it, by full name.

        Returns:
            The open span; whoever opened it ends it.
        """
        own = {key: snapshot(value) for key, value in attributes.items()} if attributes else {}
        return self.open(name, kind, snapshot(inputs), own)

    def open(
        self, name: str, kind: SpanKind, inputs: Value, attributes: dict[str, Value]
    ) -> OpenSpan:
        """Open a span of values that are plain and its own already: `start` without the copying.

        Args:
            name: What to call it.
            kind: What it stands for.
            inputs: What goes in, as `snapshot` returns it.
            attributes: More about it, by full name; the span keeps and changes this dictionary.

        Returns:
            The open span; whoever opened it ends it.
        """
        # One function, though a long one: every call of the user's pays for it, with cold caches.
        if suppressed.get():
            return self._inert(name, kind)
        try:
            here, above = current.get(), inherited.get()
            now: Current | SpanContext | None = here
            if self._bridges or above:
                now = self._innermost(here)
                attributes = {**self._surroundings(above), **attributes}
            ids = self._ids
            span_id = ids.span_id()
            if now is None:
                span = OpenSpan(self, ids.trace_id(), span_id, None, name, kind, inputs, attributes)
            else:
                span = OpenSpan(
                    self, now.trace_id, span_id, now.span_id, name, kind, inputs, attributes
                )
        except Exception as error:  # an id generator or a clock
            self.on_error("starting a span", error)
            return self._inert(name, kind)
        self._open[span_id] = reference = weakref.ref(span)
        if self._note_start is not None:
            try:
                self._note_start(reference)
            except Exception as error:
                self.on_error("noting that a span started", error)
        return span

    def _surroundings(self, above: Mapping[str, Value] | None) -> dict[str, Value]:
        """Collect the attributes that a span starting here takes over."""
        found = dict(above or ())
        self._add_foreign_attributes(found)
        return found

    def _add_foreign_attributes(self, own: dict[str, Value]) -> None:
        for bridge in self._bridges:
            try:
                own.update(bridge.attributes())
            except Exception as error:
                self.on_error("reading another tracer's context", error)

    def _inert(self, name: str, kind: SpanKind) -> OpenSpan:
        """Make a span that takes everything and is never recorded."""
        span = OpenSpan(_Inert(), "0" * 32, _NO_ID, None, name, kind, None, {})
        span.forget()
        return span

    def _innermost(self, now: Current | None) -> SpanContext | Current | None:
        """Return the innermost current span, ours or that of a bridged system."""
        seen = now.foreign if now else ()
        for index, foreign in enumerate(self._foreign()):
            known = seen[index] if index < len(seen) else None
            if foreign is not None and foreign.span_id != known:
                return foreign
        return now

    def _foreign(self) -> list[SpanContext | None]:
        return [self._ask_parent(bridge) for bridge in self._bridges]

    def _ask_parent(self, bridge: Bridge) -> SpanContext | None:
        try:
            return bridge.parent()
        except Exception as error:
            self.on_error("finding another tracer's parent", error)
            return None

    def activate(self, span: OpenSpan) -> Callable[[], None]:
        """Make a span current in this thread or task.

        Args:
            span: The span.

        Returns:
            A function that undoes it; call it once, in the same thread or task.
        """
        if span.span_id == _NO_ID:
            return _nothing
        if self._bridges:
            return self._activate_everywhere(span)
        now = Current(span.trace_id, span.span_id)
        return partial(_leave, now, current.set(now))

    def _activate_everywhere(self, span: OpenSpan) -> Callable[[], None]:
        """Make a span current here and in the bridged systems."""
        undo = [self._enter(bridge, span) for bridge in self._bridges]
        foreign = tuple(f.span_id if f else None for f in self._foreign())
        now = Current(span.trace_id, span.span_id, foreign)
        token = current.set(now)

        def leave() -> None:
            _leave(now, token)
            self._undo(undo)

        return leave

    def _enter(self, bridge: Bridge, span: OpenSpan) -> Callable[[], None]:
        try:
            return bridge.enter(span)
        except Exception as error:
            self.on_error("entering another tracer's context", error)
            return _nothing

    def _undo(self, undo: list[Callable[[], None]]) -> None:
        for step in reversed(undo):
            try:
                step()
            except Exception as error:
                self.on_error("leaving another tracer's context", error)

    def span(
        self,
        name: str,
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        inputs: object = None,
        attributes: Mapping[str, object] | None = None,
    ) -> SpanScope:
        """Open a span for a ``with`` or ``async with`` block and make it current inside.

        Args:
            name: What to call it.
            kind: What it stands for.
            inputs: What goes in; a snapshot is taken.
            attributes: More about it, by full name.

        Returns:
            A context manager that gives the open span and ends it, as failed if the block
            raises.
        """
        return SpanScope(self, name, kind, inputs, attributes)

    @overload
    def trace(self, function: F, /) -> F: ...

    @overload
    def trace(
        self, /, *, name: str | None = None, kind: SpanKind = SpanKind.INTERNAL
    ) -> Callable[[F], F]: ...

    def trace(
        self,
        function: F | None = None,
        /,
        *,
        name: str | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
    ) -> F | Callable[[F], F]:
        """Decorate a function, coroutine function or generator with a span per call.

        Args:
            function: What to decorate, when used without parentheses.
            name: What to call the spans; the function's qualified name by default.
            kind: What they stand for.

        Returns:
            The decorated function, of the same kind.
        """
        from trace_core._tracing.decorator import decorate

        if function is not None:
            return decorate(self, function, name, kind)
        return lambda f: decorate(self, f, name, kind)

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until the sink has delivered what it was given.

        Args:
            timeout: Seconds to wait at the most.

        Returns:
            Whether everything was delivered in time.
        """
        return self.sink.flush(timeout)

    def close(self, timeout: float = 5.0) -> None:
        """End every span still open as interrupted and close the sink.

        Args:
            timeout: Seconds to take at the most.
        """
        self.end_open_spans()
        self.sink.close(timeout)
        forget_handlers(self)

    def end_open_spans(self) -> None:
        """End every span still open, marked as interrupted: for the exit of a program."""
        for span in self.open_spans:
            span.attributes[semconv.ENDING] = "interrupted"
            span.end()

    def _finish(self, open_span: OpenSpan, error: BaseException | None) -> None:
        """Hand the ended span over. Runs in finalisers too: takes no lock."""
        try:
            self._open.pop(open_span.span_id, None)
            took = self.clock.perf_ns() - open_span._start_perf  # noqa: SLF001  # same module
            open_span.end_ns = open_span.start_ns + took
            if error is not None or open_span.before_end is not None:
                self._fill_in(open_span, error)
            if self._bridges:
                self._tell_bridges(open_span.as_it_is())
            self._write_later(open_span)
        except Exception as trouble:
            self.on_error("ending a span", trouble)

    def _fill_in(self, open_span: OpenSpan, error: BaseException | None) -> None:
        """Set what is known only now; if that fails, the span is recorded without it."""
        before_end, open_span.before_end = open_span.before_end, None  # may hold the stream
        try:
            if before_end is not None:
                before_end()
        except Exception as trouble:
            self.on_error("filling in a span at its end", trouble)
        if error is None:
            return
        try:
            open_span.fail(error)
        except Exception as trouble:
            open_span.status = Status(StatusCode.ERROR, class_name(type(error)))
            self.on_error("describing an exception", trouble)

    def _tell_bridges(self, span: Span) -> None:
        for bridge in self._bridges:
            try:
                bridge.ended(span)
            except Exception as trouble:
                self.on_error("telling another tracer of a span", trouble)


def _discard(_spans: Sequence[Span]) -> None:
    """Drop spans that are not recorded."""


_NO_ID: Final = "0" * 16


@functools.cache
def _Inert() -> Tracer:  # noqa: N802  # stands in for a constructor
    """Return the tracer of spans that are not recorded, whose clock cannot fail."""
    return Tracer(_discard)


def _leave(now: Current, token: Token[Current | None]) -> None:
    """Make what was current before current again."""
    try:
        current.reset(token)
    except (ValueError, RuntimeError):  # in another context there is nothing to go back to
        if current.get() is now:
            current.set(None)


def _nothing() -> None:
    """Nothing to undo."""


def _resource(service: str | None) -> Mapping[str, Value]:
    name = service or os.environ.get("OTEL_SERVICE_NAME")
    found: dict[str, Value] = {
        "process.pid": os.getpid(),
        "process.runtime.name": platform.python_implementation().lower(),
        "process.runtime.version": platform.python_version(),
    }
    if name:
        found[semconv.SERVICE_NAME] = name
    return found


def qualified_name(cls: type) -> str:
    """Return a class's name with its module, without ``builtins``."""
    module = cls.__module__
    return cls.__qualname__ if module == "builtins" else f"{module}.{cls.__qualname__}"


_FRAMES_KEPT: Final = 50  # of each end of a stack: recursion errors have a thousand


def _stack_of(error: BaseException, kind: str, text: str) -> str:
    """Write file, line and function of each frame: no locals, no source lines, no chained errors.

    Source lines are left out because reading them is a file access on the caller's thread.
    """
    frames = list(traceback.walk_tb(error.__traceback__))
    lines = [_frame(frame, line) for frame, line in frames[:_FRAMES_KEPT]]
    rest = frames[_FRAMES_KEPT:]
    if len(rest) > _FRAMES_KEPT:
        lines.append(f"  ... {len(rest) - _FRAMES_KEPT} more frames ...")
        rest = rest[-_FRAMES_KEPT:]
    lines += [_frame(frame, line) for frame, line in rest]
    return "\n".join(["Traceback (most recent call last):", *lines, f"{kind}: {text}"])


def _frame(frame: FrameType, line: int) -> str:
    code = frame.f_code
    return f'  File "{code.co_filename}", line {line}, in {code.co_name}'
