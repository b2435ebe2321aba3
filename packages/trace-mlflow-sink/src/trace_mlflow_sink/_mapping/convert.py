"""A span becomes an OTLP span with MLflow's keys; hostile values are made safe on the way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan

from trace_core import (
    Cost,
    Event,
    Span,
    SpanKind,
    StatusCode,
    TokenUsage,
    UsageSource,
    Value,
    otlp,
    semconv,
)
from trace_mlflow_sink._mapping import chat_view, names, sanitize, tags

LONGEST_SESSION: Final = 250
LONGEST_DIMENSION: Final = 250

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
_CHAT_OPERATIONS: Final = frozenset({"chat", "generate_content"})
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
NO_ID: Final = (None, "", ())
"""What names no session, user or conversation."""


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
    elif not otlp.write_number(proto, value):
        proto.string_value = sanitize.json_text(value)


def to_request(
    spans: Iterable[Span], write_value: otlp.WriteValue = write_flat
) -> ExportTraceServiceRequest:
    """Write spans as one OTLP request.

    Args:
        spans: Finished spans, of any traces.
        write_value: Writes the value of an attribute.
    """

    def fill(proto: OtlpSpan, span: Span) -> None:
        otlp.fill_span(proto, span, _view(span), write_value, _write_plain)

    return otlp.to_request(spans, fill, _resource_of, None, otlp.write_structured)


def _resource_of(span: Span) -> Mapping[str, Value]:
    """Return a resource. MLflow makes a trace tag of each attribute, so there is one at most."""
    service = span.resource.get(semconv.SERVICE_NAME)
    if service is None:
        return {}
    return {semconv.SERVICE_NAME: sanitize.shorten(service, tags.LONGEST_VALUE)}


def resource(span: Span) -> Resource:
    """Write the resource of a span.

    Args:
        span: A finished span.
    """
    found = Resource()
    otlp.fill_attributes(found.attributes, _resource_of(span), otlp.write_structured)
    return found


def to_proto(span: Span) -> OtlpSpan:
    """Write a span as MLflow's stores read it.

    Args:
        span: A finished span.
    """
    proto = OtlpSpan()
    otlp.fill_span(proto, span, _view(span), write_flat, _write_plain)
    return proto


def _view(span: Span) -> otlp.SpanView:
    failed = span.status.code is StatusCode.ERROR
    return otlp.SpanView(
        name=span.name,
        attributes=mlflow_attributes(span),
        events=events(span),
        status=StatusCode.ERROR if failed else StatusCode.OK,
    )


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


def mlflow_attributes(span: Span) -> dict[str, Value]:
    """Return all attributes of a span under the names MLflow and OpenTelemetry read.

    Args:
        span: A finished span.
    """
    found: dict[str, Value] = {
        key: sanitize.shorten_id(value, LONGEST_SESSION) if key in _IDS else value
        for key, value in span.attributes.items()
        if key not in _ELSEWHERE and not key.startswith(names.PRIVATE_PREFIX)
        if key not in _IDS or value not in NO_ID
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
    if span.kind is SpanKind.LLM and _is_chat(span):
        return _CHAT_TYPE
    return _TYPES.get(span.kind, _OTHER_TYPE)


def _is_chat(span: Span) -> bool:
    """Return whether a call is a chat, also if its content is not recorded."""
    if span.inputs is None and span.outputs is None:
        return span.attributes.get(semconv.OPERATION_NAME) in _CHAT_OPERATIONS
    return chat_view.message_format(span.inputs, span.outputs) is not None


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


def _write_plain(proto: AnyValue, key: str, value: Value) -> None:
    """Write an event's value: text as it is, structures as JSON text."""
    if isinstance(value, str):
        proto.string_value = sanitize.clean_text(value)
    else:
        write_flat(proto, key, value)
