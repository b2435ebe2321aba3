"""Nests our spans in OpenTelemetry's and OpenTelemetry's in ours, in the program that makes both.

Nothing is imported here that the program has not imported: what is needed is read from
``sys.modules``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from trace_core._model.parts import SpanContext
from trace_core._model.values import Value, snapshot
from trace_core._settings import setting
from trace_core._tracing.bridges import Bridge, nothing
from trace_core._tracing.span import OpenSpan

_TRACE: Final = "opentelemetry.trace"
_CONTEXT: Final = "opentelemetry.context"
_BAGGAGE: Final = "opentelemetry.baggage"
_SAMPLED: Final = 1
_PRIVATE: Final = ("trace.", "mlflow.")
"""Attributes that decide what sinks do: none for whoever sends a request with baggage."""


class OpenTelemetryBridge(Bridge):
    """Makes OpenTelemetry's current span the parent of ours, and ours OpenTelemetry's current one.

    So a request, the calls it makes and the HTTP requests of these are one trace. Costs next to
    nothing in a program that has not imported ``opentelemetry.trace``.

    Args:
        unsampled: Whether to record spans below a span that OpenTelemetry does not sample;
            ``TRACE_OTEL_UNSAMPLED`` by default, else no.
        baggage: Names of OpenTelemetry's baggage that become attributes of our spans;
            ``app.*`` stands for all that begin so, ``*`` for all. ``TRACE_OTEL_BAGGAGE`` by
            default, else none: whoever sends a request chooses its baggage.

    Raises:
        ConfigurationError: An environment variable makes no sense.
    """

    module = _TRACE
    separate = True

    def __init__(
        self, *, unsampled: bool | None = None, baggage: Sequence[str] | None = None
    ) -> None:
        self._unsampled = bool(setting("TRACE_OTEL_UNSAMPLED", unsampled))
        self._baggage = tuple(setting("TRACE_OTEL_BAGGAGE", baggage))
        self._found: _Api | None = None

    def _api(self) -> _Api | None:
        if self._found is None:
            module = sys.modules.get(_TRACE)
            # another thread may be importing it now
            if module is None or getattr(module.__spec__, "_initializing", False):
                return None
            self._found = _Api(module, sys.modules[_CONTEXT])
        return self._found

    def parent(self) -> SpanContext | None:
        """Return OpenTelemetry's current span, local or remote; it may be one of ours."""
        api = self._api()
        if api is None:
            return None
        span = api.current_span()
        if type(span) is api.our_span:
            ours: SpanContext | None = None if span.left else span.ours
            return ours
        if span is api.no_span or _represents_ours(span):
            return None
        context = span.get_span_context()
        if not context.is_valid:
            return None
        return SpanContext(f"{context.trace_id:032x}", f"{context.span_id:016x}")

    def is_sampled(self) -> bool:
        """Return whether OpenTelemetry samples its current span; always true with `unsampled`."""
        api = self._api()
        if api is None or self._unsampled:
            return True
        flags: int = api.current_span().get_span_context().trace_flags
        return bool(flags & _SAMPLED)

    def attributes(self) -> Mapping[str, Value]:
        """Return the chosen parts of OpenTelemetry's baggage."""
        baggage = sys.modules.get(_BAGGAGE) if self._baggage else None
        if baggage is None:
            return {}
        return {
            name: snapshot(value)
            for name, value in baggage.get_all().items()
            if any(_matches(name, wanted) for wanted in self._baggage)
        }

    def enter(self, span: OpenSpan) -> Callable[[], None]:
        """Make our span OpenTelemetry's current one.

        Not inside a span of another trace: OpenTelemetry's own trace stays whole.

        Args:
            span: Our span.

        Returns:
            A function that undoes it.
        """
        api = self._api()
        if api is None:
            return nothing
        outside = api.context.get_current()
        around = api.current_span(outside)
        if _represents_ours(around):  # another bridge has done it already
            return nothing
        trace_id, flags, state = int(span.trace_id, 16), api.sampled, None
        if around is not api.no_span:
            found = around.get_span_context()
            if found.is_valid and found.trace_id != trace_id:
                return nothing
            if found.is_valid:
                flags, state = found.trace_flags, found.trace_state
        context = api.span_context(trace_id, int(span.span_id, 16), False, flags, state)
        ours = api.our_span(context, around, span.context)
        inside = api.set_span_in_context(ours, outside)
        api.context.attach(inside)
        return partial(_leave, api.context, inside, outside, ours)


def _leave(api: Any, inside: Any, outside: Any, ours: Any) -> None:
    """Restore what was current, unless that was done, or this is another context.

    ``detach`` would log an error in those cases, which are none.
    """
    if api.get_current() is inside:
        api.attach(outside)
    else:
        ours.left = True


def _matches(name: str, wanted: str) -> bool:
    if not wanted.endswith("*"):
        return name == wanted
    return name.startswith(wanted[:-1]) and not name.startswith(_PRIVATE)


def _represents_ours(span: Any) -> bool:
    """Return whether a span stands for one of ours: see `stands_for_ours`."""
    return getattr(type(span), "stands_for_ours", None) is True


class _Api:
    """The parts of OpenTelemetry's API that the bridge uses.

    Args:
        trace: ``opentelemetry.trace``.
        context: ``opentelemetry.context``, which that imports.
    """

    def __init__(self, trace: Any, context: Any) -> None:
        self.context = context
        self.current_span = trace.get_current_span
        self.set_span_in_context = trace.set_span_in_context
        self.span_context = trace.SpanContext
        self.sampled = trace.TraceFlags(_SAMPLED)
        self.no_span = trace.INVALID_SPAN
        self.our_span = _span_class(trace)


def _span_class(trace: Any) -> Any:
    """Return the class of the spans that represent ours in OpenTelemetry's context."""

    class OurSpan(trace.NonRecordingSpan):  # type: ignore[misc]  # known at run time only
        """Has our ids. What is set on it goes to the program's own span around it, as without us.

        Args:
            context: Our ids, as OpenTelemetry has them.
            around: The span that was current.
            ours: Our ids.
        """

        left = False
        """Whether it was left while another one was current: it is no parent any more."""

        def __init__(self, context: Any, around: Any, ours: SpanContext) -> None:
            super().__init__(context)
            self.around: Any = around.around if type(around) is OurSpan else around
            self.ours = ours

        @property
        def context(self) -> Any:
            return self._context

        def __getattr__(self, name: str) -> Any:
            if name == "around":  # of a copy in the making
                raise AttributeError(name)
            return getattr(self.around, name)

    for name in _PASSED_ON:
        setattr(OurSpan, name, _passing_on(name))
    return OurSpan


_PASSED_ON: Final = (
    "add_event", "add_link", "is_recording", "record_exception", "set_attribute",
    "set_attributes", "set_status", "update_name",
)  # fmt: skip


def _passing_on(name: str) -> Callable[..., Any]:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(self.around, name)(*args, **kwargs)

    return method
