"""Turns open and ended spans into the frozen spans that sinks get, on the sink's thread."""

from __future__ import annotations

from operator import attrgetter
from typing import Final

from trace_core._failures import failure
from trace_core._log import report
from trace_core._model.parts import SpanContext, Status, StatusCode
from trace_core._model.span import Span
from trace_core._tracing.span import OpenSpan

_OK: Final = Status(StatusCode.OK)
_time_of: Final = attrgetter("time_ns")


def completed(ended: Span | OpenSpan) -> Span | None:
    """Do the work on an ended span that the caller did not wait for, and freeze the span.

    An exception in that work is logged, and the span keeps what was set before it.

    Args:
        ended: The span; one that is finished is returned as it is.

    Returns:
        The span; ``None``, and a log message, if somebody has set a field to what no span can hold.
    """
    if isinstance(ended, Span):
        return ended
    complete, ended.complete = ended.complete, None  # it may hold the caller's stream
    if complete is not None:
        try:
            complete(ended)
        except failure() as error:
            report("completing a span", error)
    try:
        return frozen(ended)
    except failure() as error:
        report("completing a span", error)
        return None


def frozen(span: OpenSpan) -> Span:
    """Return a span as it is now; of an ended one, without the work that can wait.

    Args:
        span: The span.

    Raises:
        TypeError: A field that was set without `OpenSpan.set` is of the wrong type.
        ValueError: Such a field has an impossible value.
    """
    events = span.events
    return Span(
        SpanContext(span.trace_id, span.span_id),
        span.parent_id,
        span.name,
        span.kind,
        span.start_ns,
        span.end_ns,
        span.status or _OK,
        span.inputs,
        span.outputs,
        span.usage,
        span.cost,
        span.attributes,
        tuple(sorted(events, key=_time_of)) if events else (),
        span.tracer.scope,
        span.tracer.resource,
    )


def start_record(span: OpenSpan) -> Span | None:
    """Return a span without content and end; ``None`` if it has ended.

    A sink writes it down so that a call cut off by a crash leaves a trace.

    Args:
        span: The span.
    """
    if span.ended:
        return None
    return Span(
        span.context,
        span.parent_id,
        span.name,
        span.kind,
        span.start_ns,
        0,
        attributes=dict(span.attributes),
        scope=span.tracer.scope,
        resource=span.tracer.resource,
    )
