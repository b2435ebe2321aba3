"""A span as MLflow stores it becomes our span again: the reverse of `_mapping.convert`."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import attrs

from trace_core import (
    Cost,
    Event,
    Scope,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TokenUsage,
    UsageSource,
    Value,
    semconv,
    snapshot,
)
from trace_mlflow_sink._mapping import chat_view, names

_KINDS: Final = {
    "LLM": SpanKind.LLM,
    "CHAT_MODEL": SpanKind.LLM,
    "EMBEDDING": SpanKind.EMBEDDING,
    "RERANKER": SpanKind.RERANKER,
    "GUARDRAIL": SpanKind.MODERATION,
    "RETRIEVER": SpanKind.RETRIEVER,
    "TOOL": SpanKind.TOOL,
    "AGENT": SpanKind.AGENT,
    "CHAIN": SpanKind.CHAIN,
}
_OPERATIONS: Final = {
    "image_generation": SpanKind.IMAGE,
    "image_edit": SpanKind.IMAGE,
    "image_variation": SpanKind.IMAGE,
    "transcription": SpanKind.AUDIO,
    "speech": SpanKind.AUDIO,
}
"""Kinds that MLflow stores as LLM, by their operation."""
_MADE_BY_US: Final = frozenset(
    {
        names.SPAN_TYPE,
        names.SPAN_INPUTS,
        names.SPAN_OUTPUTS,
        names.CHAT_TOOLS,
        names.CHAT_TOKEN_USAGE,
        names.MESSAGE_FORMAT,
        names.LLM_COST,
        names.LLM_MODEL,
        names.LLM_PROVIDER,
        names.TRACE_REQUEST_ID,
        names.COST_SAVED,
        names.USAGE_SOURCE,
        semconv.USAGE_REASONING_OUTPUT_TOKENS,
    }
)
"""Attributes that `_mapping.convert` makes of a span's fields."""
_RESOURCE: Final = ("process.", "service.", "host.")


@attrs.frozen
class StoredTrace:
    """A trace as MLflow stores it.

    Args:
        spans: Its spans, as MLflow's JSON writes them.
        metadata: Names to texts.
        tags: Names to texts.
    """

    spans: Sequence[Mapping[str, Any]]
    metadata: Mapping[str, str] = attrs.field(factory=dict)
    tags: Mapping[str, str] = attrs.field(factory=dict)


def spans_of(trace: StoredTrace) -> list[Span]:
    """Return the spans of a trace, with what MLflow keeps of a trace as a whole on its root.

    Args:
        trace: The trace.

    Raises:
        ValueError: It cannot be read.
        LookupError: The same.
        TypeError: The same.
    """
    spans = [_span(stored) for stored in trace.spans]
    return [_with_trace(span, trace) if span.parent_id is None else span for span in spans]


def _with_trace(root: Span, trace: StoredTrace) -> Span:
    attributes = dict(root.attributes)
    for key, name in (
        (names.METADATA_SESSION, semconv.SESSION_ID),
        (names.METADATA_USER, semconv.USER_ID),
    ):
        if key in trace.metadata:
            attributes.setdefault(name, trace.metadata[key])
    given = {k: v for k, v in trace.tags.items() if not k.startswith(("mlflow.", "trace."))}
    if given:
        attributes[semconv.TAGS] = given
    called = trace.tags.get(names.TAG_TRACE_NAME)
    if called is not None and called != root.name:
        attributes[semconv.TRACE_NAME] = called
    return attrs.evolve(root, attributes=attributes)


def _span(stored: Mapping[str, Any]) -> Span:
    told = _attributes(stored.get("attributes") or {})
    status = stored.get("status") or {}
    failed = str(status.get("code", "")).endswith("ERROR")
    return Span(
        context=SpanContext(_digits(stored["trace_id"], 32), _digits(stored["span_id"], 16)),
        parent_id=_digits(stored.get("parent_span_id") or "", 16) or None,
        name=str(stored.get("name", "")),
        kind=_kind(told),
        start_ns=int(stored["start_time_unix_nano"]),
        end_ns=int(stored.get("end_time_unix_nano") or 0),
        status=Status(StatusCode.ERROR if failed else StatusCode.OK, status.get("message") or None),
        inputs=told.get(names.SPAN_INPUTS),
        outputs=told.get(names.SPAN_OUTPUTS),
        usage=_usage(told),
        cost=_cost(told),
        attributes={k: v for k, v in told.items() if _is_own(k)},
        events=tuple(map(_event, _own_events(stored.get("events") or ()))),
        scope=Scope(names.AUTOMATIC if names.LITELLM_CALL_ID in told else "mlflow"),
        resource={k: v for k, v in told.items() if k.startswith(_RESOURCE)},
    )


def _is_own(name: str) -> bool:
    made = name in _MADE_BY_US or name.startswith((names.TAG_PREFIX, *_RESOURCE))
    return not made


def _digits(written: str, length: int) -> str:
    """Return an id in hexadecimal digits; MLflow writes it so or in base64."""
    if not written or len(written) == length:
        return written.lower()
    return base64.b64decode(written).hex()


def _kind(told: Mapping[str, Value]) -> SpanKind:
    kind = _KINDS.get(str(told.get(names.SPAN_TYPE)), SpanKind.INTERNAL)
    if kind is SpanKind.LLM:
        return _OPERATIONS.get(str(told.get(semconv.OPERATION_NAME)), kind)
    return kind


def _usage(told: Mapping[str, Value]) -> TokenUsage | None:
    counts = chat_view.as_object(told.get(names.CHAT_TOKEN_USAGE))
    if not counts:
        return None
    estimated = told.get(names.USAGE_SOURCE) == UsageSource.ESTIMATED.value
    return TokenUsage(
        input=_count(counts.get("input_tokens")),
        output=_count(counts.get("output_tokens")),
        total=_count(counts.get("total_tokens")),
        cache_read=_count(counts.get("cache_read_input_tokens")),
        cache_creation=_count(counts.get("cache_creation_input_tokens")),
        reasoning=_count(told.get(semconv.USAGE_REASONING_OUTPUT_TOKENS)),
        source=UsageSource.ESTIMATED if estimated else UsageSource.PROVIDER,
    )


def _count(value: Value) -> int | None:
    return int(value) if isinstance(value, (int, float)) else None


def _cost(told: Mapping[str, Value]) -> Cost | None:
    amounts = chat_view.as_object(told.get(names.LLM_COST))
    saved = _amount(told.get(names.COST_SAVED))
    if not amounts and saved is None:
        return None
    return Cost(
        input=_amount(amounts.get("input_cost")),
        output=_amount(amounts.get("output_cost")),
        total=_amount(amounts.get("total_cost")),
        saved=saved,
    )


def _amount(value: Value) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None


def _own_events(events: Iterable[Mapping[str, Any]]) -> Iterable[Mapping[str, Any]]:
    """Leave out the event that repeats when the first chunk came."""
    return (event for event in events if event.get("name") != semconv.FIRST_CHUNK_EVENT)


def _event(stored: Mapping[str, Any]) -> Event:
    attributes = stored.get("attributes") or {}
    if not isinstance(attributes, Mapping):
        attributes = {pair["key"]: _any_value(pair.get("value", {})) for pair in attributes}
    moment = int(stored.get("time_unix_nano") or 0)
    return Event(str(stored.get("name", "")), moment, attributes)


def _attributes(stored: Any) -> dict[str, Value]:
    """Read attributes: JSON texts by name, or the pairs of OTLP."""
    if isinstance(stored, Mapping):
        return {key: _from_text(value) for key, value in stored.items()}
    return {pair["key"]: _any_value(pair.get("value", {})) for pair in stored}


def _from_text(value: Any) -> Value:
    if not isinstance(value, str):
        return snapshot(value)
    try:
        return snapshot(json.loads(value))
    except (ValueError, RecursionError):
        return value


def _any_value(value: Mapping[str, Any]) -> Value:
    """Read a value of OTLP's JSON, whose names may be in either of protobuf's spellings."""
    for kind, found in value.items():
        name = kind.replace("_", "").lower()
        if name == "arrayvalue":
            return tuple(_any_value(item) for item in found.get("values", ()))
        if name == "kvlistvalue":
            pairs = found.get("values", ())
            return {pair["key"]: _any_value(pair.get("value", {})) for pair in pairs}
        return int(found) if name == "intvalue" else snapshot(found)
    return None
