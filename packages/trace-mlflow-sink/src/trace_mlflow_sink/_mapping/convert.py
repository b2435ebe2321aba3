"""A span becomes an OTLP span with MLflow's keys; hostile values are made safe on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeAlias

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status as OtlpStatus

from trace_core import (
    Cost,
    Event,
    Span,
    SpanKind,
    StatusCode,
    TokenUsage,
    UsageSource,
    Value,
    semconv,
)
from trace_mlflow_sink._mapping import chat_view, names, sanitize, tags

LONGEST_SESSION: Final = 250
LONGEST_NAME: Final = 4_000
LONGEST_DIMENSION: Final = 250
LONGEST_DESCRIPTION: Final = 10_000
_INT64: Final = range(-(2**63), 2**63)
_UINT64_MAX: Final = 2**64 - 1

_TYPES: Final = {
    SpanKind.LLM: "LLM",
    SpanKind.EMBEDDING: "EMBEDDING",
    SpanKind.RERANKER: "RERANKER",
    SpanKind.IMAGE: "LLM",
    SpanKind.AUDIO: "LLM",
    SpanKind.MODERATION: "GUARDRAIL",
    SpanKind.RETRIEVER: "RETRIEVER",
    SpanKind.TOOL: "TOOL",
    SpanKind.AGENT: "AGENT",
    SpanKind.CHAIN: "CHAIN",
}
_CHAT_TYPE: Final = "CHAT_MODEL"
_OTHER_TYPE: Final = "UNKNOWN"
_MODEL_CALLS: Final = frozenset(
    {
        SpanKind.LLM,
        SpanKind.EMBEDDING,
        SpanKind.RERANKER,
        SpanKind.IMAGE,
        SpanKind.AUDIO,
        SpanKind.MODERATION,
    }
)
"""Kinds whose spans carry usage: MLflow hides what lies below a span with usage."""
_ELSEWHERE: Final = frozenset({semconv.TAGS, semconv.TRACE_NAME})
_IDS: Final = frozenset({semconv.SESSION_ID, semconv.CONVERSATION_ID})


WriteValue: TypeAlias = Callable[[AnyValue, str, Value], None]
"""Writes the value of an attribute, which has a name, into a message."""


def write_flat(proto: AnyValue, key: str, value: Value) -> None:
    """Write a number as it is and everything else as JSON text, which MLflow reads back exactly.

    The span's type is plain text: MLflow indexes it before it has read the JSON.

    Args:
        proto: Where to write.
        key: The attribute's name.
        value: Its value.
    """
    if key == names.SPAN_TYPE:
        proto.string_value = str(value)
    elif not write_number(proto, value):
        proto.string_value = sanitize.json_text(value)


def to_request(
    spans: Iterable[Span], write_value: WriteValue = write_flat
) -> ExportTraceServiceRequest:
    """Write spans as one OTLP request.

    Each message is filled in place, because protobuf copies a message that is put into another.

    Args:
        spans: Finished spans, of any traces.
        write_value: Writes the value of an attribute.
    """
    request = ExportTraceServiceRequest()
    by_service: dict[Value, ScopeSpans] = {}
    for span in spans:
        service = span.resource.get(semconv.SERVICE_NAME)
        group = by_service.get(service)
        if group is None:
            new = request.resource_spans.add(resource=resource(service))
            group = by_service[service] = new.scope_spans.add()
        _fill(group.spans.add(), span, write_value)
    return request


def spans_of(request: ExportTraceServiceRequest) -> list[OtlpSpan]:
    """Return the spans of a request."""
    groups = [group for by_service in request.resource_spans for group in by_service.scope_spans]
    return [span for group in groups for span in group.spans]


def resource(service: Value) -> Resource:
    """Write the resource. MLflow makes a trace tag of each attribute, so there is one at most."""
    if service is None:
        return Resource()
    name = AnyValue(string_value=sanitize.shorten(service, tags.LONGEST_VALUE))
    return Resource(attributes=[KeyValue(key=semconv.SERVICE_NAME, value=name)])


def to_proto(span: Span) -> OtlpSpan:
    """Write a span as MLflow's stores read it.

    Args:
        span: A finished span.
    """
    proto = OtlpSpan()
    _fill(proto, span, write_flat)
    return proto


def _fill(proto: OtlpSpan, span: Span, write_value: WriteValue) -> None:
    proto.trace_id = bytes.fromhex(span.trace_id)
    proto.span_id = bytes.fromhex(span.span_id)
    proto.parent_span_id = bytes.fromhex(span.parent_id or "")
    proto.name = sanitize.shorten(span.name, LONGEST_NAME)
    proto.start_time_unix_nano = _nanoseconds(span.start_ns)
    proto.end_time_unix_nano = _nanoseconds(span.end_ns)
    for key, value in mlflow_attributes(span).items():
        if value is not None:  # there is no way to write None that MLflow reads as None
            write_value(proto.attributes.add(key=sanitize.clean_text(key)).value, key, value)
    for event in events(span):
        _fill_event(proto.events.add(), event)
    if span.status.code is StatusCode.ERROR:
        proto.status.code = OtlpStatus.STATUS_CODE_ERROR
        proto.status.message = sanitize.shorten(span.status.description or "", LONGEST_DESCRIPTION)
    else:
        proto.status.code = OtlpStatus.STATUS_CODE_OK


def _nanoseconds(value: int) -> int:
    return min(max(value, 0), _UINT64_MAX)


def events(span: Span) -> tuple[Event, ...]:
    """Return a span's events, chunks under MLflow's names, and when the first of them came.

    Args:
        span: A finished span.
    """
    seconds = span.attributes.get(semconv.RESPONSE_TIME_TO_FIRST_CHUNK)
    found = tuple(
        _chunk(event) if event.name == semconv.CHUNK_EVENT else event for event in span.events
    )
    if not isinstance(seconds, (int, float)) or not _is_finite(seconds):
        return found
    first = Event(semconv.FIRST_CHUNK_EVENT, span.start_ns + int(seconds * 1e9))
    return (first, *found)


def _chunk(event: Event) -> Event:
    told = event.attributes
    name = names.CHUNK_EVENT.format(told.get(semconv.CHUNK_INDEX))
    value = sanitize.json_text(told.get(semconv.CHUNK_VALUE))
    return Event(name, event.time_ns, {names.CHUNK_VALUE: value})


def _fill_event(proto: OtlpSpan.Event, event: Event) -> None:
    proto.name = sanitize.shorten(event.name, LONGEST_NAME)
    proto.time_unix_nano = _nanoseconds(event.time_ns)
    for key, value in event.attributes.items():
        if value is not None:
            _write_plain(proto.attributes.add(key=sanitize.clean_text(key)).value, value)


def mlflow_attributes(span: Span) -> dict[str, Value]:
    """Return all attributes of a span under the names MLflow and OpenTelemetry read.

    Args:
        span: A finished span.
    """
    found: dict[str, Value] = {
        key: sanitize.shorten_id(value, LONGEST_SESSION)
        if key in _IDS and value is not None
        else value
        for key, value in span.attributes.items()
        if key not in _ELSEWHERE and not key.startswith(names.PRIVATE_PREFIX)
    }
    found[names.SPAN_INPUTS] = chat_view.shown(span.inputs)
    found[names.SPAN_OUTPUTS] = chat_view.shown(span.outputs)
    found[names.SPAN_TYPE] = span_type(span)
    if is_model_call(span):
        found.update(_model_call(span))
    if span.parent_id is None:
        found.update(_of_trace(span))
    return found


def is_model_call(span: Span) -> bool:
    """Tell spans that carry usage from those whose usage is the sum of what lies below."""
    return span.kind in _MODEL_CALLS


def span_type(span: Span) -> str:
    """Return MLflow's type of a span.

    Args:
        span: A finished span.
    """
    if names.TYPE in span.attributes:
        return str(span.attributes[names.TYPE])
    if span.kind is SpanKind.LLM and chat_view.message_format(span.inputs, span.outputs):
        return _CHAT_TYPE
    return _TYPES.get(span.kind, _OTHER_TYPE)


def _model_call(span: Span) -> dict[str, Value]:
    """Return what MLflow shows of a call to a model."""
    chat = span.kind is SpanKind.LLM
    found: dict[str, Value] = {
        names.MESSAGE_FORMAT: chat_view.message_format(span.inputs, span.outputs) if chat else None,
        names.CHAT_TOOLS: tuple(chat_view.chat_tools(span.inputs)) or None,
        names.LLM_MODEL: _dimension(model_of(span)),
        names.LLM_PROVIDER: _dimension(span.attributes.get(semconv.PROVIDER_NAME)),
        names.CHAT_TOKEN_USAGE: token_usage(span),
        names.LLM_COST: cost(span),
    }
    if span.usage is not None:
        found.update(_usage_details(span.usage))
    if span.cost is not None:
        found[names.COST_SAVED] = span.cost.saved
    return found


def model_of(span: Span) -> Value:
    """Return the model that was asked for, else the one that answered."""
    inputs = chat_view.as_object(span.inputs)
    asked = span.attributes.get(semconv.REQUEST_MODEL) or inputs.get("model")
    return asked or span.attributes.get(semconv.RESPONSE_MODEL)


def _dimension(value: Value) -> Value:
    return None if value is None else sanitize.shorten(value, LONGEST_DIMENSION)


def token_usage(span: Span) -> Mapping[str, Value] | None:
    """Return the token counts that are known, under MLflow's names; ``None`` if none is."""
    if span.usage is None or span.kind not in _MODEL_CALLS:
        return None
    usage = span.usage
    known = {
        "input_tokens": usage.input,
        "output_tokens": usage.output,
        "total_tokens": _total(usage),
        "cache_read_input_tokens": usage.cache_read,
        "cache_creation_input_tokens": usage.cache_creation,
    }
    return {key: int(value) for key, value in known.items() if value is not None} or None


def _total(usage: TokenUsage) -> int | None:
    if usage.total is None and usage.input is not None and usage.output is not None:
        return usage.input + usage.output
    return usage.total


def _usage_details(usage: TokenUsage) -> dict[str, Value]:
    """Return what MLflow has no name of its own for."""
    estimated = usage.source is UsageSource.ESTIMATED
    return {
        semconv.USAGE_REASONING_OUTPUT_TOKENS: usage.reasoning,
        names.USAGE_SOURCE: usage.source.value if estimated else None,
    }


def cost(span: Span) -> Mapping[str, Value] | None:
    """Return the cost in USD under MLflow's names; ``None`` if it is not known.

    Given as 0 for a cache hit, because MLflow would compute the full price otherwise.
    """
    if span.kind not in _MODEL_CALLS:
        return None
    if span.attributes.get(semconv.CACHE_HIT) is True:
        return {"input_cost": 0.0, "output_cost": 0.0, "total_cost": 0.0}
    found = span.cost or Cost()
    known = {"input_cost": found.input, "output_cost": found.output, "total_cost": found.total}
    return {k: float(v) for k, v in known.items() if v is not None and _is_finite(v)} or None


def _is_finite(value: float) -> bool:
    return value - value == 0


def _of_trace(root: Span) -> dict[str, Value]:
    """Return what a root span says about its trace: name, tags, session, user, process."""
    metadata = chat_view.as_object(root.attributes.get(names.METADATA))
    found: dict[str, Value] = {
        f"{names.TAG_PREFIX}{key}": value for key, value in tags.of_trace(root).items()
    }
    for name, key in (
        (semconv.SESSION_ID, names.METADATA_SESSION),
        (semconv.USER_ID, names.METADATA_USER),
    ):
        if name not in root.attributes and key in metadata:
            found[name] = sanitize.shorten_id(metadata[key], LONGEST_SESSION)
    found.update({k: v for k, v in root.resource.items() if k != semconv.SERVICE_NAME})
    return found


def _write_plain(proto: AnyValue, value: Value) -> None:
    """Write an event's value: text as it is, structures as JSON text."""
    if isinstance(value, str):
        proto.string_value = sanitize.clean_text(value)
    else:
        write_flat(proto, "", value)


def write_number(proto: AnyValue, value: Value) -> bool:
    """Write a value if it is a number that protobuf can hold; tell whether it is."""
    if isinstance(value, (str, tuple, Mapping)) or value is None:
        return False
    if isinstance(value, bool):
        proto.bool_value = value
    elif isinstance(value, int) and value in _INT64:
        proto.int_value = value
    elif isinstance(value, float) and _is_finite(value):
        proto.double_value = value
    else:
        return False
    return True
