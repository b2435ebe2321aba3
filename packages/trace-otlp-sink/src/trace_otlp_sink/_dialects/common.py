"""What a span has in every dialect: values that OTLP can hold, usage, cost, what is not private."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

from trace_core import Span, SpanKind, StatusCode, UsageSource, Value, semconv
from trace_core.otlp import clean_text, json_text

Attribute: TypeAlias = "str | bool | int | float | tuple[str, ...] | tuple[float, ...]"
"""What an attribute of OpenTelemetry may be: nothing is nested."""

_PRIVATE: Final = "trace.mlflow."
_INT64: Final = range(-(2**63), 2**63)
_NUMBERS: Final = frozenset({int, float})
MODEL_CALLS: Final = frozenset(
    {
        SpanKind.LLM,
        SpanKind.EMBEDDING,
        SpanKind.RERANKER,
        SpanKind.IMAGE,
        SpanKind.AUDIO,
        SpanKind.MODERATION,
    }
)


def to_attribute(value: Value) -> Attribute | None:
    """Return a value as an attribute may hold it: what is nested as JSON text.

    Args:
        value: Any value; ``None`` stays ``None``, which has no place among attributes.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, (int, float)):
        return value if _fits(value) else _digits(value)
    items = _array(value)
    return json_text(value) if items is None else items


def _fits(value: float) -> bool:
    return value in _INT64 if isinstance(value, int) else value - value == 0


def _digits(value: float) -> str:
    try:
        return str(value)
    except ValueError:  # Python writes no more than some thousands of digits
        return hex(int(value))


def _array(value: Value) -> tuple[str, ...] | tuple[float, ...] | None:
    """Return a sequence of texts, or of numbers of one type; ``None`` if it is none."""
    if not isinstance(value, tuple):
        return None
    texts = tuple(clean_text(item) for item in value if isinstance(item, str))
    numbers = tuple(n for n in value if type(n) in _NUMBERS and _fits(n))  # type: ignore[arg-type]
    if len(texts) == len(value):
        return texts
    if len(numbers) == len(value) and len(set(map(type, numbers))) == 1:
        return numbers  # type: ignore[return-value]
    return None


def to_attributes(values: Mapping[str, Value]) -> dict[str, Attribute]:
    """Return all values that are not ``None`` as attributes may hold them."""
    found = {clean_text(key): to_attribute(value) for key, value in values.items()}
    return {key: value for key, value in found.items() if value is not None}


def shared(span: Span) -> dict[str, Value]:
    """Return what every dialect has: the span's own attributes, kind, usage, cost, error.

    Args:
        span: A finished span.
    """
    found = {k: v for k, v in span.attributes.items() if not k.startswith(_PRIVATE)}
    found[semconv.KIND] = span.kind.value
    if span.status.code is StatusCode.ERROR:
        found.setdefault(semconv.ERROR_TYPE, semconv.ERROR_TYPE_OTHER)
    found.update(_usage(span))
    if span.cost is not None:
        found[semconv.COST_INPUT] = span.cost.input
        found[semconv.COST_OUTPUT] = span.cost.output
        found[semconv.COST_TOTAL] = span.cost.total
        found[semconv.COST_SAVED] = span.cost.saved
    return found


def _usage(span: Span) -> dict[str, Value]:
    usage = span.usage
    if usage is None:
        return {}
    estimated = usage.source is UsageSource.ESTIMATED
    return {
        semconv.USAGE_INPUT_TOKENS: usage.input,
        semconv.USAGE_OUTPUT_TOKENS: usage.output,
        semconv.USAGE_CACHE_READ_INPUT_TOKENS: usage.cache_read,
        semconv.USAGE_CACHE_CREATION_INPUT_TOKENS: usage.cache_creation,
        semconv.USAGE_REASONING_OUTPUT_TOKENS: usage.reasoning,
        semconv.USAGE_TOTAL_TOKENS: usage.total,
        semconv.USAGE_AUDIO_INPUT_TOKENS: usage.audio_input,
        semconv.USAGE_AUDIO_OUTPUT_TOKENS: usage.audio_output,
        semconv.USAGE_SOURCE: usage.source.value if estimated else None,
    }
