"""The public converter: a span's name and attributes in the words of a dialect."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan

from trace_core import ConfigurationError, Span, SpanKind, Value, drop_content, semconv
from trace_core.otlp import SpanView
from trace_otlp_sink._dialects import common, conversation, genai, openinference
from trace_otlp_sink._dialects.common import Attribute

_Describe: TypeAlias = Callable[[Span, conversation.Conversation], dict[str, Value]]
_DIALECTS: Final[Mapping[str, _Describe]] = {
    "genai": genai.attributes,
    "openinference": openinference.attributes,
}
DIALECTS: Final = tuple(_DIALECTS)
"""The names of the dialects."""
_without_content: Final = drop_content()


def check_dialect(dialect: str) -> tuple[str, ...]:
    """Return the names in a choice of dialects, such as ``genai,openinference``.

    Raises:
        ConfigurationError: One of them is not known, or there is none.
    """
    names = tuple(dict.fromkeys(name.strip() for name in dialect.split(",") if name.strip()))
    unknown = next((name for name in names if name not in _DIALECTS), None)
    if unknown is not None or not names:
        known = ", ".join(DIALECTS)
        raise ConfigurationError(
            f"dialect={dialect!r}; choose from {known}, several with commas between"
        )
    return names


def to_attributes(
    span: Span, dialect: str = "genai", *, content: bool = True
) -> dict[str, Attribute]:
    """Return what a span holds as attributes of OpenTelemetry, for a sink of your own.

    Everything that is in the span is in them, but for its ids, name, times, status and events:
    model, parameters, messages, tools, usage, cost, errors, and under ``trace.*`` what the
    dialect has no name for. Nested values are JSON text.

    Args:
        span: A finished span.
        dialect: ``genai`` for OpenTelemetry's GenAI conventions, ``openinference`` for those of
            Phoenix and Arize, or both with a comma.
        content: Whether to include what was said.

    Raises:
        ConfigurationError: There is no such dialect.
    """
    return _attributes(span if content else _without_content(span), check_dialect(dialect))


def _attributes(span: Span, dialects: tuple[str, ...]) -> dict[str, Attribute]:
    found = common.shared(span)
    talk = conversation.read(span)
    for name in dialects:
        found.update(_DIALECTS[name](span, talk))
    return common.to_attributes(found)


def view(span: Span, dialects: tuple[str, ...], *, content: bool) -> SpanView:
    """Return what a server is to see of a span.

    Args:
        span: A finished span.
        dialects: The names of the dialects.
        content: Whether to include what was said.
    """
    span = span if content else _without_content(span)
    return SpanView(
        name=genai.span_name(span) if "genai" in dialects else span.name,
        attributes=_attributes(span, dialects),
        events=span.events,
        status=span.status.code,
        kind=OtlpSpan.SPAN_KIND_CLIENT if _is_request(span) else OtlpSpan.SPAN_KIND_INTERNAL,
    )


def _is_request(span: Span) -> bool:
    """Return whether a span stands for a request to a model or a store."""
    if span.kind is SpanKind.RETRIEVER:
        return semconv.SERVER_ADDRESS in span.attributes
    return span.kind in common.MODEL_CALLS
