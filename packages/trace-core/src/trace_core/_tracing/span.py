"""The span while it is open: what the thread that makes the call sets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from trace_core import semconv
from trace_core._model.checks import wrong_type
from trace_core._model.parts import Cost, Event, Scope, SpanContext, SpanKind, Status, TokenUsage
from trace_core._model.span import SETTABLE
from trace_core._model.values import Value, snapshot_mapping
from trace_core._tracing.exceptions import describe
from trace_core._tracing.ids import Clock, SystemClock
from trace_core._tracing.stacks import Place


class Opener(Protocol):
    """What an open span needs of the tracer that opened it."""

    clock: Clock
    scope: Scope
    resource: Mapping[str, Value]

    def _finish(self, span: OpenSpan, error: BaseException | None) -> None: ...


class OpenSpan:
    """A span that has not ended yet. Not for two threads at once, but `end` may race.

    Plain data for the most part: `trace_core._tracing.freeze` makes the span that sinks get
    from it, on the sink's thread. A span that is collected without having ended is ended as
    abandoned.
    """

    __slots__ = (
        "__weakref__",
        "_once",
        "attributes",
        "before_end",
        "complete",
        "cost",
        "end_ns",
        "events",
        "inputs",
        "kind",
        "name",
        "outputs",
        "parent_id",
        "span_id",
        "start_ns",
        "start_perf_ns",
        "status",
        "trace_id",
        "tracer",
        "usage",
    )

    def __init__(
        self,
        tracer: Opener,
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
        self.start_perf_ns = clock.perf_ns()
        self.end_ns = 0
        self.tracer = tracer
        self.events: list[Event] | None = None  # most spans have none
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
        # Whoever pops it first ends the span: atomic, unlike a flag. Set last, so that a span
        # whose construction failed has nothing to end.
        self._once = [True]

    def __repr__(self) -> str:
        from trace_core._view import units  # most programs print no span

        state = "ended" if self.ended else f"open for {units.seconds(self.elapsed_ns / 1e9)}"
        parts = f"{self.name}  {self.kind.value}  {state}"
        return f"<OpenSpan {parts}  ({self.trace_id}/{self.span_id})>"

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
        return self.tracer.clock.perf_ns() - self.start_perf_ns

    @property
    def since_end_ns(self) -> int:
        """Nanoseconds since it ended."""
        return self.elapsed_ns - (self.end_ns - self.start_ns)

    def start_with(self, other: OpenSpan) -> None:
        """Take over the start of another span: for work that is noticed only after it is done.

        Args:
            other: The span whose start is taken.
        """
        self.start_ns, self.start_perf_ns = other.start_ns, other.start_perf_ns

    def set(self, attributes: Mapping[str, object] | None = None, /, **fields: object) -> OpenSpan:
        """Set attributes by full name, and fields by keyword.

        Args:
            attributes: Attributes to add.
            **fields: ``name``, ``kind``, ``inputs``, ``outputs``, ``usage``, ``cost``,
                ``status``. A snapshot is taken of inputs and outputs; a kind or a status may be
                given by its name, such as ``"LLM"``.

        Returns:
            The span itself.

        Raises:
            AttributeError: There is no such field.
            TypeError: A value is of the wrong type. Nothing is set then.
            ValueError: There is no kind or status of that name. Nothing is set then.
        """
        added = snapshot_mapping(attributes) if attributes is not None else {}
        checked = {name: _check_field(name, value) for name, value in fields.items()}
        self.attributes.update(added)
        for name, value in checked.items():
            setattr(self, name, value)
        return self

    def event(self, name: str, attributes: Mapping[str, object] | None = None) -> None:
        """Record that something happened now.

        Args:
            name: What.
            attributes: More about it.

        Raises:
            TypeError: The name is not a text, or the attributes are not a mapping.
        """
        copied = snapshot_mapping(attributes) if attributes is not None else {}
        self.add_event(Event(name, self.start_ns + self.elapsed_ns, copied))

    def add_event(self, event: Event) -> None:
        """Record something that has happened already.

        Args:
            event: What, and when.
        """
        if self.events is None:
            self.events = []
        self.events.append(event)

    def fail(self, error: BaseException, called_from: Sequence[Place] = ()) -> None:
        """Mark the span as failed and record the exception, without ending it.

        Args:
            error: The exception. Its type, text and stack are kept, never the locals. The stack
                begins at the user's own line, and leaves frames of tracing out.
            called_from: Where the work was asked for, as `own_line` says, if the exception was
                raised on another thread or task.

        Raises:
            TypeError: It is no exception.
        """
        if not isinstance(error, BaseException):
            raise wrong_type("error", "an exception", error)
        status, attributes = describe(error, called_from)
        self.attributes.setdefault(semconv.ERROR_TYPE, attributes[semconv.EXCEPTION_TYPE])
        if self.status is None:
            self.status = status
        self.event(semconv.EXCEPTION_EVENT, attributes)

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
        self.tracer._finish(self, error)  # noqa: SLF001  # the other half of this method

    def forget(self) -> None:
        """End the span without recording it, and free what its hooks hold."""
        self._once.clear()
        self.before_end = self.complete = None

    def __del__(self) -> None:
        if getattr(self, "_once", None):
            self.attributes.setdefault(semconv.ENDING, "abandoned")
            self.end()


def _check_field(name: str, value: object) -> object:
    if name not in SETTABLE:
        raise AttributeError(
            f"a span has no field {name!r}; settable are {', '.join(sorted(SETTABLE))}; "
            "give attributes in a mapping"
        )
    return SETTABLE[name](value)


NO_ID: Final = "0" * 16
"""The span id of spans that are not recorded."""


class _NoTracer:
    """Stands for the tracer of spans that are not recorded."""

    clock: Clock = SystemClock()
    scope = Scope("")
    resource: Mapping[str, Value] = {}  # never written to

    def _finish(self, span: OpenSpan, error: BaseException | None) -> None:
        """Do nothing: such spans have ended already."""


_no_tracer: Final = _NoTracer()


def unrecorded_span(name: str, kind: SpanKind) -> OpenSpan:
    """Return a span that takes everything and is never recorded.

    Args:
        name: Its name.
        kind: Its kind.
    """
    span = OpenSpan(_no_tracer, "0" * 32, NO_ID, None, name, kind, None, {})
    span.forget()
    return span
