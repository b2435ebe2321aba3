"""Writes spans as OTLP protobuf: ids, times, status and groups; attributes as a sink wants them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Protocol, TypeAlias

import attrs
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status as OtlpStatus

from trace_core._model.parts import Event, Scope, StatusCode
from trace_core._model.span import Span
from trace_core._model.values import Value
from trace_core.otlp._text import clean_text, shorten

LONGEST_NAME: Final = 4_000
LONGEST_DESCRIPTION: Final = 10_000
_INT64: Final = range(-(2**63), 2**63)
_UINT64_MAX: Final = 2**64 - 1
_STATUS: Final = {
    StatusCode.UNSET: OtlpStatus.STATUS_CODE_UNSET,
    StatusCode.OK: OtlpStatus.STATUS_CODE_OK,
    StatusCode.ERROR: OtlpStatus.STATUS_CODE_ERROR,
}

WriteValue: TypeAlias = Callable[[AnyValue, str, Value], None]
"""Writes the value of an attribute, which has a name, into a message."""


@attrs.frozen
class SpanView:
    """What a server is to see of a span, beside its ids and times.

    Args:
        name: The span's name.
        attributes: Its attributes; those that are ``None`` are left out.
        events: Its events.
        status: Its status; the description is the span's own.
        kind: A member of OTLP's ``SpanKind``.
    """

    name: str
    attributes: Mapping[str, Value]
    events: Sequence[Event]
    status: StatusCode
    kind: OtlpSpan.SpanKind.ValueType = OtlpSpan.SPAN_KIND_UNSPECIFIED


def to_request(
    spans: Iterable[Span],
    fill: Callable[[OtlpSpan, Span], None],
    resource: Callable[[Span], Mapping[str, Value]],
    scope: Callable[[Span], Scope] | None,
    write_value: WriteValue,
) -> ExportTraceServiceRequest:
    """Write spans as one request, grouped by resource and by scope.

    Each message is filled in place, because protobuf copies a message that is put into another.

    Args:
        spans: Finished spans, of any traces.
        fill: Writes one span, as `fill_span` does.
        resource: Returns the resource of a span.
        scope: Returns what produced a span; ``None`` leaves that out.
        write_value: Writes the value of an attribute of a resource.
    """
    request = ExportTraceServiceRequest()
    resources: dict[str, ResourceSpans] = {}
    scopes: dict[tuple[str, Scope | None], ScopeSpans] = {}
    for span in spans:
        described, by = resource(span), scope(span) if scope is not None else None
        key = repr(described)
        group = scopes.get((key, by))
        if group is None:
            if key not in resources:
                resources[key] = request.resource_spans.add()
                fill_attributes(resources[key].resource.attributes, described, write_value)
            group = scopes[key, by] = resources[key].scope_spans.add()
            _fill_scope(group, by)
        fill(group.spans.add(), span)
    return request


def _fill_scope(group: ScopeSpans, scope: Scope | None) -> None:
    if scope is not None:
        group.scope.name = clean_text(scope.name)
        group.scope.version = clean_text(scope.version)


def spans_of(request: ExportTraceServiceRequest) -> list[OtlpSpan]:
    """Return the spans of a request."""
    groups = [group for resource in request.resource_spans for group in resource.scope_spans]
    return [span for group in groups for span in group.spans]


def fill_span(
    proto: OtlpSpan,
    span: Span,
    view: SpanView,
    write_value: WriteValue,
    write_event_value: WriteValue,
) -> None:
    """Write a span into an empty message.

    Args:
        proto: The message.
        span: A finished span.
        view: What to write beside its ids and times.
        write_value: Writes the value of an attribute.
        write_event_value: Writes the value of an event's attribute.
    """
    proto.trace_id = bytes.fromhex(span.trace_id)
    proto.span_id = bytes.fromhex(span.span_id)
    proto.parent_span_id = bytes.fromhex(span.parent_id or "")
    proto.name = shorten(view.name, LONGEST_NAME)
    proto.kind = view.kind
    proto.start_time_unix_nano = _nanoseconds(span.start_ns)
    proto.end_time_unix_nano = _nanoseconds(max(span.start_ns, span.end_ns))
    fill_attributes(proto.attributes, view.attributes, write_value)
    for event in view.events:
        written = proto.events.add()
        written.name = shorten(event.name, LONGEST_NAME)
        written.time_unix_nano = _nanoseconds(event.time_ns)
        fill_attributes(written.attributes, event.attributes, write_event_value)
    proto.status.code = _STATUS[view.status]
    if view.status is StatusCode.ERROR:
        proto.status.message = shorten(span.status.description or "", LONGEST_DESCRIPTION)


def _nanoseconds(value: int) -> int:
    return min(max(value, 0), _UINT64_MAX)


class _Attributes(Protocol):
    """What protobuf's repeated field of attributes does, for the type checker."""

    def add(self, *, key: str) -> KeyValue: ...


def fill_attributes(
    target: _Attributes, attributes: Mapping[str, Value], write_value: WriteValue
) -> None:
    """Write attributes; those that are ``None``, for which OTLP has no value, are left out.

    Args:
        target: The field ``attributes`` of a span, an event or a resource.
        attributes: The attributes.
        write_value: Writes the value of one.
    """
    for key, value in attributes.items():
        if value is not None:
            write_value(target.add(key=clean_text(key)).value, key, value)


def write_number(proto: AnyValue, value: Value) -> bool:
    """Write a value if it is a number that protobuf can hold; tell whether it is."""
    if isinstance(value, bool):
        proto.bool_value = value
    elif isinstance(value, int) and value in _INT64:
        proto.int_value = value
    elif isinstance(value, float) and value - value == 0:
        proto.double_value = value
    else:
        return False
    return True


def write_structured(proto: AnyValue, key: str, value: Value) -> None:
    """Write mappings and sequences as such, texts and numbers as they are.

    Args:
        proto: Where to write.
        key: The attribute's name, which changes nothing.
        value: Its value.
    """
    if isinstance(value, str):
        proto.string_value = clean_text(value)
        return
    if write_number(proto, value):
        return
    if isinstance(value, Mapping):
        proto.kvlist_value.SetInParent()
        for name, item in value.items():
            clean = clean_text(name)
            write_structured(proto.kvlist_value.values.add(key=clean).value, clean, item)
    elif isinstance(value, (list, tuple)):
        proto.array_value.SetInParent()
        for item in value:
            write_structured(proto.array_value.values.add(), key, item)
    elif value is not None:
        proto.string_value = clean_text(value)
