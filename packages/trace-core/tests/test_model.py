"""Spans and their identities."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import pytest

from trace_core import (
    ConfigurationError,
    Cost,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TokenUsage,
    UsageSource,
)

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_traceparent_round_trip() -> None:
    """A context written as a traceparent header is read back equal."""
    context = SpanContext(TRACE, SPAN)
    assert context.to_traceparent() == f"00-{TRACE}-{SPAN}-01"
    assert SpanContext.from_traceparent(context.to_traceparent()) == context


def test_later_traceparent_versions_are_read() -> None:
    """The specification promises that later versions only add at the end."""
    assert SpanContext.from_traceparent(f"01-{TRACE}-{SPAN}-01-more").trace_id == TRACE


@pytest.mark.parametrize(
    "header",
    [
        "",
        "nonsense",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01-more",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[:-1]}-{SPAN}-01",
    ],
)
def test_bad_traceparents_are_refused(header: str) -> None:
    """A header that breaks the format is an error that quotes it."""
    with pytest.raises(ConfigurationError, match="traceparent"):
        SpanContext.from_traceparent(header)


def test_spans_are_frozen(make_span: Callable[..., Span]) -> None:
    """A finished span cannot be changed, only evolved into another."""
    span = make_span()
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        span.name = "other"
    assert attrs.evolve(span, name="other").context == span.context
    assert span.duration_ns == 500_000_000


def test_names_become_members(make_span: Callable[..., Span]) -> None:
    """A kind, a status and a source of tokens may be given by their names."""
    span = attrs.evolve(make_span(), kind="TOOL", status="ERROR")
    assert span.kind is SpanKind.TOOL
    assert span.status == Status(StatusCode.ERROR)
    assert TokenUsage(1, source="estimated").source is UsageSource.ESTIMATED  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("kind", "LLM call", "kind .* must be one of LLM, EMBEDDING"),
        ("kind", 1, "kind .* must be a SpanKind, got int"),
        ("name", None, "name .* must be a text, got NoneType"),
        ("status", True, "status .* must be a StatusCode, got bool"),
        ("usage", {"input": 1}, "usage .* must be a trace_core.TokenUsage, got dict"),
        ("cost", 0.1, "cost .* must be a trace_core.Cost, got float"),
        ("attributes", ["a"], "attributes .* must be a mapping, got list"),
        ("events", ("a",), "events .* must be instances of trace_core.Event"),
        ("end_ns", -1, "nanoseconds since the epoch"),
        ("end_ns", 0.5, "end_ns .* must be a whole number"),
        ("parent_id", "xyz", "parent_id .* must be 16 hexadecimal digits"),
    ],
)
def test_wrong_fields_are_refused(
    make_span: Callable[..., Span], field: str, value: object, complaint: str
) -> None:
    """A field that no sink could write is refused with a message that names it."""
    with pytest.raises((TypeError, ValueError), match=complaint):
        attrs.evolve(make_span(), **{field: value})


def test_numbers_become_plain() -> None:
    """Counts become integers and amounts floats; what is neither, or no finite number, is refused."""
    assert type(TokenUsage(input=12.0).input) is int  # type: ignore[arg-type]
    assert type(Cost(total=1).total) is float
    for wrong in (float("nan"), float("inf"), 10**400):
        with pytest.raises(ValueError, match="must be finite"):
            Cost(total=wrong)
    with pytest.raises(ValueError, match="64 bits"):
        TokenUsage(output=2**63)
