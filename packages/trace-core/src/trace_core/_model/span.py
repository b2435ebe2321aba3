"""The finished span, whose fields are checked and converted when it is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from types import NoneType
from typing import Any, Final

import attrs

from trace_core._model import checks
from trace_core._model.parts import (
    CORE,
    NOTHING,
    UNSET,
    Cost,
    Event,
    Scope,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TokenUsage,
    check_mapping,
    member,
    replace_field,
)
from trace_core._model.values import Value, snapshot, snapshot_mapping


@attrs.frozen(repr=False)
class Span:
    """A finished piece of work, as sinks and processors see it.

    Change one with ``attrs.evolve``; the mappings in it are shared, so do not write to them. A
    kind or a status may be given by its name; anything else of the wrong type is refused, so that
    a span can always be written.

    Args:
        context: Its identity.
        parent_id: The parent's span id, 16 hex digits, within the same trace.
        name: What it is called, such as ``chat gpt-4o-mini``.
        kind: What it stands for.
        start_ns: Nanoseconds since the epoch.
        end_ns: Nanoseconds since the epoch; 0 on the start record of a span still open.
        status: How it ended.
        inputs: What went in.
        outputs: What came out.
        usage: Token counts.
        cost: What it cost.
        attributes: Everything else, by the names of `trace_core.semconv`.
        events: Moments in it, oldest first.
        scope: What produced it.
        resource: Where it was produced: service, process, runtime.

    Raises:
        TypeError: A field is of the wrong type.
        ValueError: A field has an impossible value.
    """

    context: SpanContext
    parent_id: str | None
    name: str
    kind: SpanKind
    start_ns: int
    end_ns: int
    status: Status = UNSET
    inputs: Value = None
    outputs: Value = None
    usage: TokenUsage | None = None
    cost: Cost | None = None
    attributes: Mapping[str, Value] = NOTHING
    events: tuple[Event, ...] = ()
    scope: Scope = CORE
    resource: Mapping[str, Value] = NOTHING

    def __attrs_post_init__(self) -> None:
        # Runs for each span several times, so that what needs no change is passed over quickly.
        if not _needs_no_conversion(self):
            for name, check in _CHECKS.items():
                replace_field(self, name, check(getattr(self, name)))
        if not 0 <= self.start_ns <= _LAST_NS or not 0 <= self.end_ns <= _LAST_NS:
            checks.integer(self.start_ns, "start_ns")  # else too long to be formatted
            checks.integer(self.end_ns, "end_ns")
            raise ValueError(
                "start_ns and end_ns of a span must be nanoseconds since the epoch, "
                f"got {self.start_ns:.3g} and {self.end_ns:.3g}"
            )
        if self.parent_id is not None:
            checks.hex_id(self.parent_id, checks.SPAN_ID_DIGITS, "parent_id")
        check_mapping(self, "attributes")
        if self.events and any(type(event) is not Event for event in self.events):
            raise TypeError("events of a span must be instances of trace_core.Event")

    def __repr__(self) -> str:
        from trace_core._view import units  # most programs print no span

        parts = [self.name, self.kind.value, units.seconds(self.duration_ns / 1e9)]
        if self.usage is not None and self.usage.total is not None:
            parts.append(f"{self.usage.input}→{self.usage.output} tokens")
        if self.cost is not None and self.cost.total is not None:
            parts.append(units.money(self.cost.total))
        if self.status.code is StatusCode.ERROR:
            parts.append(f"failed: {self.status.description or '?':.200}")
        return f"<Span {'  '.join(parts)}  ({self.trace_id}/{self.span_id})>"

    def _repr_html_(self) -> str:
        """Return it for a notebook; what draws it knows spans, so it is imported only now."""
        drawn: str = import_module("trace_core._view.html").span_html(self)
        return drawn

    @property
    def trace_id(self) -> str:
        """The trace it belongs to, 32 hex digits."""
        return self.context.trace_id

    @property
    def span_id(self) -> str:
        """Its own id, 16 hex digits."""
        return self.context.span_id

    @property
    def duration_ns(self) -> int:
        """How long it took, in nanoseconds."""
        return self.end_ns - self.start_ns


def _instance(kind: type, what: str) -> Callable[[Any], Any]:
    def check(value: object) -> object:
        if not isinstance(value, kind):
            raise checks.wrong_type(what, f"a trace_core.{kind.__name__}", value)
        return value

    return check


def _optional(check: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else check(value)


def check_name(value: object) -> str:
    """Return a span's name.

    Raises:
        TypeError: It is not a text.
    """
    return checks.text(value, "name")


def check_kind(value: object) -> SpanKind:
    """Return a span's kind, which may be given by its name.

    Raises:
        TypeError: It is not a kind, nor a text.
        ValueError: There is no kind of that name.
    """
    return member(SpanKind, value, "kind")


def _check_status(value: object) -> Status:
    return value if isinstance(value, Status) else Status(member(StatusCode, value, "status"))


SETTABLE: Final[Mapping[str, Callable[[Any], Any]]] = {
    "name": check_name,
    "kind": check_kind,
    "inputs": snapshot,
    "outputs": snapshot,
    "usage": _optional(_instance(TokenUsage, "usage")),
    "cost": _optional(_instance(Cost, "cost")),
    "status": _check_status,
}
"""What checks and converts each field that can be set on an open span."""


def _check_events(value: object) -> tuple[object, ...]:
    if not isinstance(value, (tuple, list)):
        raise checks.wrong_type("events", "a tuple", value)
    return tuple(value)


def _check_resource(value: object) -> Mapping[str, Value]:
    if not isinstance(value, Mapping):
        raise checks.wrong_type("resource", "a mapping", value)
    return snapshot_mapping(value)


_CHECKS: Final[Mapping[str, Callable[[Any], Any]]] = {
    **SETTABLE,
    "context": _instance(SpanContext, "context"),
    "start_ns": lambda value: checks.integer(value, "start_ns"),
    "end_ns": lambda value: checks.integer(value, "end_ns"),
    "events": _check_events,
    "scope": _instance(Scope, "scope"),
    "resource": _check_resource,
}
_LAST_NS: Final = 2**63 - 1
_VALUE: Final = frozenset({NoneType, bool, int, float, str, tuple, dict})


def _needs_no_conversion(span: Span) -> bool:
    """Tell whether the fields of a span that `_CHECKS` names are of the types they are to have."""
    return (
        type(span.name) is str
        and type(span.kind) is SpanKind
        and type(span.inputs) in _VALUE
        and type(span.outputs) in _VALUE
        and (span.usage is None or type(span.usage) is TokenUsage)
        and (span.cost is None or type(span.cost) is Cost)
        and type(span.status) is Status
        and type(span.context) is SpanContext
        and type(span.start_ns) is type(span.end_ns) is int
        and type(span.events) is tuple
        and type(span.scope) is Scope
        and type(span.resource) is dict
    )
