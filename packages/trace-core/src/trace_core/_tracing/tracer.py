"""The tracer as users call it: spans in ``with`` blocks, decorated functions, flush and close."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import TracebackType
from typing import TypeVar, overload

from trace_core._lifecycle import forget_handlers
from trace_core._model.parts import Scope, SpanKind
from trace_core._model.span import check_kind, check_name
from trace_core._model.values import snapshot, snapshot_mapping
from trace_core._sinks.base import deadline_after, seconds_left
from trace_core._tracing.context import get_current, not_stale
from trace_core._tracing.decorator import decorate
from trace_core._tracing.recorder import Recorder
from trace_core._tracing.span import OpenSpan

F = TypeVar("F", bound=Callable[..., object])


class Tracer(Recorder):
    """Opens spans and hands ended ones to a sink. Safe to share between threads.

    Args:
        sink: Where spans go: a sink, or a function of a batch of spans.
        clock: Where time comes from.
        ids: Where ids come from.
        bridges: Other tracing systems to nest with; those the sink brings by default.
        scope: What produces the spans.
        service: The ``service.name`` of the resource; ``OTEL_SERVICE_NAME`` by default.
        redacted: Whether to remove secrets from spans before they get to the sink;
            ``TRACE_REDACT`` by default, else yes. A sink that does so itself, such as those of
            `durable` and ``pipeline(redact(), sink=...)``, is left as it is.
        on_error: Told of errors inside tracing: where, and the exception. Logs by default;
            tests pass a function that raises or collects.

    Raises:
        ConfigurationError: ``sink`` is neither a sink nor a function, or an environment variable
            makes no sense.
    """

    _adapts = False
    """Whether this is the tracer of an adapter, not the program's own."""

    def with_scope(self, scope: Scope) -> Tracer:
        """Return a tracer for an adapter that shares everything with this one.

        Args:
            scope: What produces the other tracer's spans.
        """
        twin = object.__new__(Tracer)
        twin.__dict__.update(self.__dict__)
        twin.scope = scope
        twin._adapts = True
        twin._register()
        return twin

    def start(
        self,
        name: str,
        *,
        kind: SpanKind | str = SpanKind.INTERNAL,
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

        Raises:
            TypeError: A value is of the wrong type.
            ValueError: There is no such kind.
        """
        own = snapshot_mapping(attributes) if attributes is not None else {}
        return self.open(check_name(name), check_kind(kind), snapshot(inputs), own)

    def span(
        self,
        name: str,
        *,
        kind: SpanKind | str = SpanKind.INTERNAL,
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
            raises. Entering it raises what `start` raises.
        """
        return SpanScope(self, name, kind, inputs, attributes)

    @overload
    def trace(self, function: F, /) -> F: ...

    @overload
    def trace(
        self, /, *, name: str | None = None, kind: SpanKind | str = SpanKind.INTERNAL
    ) -> Callable[[F], F]: ...

    def trace(
        self,
        function: F | None = None,
        /,
        *,
        name: str | None = None,
        kind: SpanKind | str = SpanKind.INTERNAL,
    ) -> F | Callable[[F], F]:
        """Decorate a function, coroutine function or generator with a span per call.

        Args:
            function: What to decorate, when used without parentheses.
            name: What to call the spans; the function's qualified name by default.
            kind: What they stand for.

        Returns:
            The decorated function, of the same kind.

        Raises:
            TypeError: ``function`` cannot be called.
            ValueError: There is no such kind.
        """
        wrap = partial(decorate, self, name=name, kind=check_kind(kind))
        return wrap(function) if function is not None else wrap

    def current_span(self) -> OpenSpan | None:
        """Return the current span, if this tracer has opened it, or one that shares its sink.

        Such as to set more of it: ``tracer.current_span().set(...)``.
        """
        now = not_stale(get_current())
        found = self._open.get(now.span_id) if now is not None else None
        return found() if found is not None else None

    def serves(self, kind: SpanKind) -> bool:
        """Return whether a call made here serves another one that an adapter records already.

        LiteLLM calls models by OpenAI's SDK. If both are traced, the call has one span, and its
        tokens count once: the adapter for the SDK records nothing where this is true.

        Args:
            kind: What the call is; such as ``SpanKind.LLM``. Another one of this kind is around.
        """
        span = self.current_span()
        if span is None or span.kind is not kind:
            return False
        return isinstance(span.tracer, Tracer) and span.tracer._adapts  # noqa: SLF001  # a twin

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
        deadline = deadline_after(timeout)
        self.end_open_spans(timeout)
        self.sink.close(seconds_left(deadline))
        forget_handlers(self)


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
        kind: SpanKind | str,
        inputs: object,
        attributes: Mapping[str, object] | None,
    ) -> None:
        self._tracer = tracer
        self._arguments = (name, kind, inputs, attributes)

    def __repr__(self) -> str:
        return f"<SpanScope {self._arguments[0]!r}, for a with block>"

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
