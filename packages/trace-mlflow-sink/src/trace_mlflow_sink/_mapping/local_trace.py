"""Calls below OpenTelemetry spans that MLflow does not have: each is a trace of its own there.

The bridge to OpenTelemetry gives such a call the trace id of the request it is made for, and a
parent. MLflow would wait for that trace's root for ever, and show no preview, session or tags.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

from trace_core import Span, SpanContext, Value, semconv
from trace_mlflow_sink._mapping import names

_HALF: Final = 16
_SPAN_ID_DIGITS: Final = 16


def trace_id_of(trace_id: str, attributes: Mapping[str, Value]) -> str:
    """Return the id of the trace that a span lies in at MLflow.

    Args:
        trace_id: The span's own trace id.
        attributes: Its attributes.
    """
    root = attributes.get(semconv.LOCAL_ROOT)
    if not isinstance(root, str) or len(root) != _SPAN_ID_DIGITS:
        return trace_id
    return trace_id[:_HALF] + root


def localized(span: Span) -> Span:
    """Return a span with the trace and the parent that it has at MLflow.

    Args:
        span: A finished span. The topmost one of its trace tells the ids that it had.
    """
    trace_id = trace_id_of(span.trace_id, span.attributes)
    if trace_id == span.trace_id:
        return span
    attributes = dict(span.attributes)
    root, parent = attributes.pop(semconv.LOCAL_ROOT), attributes.pop(semconv.LOCAL_PARENT, None)
    if span.span_id == root:
        attributes[names.OTEL_TRACE_ID] = span.trace_id
        attributes[names.OTEL_PARENT_ID] = span.parent_id
        parent = None
    else:
        parent = parent or span.parent_id
    return attrs.evolve(
        span,
        context=SpanContext(trace_id, span.span_id),
        parent_id=None if parent is None else str(parent),
        attributes=attributes,
    )
