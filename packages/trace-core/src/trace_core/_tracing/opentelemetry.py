"""Nests our spans in OpenTelemetry's and OpenTelemetry's in ours, in the program that makes both.

Nothing is imported here that the program has not imported: what is needed is read from
``sys.modules``.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from functools import cached_property, partial
from typing import Any, Final

from trace_core._model.parts import SpanContext, unchecked_context
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
    shows_ours = True

    def __init__(
        self, *, unsampled: bool | None = None, baggage: Sequence[str] | None = None
    ) -> None:
        self._unsampled = bool(setting("TRACE_OTEL_UNSAMPLED", unsampled))
        self._baggage = tuple(setting("TRACE_OTEL_BAGGAGE", baggage))
        if self._baggage:  # otherwise nothing is asked for, which takes no time
            self.attributes = self._chosen_baggage  # type: ignore[method-assign]
        self._found: _Api | None = None
        self._last: tuple[Callable[[], Any], SpanContext | None] = (nothing, None)

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
        api = self._found or self._api()
        if api is None:
            return None
        span = api.get_current().get(api.key)
        if span is None:
            return None
        last, known = self._last
        if last() is span:
            return known
        if type(span) is api.our_span:
            ours: SpanContext | None = None if span.left else span.ours
            return ours
        return None if api.represents_ours(span) else self._read(api, span)

    def _read(self, api: _Api, span: Any) -> SpanContext | None:
        """Return the ids of a span of theirs; ``None`` if it has none.

        Those read last are kept, because several calls may be made in one span.
        """
        trace_id, span_id, _, flags, _, valid = api.parts_of(span.get_span_context())
        made = None
        if valid:
            made = unchecked_context(
                trace_id.to_bytes(16, "big").hex(),
                span_id.to_bytes(8, "big").hex(),
                sampled=self._unsampled or bool(flags & _SAMPLED),
            )
        self._last = (weakref.ref(span), made)
        return made

    def _chosen_baggage(self) -> Mapping[str, Value]:
        """Return the chosen parts of OpenTelemetry's baggage."""
        baggage = sys.modules.get(_BAGGAGE)
        if baggage is None:
            return {}
        return {
            name: snapshot(value)
            for name, value in baggage.get_all().items()
            if any(_matches(name, wanted) for wanted in self._baggage)
        }

    def enter(self, span: OpenSpan) -> Callable[[], None]:
        """Make our span OpenTelemetry's current one.

        Not inside a span of another trace: OpenTelemetry's own trace stays whole. Nor where there
        is no span, and no tracer provider to make one.

        Args:
            span: Our span.

        Returns:
            A function that undoes it.
        """
        api = self._found or self._api()
        if api is None:
            return nothing
        get_current, key, our_span, new_context, attach, leave = api.often_used
        outside = get_current()
        around = outside.get(key)
        last, theirs = self._last
        if around is None:
            if not (api.used or api.is_used()) or self._stands_back():
                return nothing
        elif last() is around:
            if theirs is not None and theirs.trace_id != span.trace_id:
                return nothing
        elif not self._may_enter(api, around, span.trace_id):
            return nothing
        ours = our_span()
        ours.trace_id, ours.span_id, ours.outside = span.trace_id, span.span_id, outside
        inside = new_context({**outside, key: ours})
        attach(inside)
        return partial(leave, ours, inside)

    def _may_enter(self, api: _Api, around: Any, trace_id: str) -> bool:
        """Return whether a span of a trace may be current inside another one."""
        if type(around) is api.our_span:
            return bool(around.trace_id == trace_id)
        if api.represents_ours(around):
            return False  # another bridge has done it already
        theirs = self._read(api, around)
        return theirs is None or theirs.trace_id == trace_id

    def _stands_back(self) -> bool:
        """Return whether our span must not be the current one where there is no other."""
        return False


def _matches(name: str, wanted: str) -> bool:
    if not wanted.endswith("*"):
        return name == wanted
    return name.startswith(wanted[:-1]) and not name.startswith(_PRIVATE)


class _Api:
    """The parts of OpenTelemetry's API that the bridge uses.

    A call of a Python function takes some thousand instructions, so calls are saved where the
    installed release is as expected: the current span is looked up by its key, the context is
    read from its variable, and the parts of a span's ids are taken from the tuple that they are.

    Args:
        trace: ``opentelemetry.trace``.
        context: ``opentelemetry.context``, which that imports.
    """

    def __init__(self, trace: Any, context: Any) -> None:
        self.get_current, attach = _access(context)
        (self.key,) = trace.set_span_in_context(trace.INVALID_SPAN, context.Context())
        self.our_span = _span_class(trace)
        self.often_used = (
            self.get_current, self.key, self.our_span, context.Context, attach,
            _leaving(self.get_current, attach),
        )  # fmt: skip
        self._trace = trace
        self.used = False
        self.parts_of: Callable[[Any], Any] = _parts_of
        probe = trace.SpanContext(1, 2, False, trace.TraceFlags(_SAMPLED))
        if isinstance(probe, tuple) and tuple(probe) == _parts_of(probe):
            self.parts_of = tuple

    def is_used(self) -> bool:
        """Return whether the program has set a tracer provider, which it can once.

        MLflow, for one, imports OpenTelemetry and has a provider of its own.
        """
        self.used = getattr(self._trace, "_TRACER_PROVIDER", self) is not None
        return self.used

    @staticmethod
    def represents_ours(span: Any) -> bool:
        """Return whether a span of another bridge represents ours, by its class."""
        return bool(getattr(type(span), "stands_for_ours", False))


def _access(context: Any) -> tuple[Callable[[], Any], Callable[[Any], Any]]:
    """Return what reads and sets the current context: its variable's methods, if it is one."""
    runtime = getattr(context, "_RUNTIME_CONTEXT", None)
    variable = getattr(runtime, "_current_context", None)
    plain = type(runtime).__name__ == "ContextVarsRuntimeContext"
    if plain and isinstance(variable, ContextVar) and variable.get() is context.get_current():
        return variable.get, variable.set
    return context.get_current, context.attach


def _leaving(get_current: Callable[[], Any], attach: Callable[[Any], Any]) -> Callable[..., None]:
    def leave(ours: _OurSpan, inside: Any) -> None:
        """Restore what was current, unless that was done, or this is another context.

        ``detach`` would log an error in those cases, which are none.
        """
        if get_current() is inside:
            attach(ours.outside)
        else:
            ours.left = True

    return leave


def _parts_of(ids: Any) -> tuple[int, int, bool, int, Any, bool]:
    """Return the parts of OpenTelemetry's ids."""
    flags = ids.trace_flags
    return ids.trace_id, ids.span_id, ids.is_remote, flags, ids.trace_state, ids.is_valid


_OWN: Final = frozenset({"trace_id", "span_id", "outside", "around"})
_PASSED_ON: Final = (
    "add_event", "add_link", "is_recording", "record_exception", "set_attribute",
    "set_attributes", "set_status", "update_name",
)  # fmt: skip


class _OurSpan:
    """Represents a span of ours in OpenTelemetry's context; `_span_class` adds their base class.

    Has our ids. What is set on it goes to the program's own span around it, as without us.

    Attributes:
        trace_id: Our trace.
        span_id: Our span.
        outside: The context that was current.
        left: Whether it was left while another one was current: it is no parent any more.
    """

    trace: Any
    trace_id: str
    span_id: str
    outside: Any
    left = False

    __init__ = object.__init__  # whoever makes it sets the attributes: that saves a call

    @cached_property
    def ours(self) -> SpanContext:
        """Our ids."""
        return unchecked_context(self.trace_id, self.span_id)

    @cached_property
    def around(self) -> Any:
        """The program's own span around it."""
        found = self.trace.get_current_span(self.outside)
        return found.around if isinstance(found, _OurSpan) else found

    @cached_property
    def context(self) -> Any:
        """Our ids as OpenTelemetry has them, with the flags of the span around ours."""
        around = self.around.get_span_context()
        return self.trace.SpanContext(
            int(self.trace_id, 16),
            int(self.span_id, 16),
            is_remote=False,
            trace_flags=(
                around.trace_flags if around.is_valid else self.trace.TraceFlags(_SAMPLED)
            ),
            trace_state=around.trace_state,
        )

    def get_span_context(self) -> Any:
        """Return our ids."""
        return self.context

    def __getattr__(self, name: str) -> Any:
        if name in _OWN:  # of a copy in the making
            raise AttributeError(name)
        return getattr(self.around, name)


def _span_class(trace: Any) -> Any:
    """Return the class of the spans that represent ours: one of OpenTelemetry's as well."""
    own = {"trace": trace, **{name: _passing_on(name) for name in _PASSED_ON}}
    return type("OurSpan", (_OurSpan, trace.NonRecordingSpan), own)


def _passing_on(name: str) -> Callable[..., Any]:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(self.around, name)(*args, **kwargs)

    return method
